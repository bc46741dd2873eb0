"""Training objectives, one a file, and how options choose and bind one."""

from vse.losses.false_negatives import Gist
from vse.losses.hal import HAL
from vse.losses.infonce import InfoNCE
from vse.losses.lseh import LSEH
from vse.losses.luwm import LUWM
from vse.losses.max_hinge import MaxHinge
from vse.losses.memory_bank import MemoryBank
from vse.losses.objective import Objective, Roles
from vse.losses.options import (
    NetworkDefaults,
    ObjectiveOptions,
    build_objective,
    check_combination,
    read_saved,
    resolve,
)
from vse.losses.pairs import BankScores, Pairs
from vse.losses.sam import SAM
from vse.losses.soft_margin import SoftMargin
from vse.losses.sum_hinge import SumHinge
from vse.losses.table import ALIASES, OBJECTIVES
from vse.losses.wrappers import GrowingGradient, Rescaled, Warmup

__all__ = [
    "ALIASES",
    "HAL",
    "LSEH",
    "LUWM",
    "OBJECTIVES",
    "SAM",
    "BankScores",
    "Gist",
    "GrowingGradient",
    "InfoNCE",
    "MaxHinge",
    "MemoryBank",
    "NetworkDefaults",
    "Objective",
    "ObjectiveOptions",
    "Pairs",
    "Rescaled",
    "Roles",
    "SoftMargin",
    "SumHinge",
    "Warmup",
    "build_objective",
    "check_combination",
    "read_saved",
    "resolve",
]
