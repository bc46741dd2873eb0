"""The kinds of description vectors: LSEH's SVD, a sentence encoder's, or a file of one's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson

from vse.descriptions import sentence
from vse.descriptions.prepare import prepare_svd
from vse.descriptions.vectors import silence_noise
from vse.errors import InputError
from vse.files import read_bytes, sha256
from vse.formats.array_files import read_npy
from vse.text.captions import read_captions


def prepare_descriptions(
    kind: str,
    folder: Path,
    captions_file: Path,
    n_captions: int,
    sentence_encoder: str | None = None,
    device: str = "cpu",
) -> np.ndarray:
    """Load the description vectors of the training captions, float32 [n_captions, D]; make them where they are missing.

    Args:
        kind: `svd` (LSEH's, see `vse.descriptions.svd`), `sentence` (`vse.descriptions.sentence`), or a `.npy` file
            with a row for each caption.
        folder: the data set's, in which made vectors are kept.
        sentence_encoder: of `sentence`; default: the one that the extra `[sentence]` installs.
        device: on which the sentence encoder runs.

    Raises:
        InputError: no such kind or file, or vectors that don't fit the captions.
    """
    if kind in ("svd", "sentence"):
        captions = read_captions(captions_file)
        if len(captions) != n_captions:
            raise InputError(f"{captions_file}: {len(captions)} captions, the data set has {n_captions}")
        if kind == "svd":
            return prepare_svd(captions_file)
        return sentence.prepare(folder, captions_file, captions, sentence_encoder, device)
    return read_vectors(kind, n_captions, captions_file)


def read_vectors(path: str | Path, n_captions: int, captions_file: Path | None = None) -> np.ndarray:
    """Read description vectors of any origin -> float32 [n_captions, D], memory-mapped where they are float32.

    Where a `.json` of the same name beside the file has `captions_sha256`, it must be that of `captions_file`.

    Raises:
        InputError: no readable matrix of finite numbers with one row a caption, or made from other captions.
    """
    path = Path(path)
    if path.suffix != ".npy":
        raise InputError(f"--descriptions {path}: expected svd, sentence or a .npy file of float vectors [captions, D]")
    try:
        vectors = read_npy(path, "c")
    except FileNotFoundError:
        raise InputError(f"--descriptions {path}: no such file; expected float vectors [captions, D]") from None
    except (OSError, ValueError) as problem:
        raise InputError(f"--descriptions {path}: not a readable .npy file ({problem})") from None
    if vectors.ndim != 2 or vectors.dtype.kind != "f" or len(vectors) != n_captions or not vectors.shape[1]:
        raise InputError(
            f"--descriptions {path}: {vectors.dtype} {list(vectors.shape)}; expected float vectors, one for each of "
            f"the {n_captions} captions"
        )
    record = path.with_suffix(".json")
    if captions_file is not None and record.is_file():
        try:
            known = orjson.loads(read_bytes(record)).get("captions_sha256")
        except (OSError, ValueError, AttributeError):
            known = None
        if known is not None and known != sha256(captions_file):
            raise InputError(
                f"--descriptions {path}: {record.name} names other captions than {captions_file}; make them again"
            )
    vectors = np.ascontiguousarray(vectors, dtype=np.float32).view(np.ndarray)
    broken = np.flatnonzero(~np.isfinite(np.einsum("ij,ij->i", vectors, vectors)))
    if len(broken):
        raise InputError(
            f"--descriptions {path}: row {broken[0]} holds NaN or infinity ({len(broken)} of {n_captions} rows do); "
            "expected finite numbers, and zeros for a caption without a description"
        )
    if not vectors.any():
        raise InputError(
            f"--descriptions {path}: all rows are zero, so that no caption has a description; make them again"
        )
    return silence_noise(vectors)
