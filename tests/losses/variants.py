"""Every objective in its forms, for tests of what all of them promise."""

from __future__ import annotations

from collections.abc import Callable

from vse.losses import (
    CRCL,
    DCL,
    HAL,
    HNNCE,
    LSEH,
    LUWM,
    SAM,
    TAL,
    InfoNCE,
    MaxHinge,
    NeighborRetr,
    Objective,
    SelHN,
    SigLIP,
    SoftLabels,
    SoftMargin,
    SumHinge,
    UniHN,
)

VARIANTS: dict[str, Callable[..., Objective]] = {
    "sum_hinge": SumHinge,
    "max_hinge": MaxHinge,
    "lseh_max": lambda **rule: LSEH(max_violation=True, **rule),
    "lseh_sum": LSEH,
    "lseh_cosine": lambda **rule: LSEH(semantic_normalise="cosine", **rule),
    "lseh_self": lambda **rule: LSEH(semantic_normalise="self", semantic_symmetrise=True, **rule),
    "luwm": LUWM,
    "hal_coco": HAL,
    "hal_f30k": lambda **rule: HAL(60.0, 0.7, **rule),
    "hal_repaired": lambda **rule: HAL(positive_term="repaired", **rule),
    "infonce": InfoNCE,
    "soft_margin_max": lambda **rule: SoftMargin(max_violation=True, **rule),
    "soft_margin_sum": SoftMargin,
    "sam_max": lambda **rule: SAM(max_violation=True, **rule),
    "sam_sum": SAM,
    "selhn": SelHN,
    "tal": TAL,
    "unihn": UniHN,
    "siglip": SigLIP,
    "dcl": DCL,
    "hn_nce": HNNCE,
    "soft_labels": SoftLabels,
    "neighbor_retr": NeighborRetr,
    "neighbor_retr_two": lambda **rule: NeighborRetr(neighbors=2, **rule),
    "crcl": CRCL,
    "crcl_doubtful": lambda **rule: CRCL(belief_epochs=0, **rule),
}
