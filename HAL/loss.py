"""The objectives' constants in HAL, and its two switches to the hinges it is compared with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import VSEpp_LSEH.loss
from vse.errors import InputError
from vse.losses import LossName, ObjectiveOptions, build_objective

PUBLISHED = {
    **VSEpp_LSEH.loss.PUBLISHED,
    "hal": {
        "local_alpha": 30.0,
        "local_ep": 0.3,
        "global_alpha": 40.0,
        "global_beta": 40.0,
        "global_ep_posi": 0.2,
        "global_ep_nega": 0.1,
        "mb_rate": 0.05,
        "mb_k": 250,
    },
}
"""HAL: the published MS-COCO values; the others as on the same network in VSEpp_LSEH/."""


@dataclass
class HALOptions(ObjectiveOptions):
    """Which objective; HAL unless told otherwise."""

    loss: LossName = "hal"
    """Training objective; lmh is max_hinge, lsh is sum_hinge."""
    max_violation: bool = False
    """hal: the max of hinges instead (as --loss lmh); lseh, sam, soft_margin: hardest negatives only."""
    sum_violation: bool = False
    """hal: the sum of hinges instead (as --loss lsh), unless --max_violation is given as well."""


Options = TypeVar("Options", bound=HALOptions)


def chosen(options: Options) -> Options:
    """The options with the hinge that `--max_violation` or `--sum_violation` puts in HAL's place named as `loss`.

    Raises:
        InputError: `--sum_violation` with an objective other than HAL.
    """
    if options.loss == "hal" and (options.max_violation or options.sum_violation):
        return replace(options, loss="max_hinge" if options.max_violation else "sum_hinge")
    if options.sum_violation and options.loss not in ("sum_hinge", "max_hinge"):
        raise InputError(f"--sum_violation does nothing for --loss {options.loss}: leave it out, or choose --loss lsh")
    return options


objective = partial(build_objective, published=PUBLISHED)
"""The objective of `--loss`, with HAL's constants where no option says otherwise."""
