"""The published data sets: their names, and their numbers of images and captions."""

from __future__ import annotations

ALIASES = {
    "f30k": ("f30k",),
    "coco": ("coco",),
    "f8k": ("f8k",),
    "iaprtc12": ("iaprtc12", "IAPRTC12", "IAPRTC", "IAPR"),
}
"""Canonical name -> names its folder may bear, each also with `_precomp`."""

KARPATHY_FILES = {"flickr8k": "f8k", "flickr30k": "f30k", "coco": "coco"}
"""What follows `dataset_` in the name of a file of Karpathy's splits -> canonical name."""

PUBLISHED_SETS: dict[str, dict[str, tuple[int, int]]] = {
    "f8k": {"train": (6_000, 30_000), "dev": (1_000, 5_000), "test": (1_000, 5_000)},
    "f30k": {"train": (29_000, 145_000), "dev": (1_014, 5_070), "test": (1_000, 5_000)},
    "coco": {"train": (113_287, 566_435), "dev": (5_000, 25_000), "test": (1_000, 5_000), "testall": (5_000, 25_000)},
    "iaprtc12": {"train": (18_000, 18_000), "dev": (1_000, 1_000), "test": (1_000, 1_000)},
}
"""Data set -> split -> (images, captions).

Five captions an image in the Karpathy splits (Karpathy and Li 2015), where COCO's train holds restval and its `test` is
the first thousand images of `testall`; one in IAPR TC-12, whose sizes are those that the LSEH paper states.
"""


def canonical_name(data_name: str) -> str:
    """Map the names of a data set to one: `f30k_precomp` -> `f30k`, `IAPRTC` -> `iaprtc12`.

    Other names only lose `_precomp`.
    """
    bare = data_name.removesuffix("_precomp")
    for name, aliases in ALIASES.items():
        if bare.lower() in {alias.lower() for alias in aliases}:
            return name
    return bare
