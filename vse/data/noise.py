"""Noisy correspondence: training captions paired with images that they do not describe."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vse.data.datasets import Split
from vse.errors import InputError
from vse.files import write_atomically
from vse.formats.array_files import read_npy
from vse.options import DataOptions

FILE = "noise.npy"
"""Name of the index in a run folder."""


@dataclass(frozen=True)
class Noise:
    """Pairs of a training split, some of which do not match."""

    index: np.ndarray
    """[M] image that each caption is paired with, int64."""
    wrong: np.ndarray
    """[M] whether that is another image than the caption describes, bool."""
    protocol: str
    """`captions`, `images` or the file that the index was read from."""
    drawn: str
    """What was drawn, for the log."""

    def __str__(self) -> str:
        """Return one line with the protocol and the number of captions that have another image."""
        wrong, captions = int(self.wrong.sum()), len(self.wrong)
        return f"noise: {self.drawn}, {wrong} of {captions} captions have another image ({wrong / captions:.2%})"

    def describe(self) -> dict[str, Any]:
        """Describe the noise as plain values for a run record."""
        digest = hashlib.sha256(self.index.astype("<i8").tobytes()).hexdigest()
        return {"captions": len(self.index), "mismatched": int(self.wrong.sum()), "index_sha256": digest}

    def save(self, folder: Path) -> None:
        """Write the index to `noise.npy` in a run folder, for `--noise_protocol` of further runs."""
        write_atomically(folder / FILE, lambda file: np.save(file, self.index))


def corrupt(split: Split, data: DataOptions) -> Noise | None:
    """Pair some captions of a training split with other images, as the options ask for; None: they ask for nothing.

    `captions` chooses a share of the captions and permutes their images among them (NCR, Huang et al., NeurIPS 2021).
    `images` chooses a share of the images and permutes them, so that all captions of an image get the same other one
    (DECL, Qin et al., ACM Multimedia 2022). A permutation may leave a caption its image. Every image keeps a caption.

    Raises:
        InputError: flags that do nothing or belong together, a file that is no index of this split, or no caption that
            gets another image.
    """
    protocol = data.noise_protocol
    if protocol is None:
        if data.noise:
            raise InputError(
                f"--noise {data.noise:g}: give --noise_protocol captions (single captions get other images, as in NCR) "
                "or images (all captions of an image get the same other one, as in DECL)"
            )
        if data.noise_seed:
            raise InputError(f"--noise_seed {data.noise_seed} does nothing without --noise: give both or neither")
        return None
    if protocol not in ("captions", "images"):
        return _given(split, data, protocol)
    if not data.noise:
        raise InputError(f"--noise_protocol {protocol} does nothing without --noise: give both or neither")
    draw = _permute_captions if protocol == "captions" else _permute_images
    # From default_rng(0) the order of the first epoch is drawn as well: mismatched pairs would all come first.
    seed = np.random.SeedSequence(data.noise_seed, spawn_key=(1,))
    index, drawn = draw(split.caption_image, data.noise, np.random.default_rng(seed))
    noise = Noise(index, index != split.caption_image, protocol, f"{drawn} ({protocol}, seed {data.noise_seed})")
    if not noise.wrong.any():
        raise InputError(
            f"--noise {data.noise:g}: {drawn} drawn, and none of {len(index)} captions gets another image; give a "
            "larger share"
        )
    return noise


def _permute_captions(caption_image: np.ndarray, share: float, random: np.random.Generator) -> tuple[np.ndarray, str]:
    count = int(share * len(caption_image))
    chosen = random.permutation(len(caption_image))[:count]
    index = caption_image.copy()
    index[chosen] = random.permutation(caption_image[chosen])
    return index, f"{count} of {len(caption_image)} captions"


def _permute_images(caption_image: np.ndarray, share: float, random: np.random.Generator) -> tuple[np.ndarray, str]:
    images = np.unique(caption_image)
    count = int(share * len(images))
    chosen = random.permutation(len(images))[:count]
    other = images.copy()
    other[chosen] = random.permutation(images[chosen])
    return other[np.searchsorted(images, caption_image)], f"{count} of {len(images)} images"


def _given(split: Split, data: DataOptions, protocol: str) -> Noise:
    """Read the index of `--noise_protocol FILE.npy`."""
    for flag, value in (("noise", data.noise), ("noise_seed", data.noise_seed)):
        if value:
            raise InputError(
                f"--{flag} {value:g} does nothing with --noise_protocol {protocol}, which states the image of every "
                "caption: leave it out"
            )
    index = read_index(Path(protocol), split.caption_image, len(split.images))
    wrong = index != split.caption_image
    if not wrong.any():
        raise InputError(f"--noise_protocol {protocol}: every caption keeps its image; leave the flag out")
    if (index == index[0]).all():
        raise InputError(
            f"--noise_protocol {protocol}: all captions get image {index[0]}, so none has a wrong answer; expected "
            "the images of a noisy data set"
        )
    return Noise(index, wrong, protocol, protocol)


def read_index(path: Path, caption_image: np.ndarray, images: int) -> np.ndarray:
    """Read a published index of noise -> the image of every caption, [M] int64.

    An index has a number for each caption, that of its image (NCR, GSC, L2RM, CRCL, and what a run saves), or a number
    for each image, that of the image that its captions get (DECL). Numbers count the images of the split from 0.

    Args:
        caption_image: [M] image that each caption describes.
        images: number of images of the split.

    Raises:
        InputError: no such file, or no such index of this split.
    """
    sizes = f"the image of each of {len(caption_image)} captions, or of each of {images} images"
    if path.suffix != ".npy":
        raise InputError(f"--noise_protocol {path}: expected captions, images or a .npy file that holds {sizes}")
    try:
        index = read_npy(path)
    except FileNotFoundError:
        raise InputError(f"--noise_protocol {path}: no such file; expected captions, images or {sizes}") from None
    except (OSError, ValueError) as problem:
        raise InputError(f"--noise_protocol {path}: not a readable .npy file ({problem}); expected {sizes}") from None
    if index.ndim != 1 or index.dtype.kind not in "iu" or len(index) not in (len(caption_image), images):
        raise InputError(f"--noise_protocol {path}: {index.dtype} {list(index.shape)}; expected whole numbers, {sizes}")
    outside = np.flatnonzero((index < 0) | (index >= images))
    if len(outside):
        raise InputError(
            f"--noise_protocol {path}: place {outside[0]} names image {index[outside[0]]}, and so do "
            f"{len(outside) - 1} more places an image that is not there; the images of the split are 0 to {images - 1}"
        )
    index = index.astype(np.int64)
    return index if len(index) == len(caption_image) else index[caption_image]
