"""Digests of a split's captions, images and their order, by which a resumed run recognises its data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vse.data.datasets import Images, Split
from vse.data.features import Features
from vse.data.ids import SplitIds
from vse.data.images import RawImages
from vse.files import read_bytes

SAMPLED_BYTES = 64
"""Bytes that are read of each row, at a position that changes from row to row.

Hashing whole files would read them once more: 33 GB of MS-COCO, of which this takes 7 MB and less than half a GB of
pages.
"""

BLOCK = 32_768
"""Rows that are read at a time."""

SAMPLED_PICTURES = 1_024
"""Picture files whose size is looked up, evenly spaced; the names of all are in the digest."""


def describe_split(split: Split) -> dict[str, Any]:
    """Describe a split as plain values for a run record.

    `captions_sha256` is that of the whole caption file, as `sha256sum` prints it. The images' digest samples every
    one, in their order, so that a file with the same rows in another order has another digest.
    """
    sizes = {"images": len(split.images), "captions": len(split.captions)}
    described = _describe(split.name, split.captions_file, split.caption_image, sizes)
    return described | {"features": describe_images(split.images)}


def describe_ids(split: SplitIds) -> dict[str, Any]:
    """Describe a split whose features are not known, by the same values; of captions without a folder no digest."""
    captions_file = None if split.folder is None else split.folder / f"{split.name}_caps.txt"
    sizes = {"images": split.images, "captions": len(split.caption_image)}
    return _describe(split.name, captions_file, split.caption_image, sizes) | {"features": None}


def _describe(
    name: str, captions_file: Path | None, caption_image: np.ndarray, sizes: Mapping[str, int]
) -> dict[str, Any]:
    return {
        "name": name,
        "folder": None if captions_file is None else str(captions_file.parent.resolve()),
        **sizes,
        "captions_sha256": None if captions_file is None else hashlib.sha256(read_bytes(captions_file)).hexdigest(),
        "caption_image_sha256": hashlib.sha256(np.asarray(caption_image, dtype="<i8").tobytes()).hexdigest(),
    }


def describe_images(images: Images) -> dict[str, Any]:
    """Describe the images of a split: shape of one image, what they are read from, and a sampled digest."""
    if isinstance(images, Features):
        return describe_array(images.array, len(images), images.repeat)
    if isinstance(images, RawImages):
        return {"shape": list(images.shape), "kind": images.kind, "sampled_sha256": _digest_of_files(images.paths)}
    rows = np.unique(np.linspace(0, len(images) - 1, 16).astype(np.int64))
    sample = images.read(rows).numpy()
    return {"shape": list(images.shape), "kind": str(sample.dtype), "sampled_sha256": _sha256(sample)}


def describe_array(array: np.ndarray, count: int | None = None, repeat: int = 1) -> dict[str, Any]:
    """Describe rows of an array, memory-mapped or not, by some bytes of each.

    Args:
        array: [count * repeat or more, ...], C-contiguous.
        count: rows in use; default all.
        repeat: only every so-manyth row is in use.
    """
    count = len(array) // repeat if count is None else count
    octets = array.reshape(len(array), -1).view(np.uint8)
    window = min(SAMPLED_BYTES, octets.shape[1])
    state = hashlib.sha256()
    for first in range(0, count, BLOCK):
        rows = np.arange(first, min(first + BLOCK, count))
        starts = rows * 2_654_435_761 % (octets.shape[1] - window + 1)  # a multiplicative hash scatters the positions
        state.update(octets[(rows * repeat)[:, None], starts[:, None] + np.arange(window)].tobytes())
    return {"shape": list(array.shape[1:]), "kind": str(array.dtype), "sampled_sha256": state.hexdigest()}


def _digest_of_files(paths: Sequence[Path]) -> str:
    state = hashlib.sha256("\n".join(path.name for path in paths).encode())
    for place in np.unique(np.linspace(0, len(paths) - 1, min(len(paths), SAMPLED_PICTURES)).astype(np.int64)):
        state.update(str(paths[place].stat().st_size).encode() + b"\n")
    return state.hexdigest()


def _sha256(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
