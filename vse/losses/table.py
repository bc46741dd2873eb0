"""The objectives by name: one line each."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from vse.errors import InputError
from vse.losses.crcl import CRCL
from vse.losses.dcl import DCL
from vse.losses.hal import HAL
from vse.losses.hn_nce import HNNCE
from vse.losses.infonce import InfoNCE
from vse.losses.lseh import LSEH
from vse.losses.luwm import LUWM
from vse.losses.max_hinge import MaxHinge
from vse.losses.neighbor_retr import NeighborRetr
from vse.losses.objective import Objective
from vse.losses.own import load_objective_class
from vse.losses.sam import SAM
from vse.losses.selhn import SelHN
from vse.losses.siglip import SigLIP
from vse.losses.soft_labels import SoftLabels
from vse.losses.soft_margin import SoftMargin
from vse.losses.sum_hinge import SumHinge
from vse.losses.tal import TAL
from vse.losses.unihn import UniHN

OBJECTIVES: dict[str, type[Objective]] = {
    "lseh": LSEH,
    "max_hinge": MaxHinge,
    "sum_hinge": SumHinge,
    "luwm": LUWM,
    "hal": HAL,
    "infonce": InfoNCE,
    "soft_margin": SoftMargin,
    "sam": SAM,
    "selhn": SelHN,
    "tal": TAL,
    "unihn": UniHN,
    "siglip": SigLIP,
    "dcl": DCL,
    "hn_nce": HNNCE,
    "soft_labels": SoftLabels,
    "neighbor_retr": NeighborRetr,
    "crcl": CRCL,
}
"""Name after `--loss` -> class. The fields of the class are its constants, each set by the flag of its name."""

ALIASES = {"lmh": "max_hinge"}
"""Other names of objectives: loss of max of hinges."""


def canonical_name(loss: str) -> str:
    """Return the name that an objective has in the table."""
    return ALIASES.get(loss, loss)


def objective_class(loss: str) -> type[Objective]:
    """Return the class behind a name after `--loss`, from the table or from a user's file.

    Raises:
        InputError: there is no such objective.
    """
    if canonical_name(loss) in OBJECTIVES:
        return OBJECTIVES[canonical_name(loss)]
    if ".py:" in loss:
        return load_objective_class(loss)
    if loss == "lsh":
        raise InputError("--loss lsh: the name is gone, it is one letter from lseh; the sum of hinges is sum_hinge")
    raise InputError(f"--loss {loss}: expected one of {', '.join([*OBJECTIVES, *ALIASES])}, or FILE.py:ClassName")


def constants_of(kind: type[Objective]) -> dict[str, Any]:
    """Return the constants of a class of the table with their defaults, by name."""
    return {field.name: field.default for field in fields(kind)}
