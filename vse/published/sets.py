"""How many images and captions the published data sets hold, by which a folder is recognised."""

from __future__ import annotations

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
