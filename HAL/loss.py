"""HAL is this network's objective; two switches replace it by the hinges that it is compared with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

from vse.errors import InputError
from vse.options import Maybe, NetworkDefaults, ObjectiveOptions

DEFAULTS = NetworkDefaults(loss="hal")
"""The library's constants of HAL are those of its original code for MS-COCO."""

DEMO = NetworkDefaults(
    loss="hal", warmup_epochs=5, warmup_form="mean", constants={"hal": {"local_alpha": 60.0, "local_ep": 0.7}}
)
"""As for VSE++, which has the same network. From random weights, HAL stays where all pairs score alike."""


@dataclass
class HALOptions(ObjectiveOptions):
    """The objective and its constants; HAL by default."""

    loss: str = "hal"
    """Training objective; see docs/objectives.md, or your own as FILE.py:ClassName."""
    max_violation: Maybe[bool] = None
    """hal: the max of hinges instead, like --loss lmh; lseh, sam, soft_margin: hardest negatives only."""
    sum_violation: bool = False
    """hal: the sum of hinges instead (as --loss sum_hinge), unless --max_violation is given as well."""


Options = TypeVar("Options", bound=HALOptions)


def chosen(options: Options) -> Options:
    """Return the options with the hinge that `--max_violation` or `--sum_violation` puts in HAL's place as `loss`.

    Raises:
        InputError: `--sum_violation` with an objective other than HAL.
    """
    if options.loss == "hal" and (options.max_violation or options.sum_violation):
        loss = "max_hinge" if options.max_violation else "sum_hinge"
        return replace(options, loss=loss, max_violation=None, sum_violation=False)
    if options.sum_violation and options.loss not in ("sum_hinge", "max_hinge"):
        raise InputError(
            f"--sum_violation does nothing for --loss {options.loss}: leave it out, or choose --loss sum_hinge"
        )
    return options
