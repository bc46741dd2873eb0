"""Training objectives, one per file, and their choice by options."""

from vse.losses.crcl import CRCL
from vse.losses.dcl import DCL
from vse.losses.false_negatives import Gist
from vse.losses.hal import HAL
from vse.losses.hn_nce import HNNCE
from vse.losses.infonce import InfoNCE
from vse.losses.lseh import LSEH
from vse.losses.luwm import LUWM
from vse.losses.max_hinge import MaxHinge
from vse.losses.memory_bank import MemoryBank
from vse.losses.neighbor_retr import NeighborRetr
from vse.losses.objective import Objective, Roles
from vse.losses.options import build_objective, check_combination, read_saved, resolve
from vse.losses.pairs import BankScores, Pairs
from vse.losses.sam import SAM
from vse.losses.selhn import SelHN
from vse.losses.siglip import SigLIP
from vse.losses.soft_labels import SoftLabels
from vse.losses.soft_margin import SoftMargin
from vse.losses.sum_hinge import SumHinge
from vse.losses.table import ALIASES, OBJECTIVES
from vse.losses.tal import TAL
from vse.losses.unihn import UniHN
from vse.losses.wrappers import GrowingGradient, Rescaled, Warmup
from vse.options import NetworkDefaults, ObjectiveOptions

__all__ = [
    "ALIASES",
    "CRCL",
    "DCL",
    "HAL",
    "HNNCE",
    "LSEH",
    "LUWM",
    "OBJECTIVES",
    "SAM",
    "TAL",
    "BankScores",
    "Gist",
    "GrowingGradient",
    "InfoNCE",
    "MaxHinge",
    "MemoryBank",
    "NeighborRetr",
    "NetworkDefaults",
    "Objective",
    "ObjectiveOptions",
    "Pairs",
    "Rescaled",
    "Roles",
    "SelHN",
    "SigLIP",
    "SoftLabels",
    "SoftMargin",
    "SumHinge",
    "UniHN",
    "Warmup",
    "build_objective",
    "check_combination",
    "read_saved",
    "resolve",
]
