"""Score matrices and embeddings of any model, read from `.npy`, `.npz` and safetensors files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from vse.errors import InputError
from vse.files import open_regular
from vse.formats.array_files import Archive, read_npy

SUFFIXES = (".npy", ".npz", ".safetensors")

Measure = Literal["cosine", "dot"]

_BLOCK_BYTES = 2**25


def holds_arrays(source: str) -> bool:
    """Return whether a file, or `FILE:NAME`, is one of arrays by its suffix; other files are checkpoints."""
    return Path(source).suffix in SUFFIXES or Path(source.rpartition(":")[0]).suffix in SUFFIXES


def read_arrays(source: str | Path) -> dict[str, Tensor]:
    """Read the matrices of a file by name -> {name: [rows, columns], float32 or float64}.

    A `.npy` file holds one, named after the file, which is memory-mapped. Float16 and bfloat16 become float32, which
    changes no value. `FILE:NAME` chooses one of the matrices of an archive.

    Raises:
        InputError: not readable, no such name, not floating point matrices, or a NaN in one.
    """
    path, _, chosen = (str(source), "", "") if Path(source).exists() else str(source).rpartition(":")
    file = Path(path or source)
    try:
        arrays = _load(file)
    except FileNotFoundError:
        raise InputError(f"{file}: no such file; expected scores or embeddings (.npy, .npz or .safetensors)") from None
    except InputError:
        raise
    except Exception as problem:  # the readers raise what they like
        reason = "damaged, or Python objects, which are never loaded" if "object" in str(problem).lower() else problem
        raise InputError(f"{file}: cannot be read ({reason}); expected .npy, .npz or .safetensors") from None
    if chosen:
        if chosen not in arrays:
            raise InputError(f"{file}: no array {chosen}; it holds {', '.join(arrays)}")
        arrays = {chosen: arrays[chosen]}
    elif len(arrays) > 1:  # ids and names may lie beside the matrices
        matrices = {name: array for name, array in arrays.items() if array.ndim == 2 and array.is_floating_point()}
        arrays = matrices or arrays
    return {name: _checked(array, f"{file}:{name}" if len(arrays) > 1 else str(file)) for name, array in arrays.items()}


def read_matrix(source: str | Path) -> Tensor:
    """Read the one matrix of a file, or of an archive by `FILE:NAME` -> [rows, columns]; see `read_arrays`.

    Raises:
        InputError: besides those of `read_arrays`, there are several matrices.
    """
    return only(read_arrays(source), source)


def only(found: dict[str, Tensor], source: str | Path) -> Tensor:
    """Return the one matrix that `read_arrays` found in a file.

    Raises:
        InputError: there are several.
    """
    if len(found) > 1:
        raise InputError(f"{source}: holds {', '.join(found)}; choose one by {source}:NAME")
    return next(iter(found.values()))


def _load(file: Path) -> dict[str, Tensor]:
    if file.suffix == ".safetensors":
        try:
            from safetensors.torch import load_file
        except ImportError:
            raise InputError(f"{file}: needs the package safetensors: pip install 'vse[eval]'") from None
        with open_regular(file):  # a pipe would be waited for
            found: dict[str, Tensor] = load_file(file)
        if not found:
            raise InputError(f"{file}: holds no matrix of numbers; expected scores or embeddings")
        return found
    if file.suffix not in SUFFIXES:
        raise InputError(f"{file}: an unknown form; expected .npy, .npz or .safetensors")
    arrays = {file.stem: read_npy(file, "c")} if file.suffix == ".npy" else _unpacked(file)
    numbers = {name: array for name, array in arrays.items() if array.dtype.kind in "biuf" and array.dtype.itemsize < 9}
    if not numbers:
        raise InputError(f"{file}: holds no matrix of numbers; expected scores or embeddings")
    # PyTorch takes no foreign byte order.
    return {
        name: torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))
        for name, array in numbers.items()
    }


def _unpacked(file: Path) -> dict[str, np.ndarray]:
    with Archive(file) as archive:
        return dict(archive)


def _checked(array: Tensor, source: str) -> Tensor:
    if array.ndim != 2 or not array.is_floating_point() or not array.numel():
        raise InputError(
            f"{source}: {str(array.dtype).removeprefix('torch.')} {list(array.shape)}; expected a floating point matrix"
        )
    array = array if array.dtype == torch.float64 else array.float()
    refuse(torch.isnan, array, source, "NaN")
    return array


def refuse(broken: Callable[[Tensor], Tensor], array: Tensor, source: str, what: str) -> None:
    """Refuse a matrix with broken values, as `broken` marks them; the sum of a block shows whether to look closer.

    Raises:
        InputError: how many rows hold `what`, and the first of them.
    """
    rows = [first + int(row) for first, block in _blocks(array) for row in _marked_rows(broken, block)]
    if rows:
        raise InputError(
            f"{source}: {len(rows)} of {len(array)} rows hold {what}, the first is row {rows[0]}; "
            "compute them again, ranks would mean nothing"
        )


def _blocks(array: Tensor) -> Iterator[tuple[int, Tensor]]:
    rows = max(1, _BLOCK_BYTES // max(1, array[0].nbytes))
    for first in range(0, len(array), rows):
        yield first, array[first : first + rows]


def _marked_rows(broken: Callable[[Tensor], Tensor], block: Tensor) -> list[int]:
    if torch.isfinite(block.sum(dtype=torch.float64)):  # NaN and infinity survive the sum
        return []
    return broken(block).any(dim=1).nonzero()[:, 0].tolist()


def infinite(values: Tensor) -> Tensor:
    """Mark NaN and infinity, for `refuse`."""
    return ~torch.isfinite(values)


def similarities(images: Tensor, captions: Tensor, measure: Measure = "cosine") -> Tensor:
    """Embeddings [N, D] and [M, D] -> scores float32 [N, M], cosines or inner products.

    Raises:
        InputError: the embeddings have different sizes, hold infinity, or a row of zeros has no cosine.
    """
    if images.shape[1] != captions.shape[1]:
        raise InputError(
            f"the images are embedded in {images.shape[1]} dimensions, the captions in {captions.shape[1]}; "
            "expected two matrices of one model, [images, D] and [captions, D]"
        )
    refuse(infinite, images, "image embeddings", "infinity")
    refuse(infinite, captions, "caption embeddings", "infinity")
    if measure == "cosine":
        images, captions = unit(images, "image"), unit(captions, "caption")
    return images.float() @ captions.float().T


def unit(vectors: Tensor, kind: str) -> Tensor:
    """Divide each row [n, D] by its norm.

    Raises:
        InputError: rows of zeros; `kind` says of what.
    """
    zero = (vectors == 0).all(dim=1).nonzero()[:, 0].tolist()
    if zero:
        raise InputError(
            f"{len(zero)} of {len(vectors)} {kind} embeddings are all zero, first row {zero[0]}, and have no cosine; "
            "compute them again, or compare by --measure dot"
        )
    return normalize(vectors, dim=1)
