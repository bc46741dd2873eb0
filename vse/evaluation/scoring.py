"""Scores of a whole split: encode every image and caption once, then score blocks of images against blocks of captions.

Both directions of retrieval read the one matrix [images, captions] that comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import isqrt
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from vse.data.batches import Batch, EvaluationData
from vse.errors import InputError
from vse.files import write_atomically
from vse.nn.network import Encoding, Network, PairScorer

MEMORY_BUDGET = 2**28
"""Bytes that scoring a block may take by default, beyond the encodings and the result."""

_MOST_PAIRS = 2**24
"""Pairs of the largest block, however large the budget: beyond it nothing gets faster, and the scores exist twice."""


class Block(NamedTuple):
    """Captions that are scored together, against some images at a time."""

    captions: slice  # in the order of scoring, longest first
    images: int


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards every module is back in its own mode."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def _fields(encoding: Encoding) -> tuple[Tensor, ...]:
    return (encoding,) if isinstance(encoding, Tensor) else tuple(encoding)


def _like(encoding: Encoding, fields: list[Tensor]) -> Encoding:
    if isinstance(encoding, Tensor):
        return fields[0]
    return type(encoding)(*fields) if hasattr(encoding, "_fields") else tuple(fields)


def _map(encoding: Encoding, change: Callable[[Tensor], Tensor]) -> Encoding:
    return _like(encoding, [change(field) for field in _fields(encoding)])


def encode_split(
    network: Network,
    image_batches: Iterable[Batch],
    caption_batches: Iterable[Batch],
    device: torch.device,
    precision: str = "float32",
    store_on: torch.device | str = "cpu",
) -> tuple[Encoding, Encoding]:
    """Encode a split in evaluation mode: N images and M captions, each once -> their encodings in data set order.

    Args:
        image_batches: batches that hold images only; `image_ids` are the rows they go to, 0 ... N - 1 in all.
        caption_batches: batches that hold captions only; `caption_ids` are their rows, in any order, so that captions
            of like length can share a batch.
        device: where the network is.
        precision: "bf16" encodes under autocast; what comes out is float32 all the same.
        store_on: where the encodings are kept. Where dimension 1 (words, regions) differs between batches, it is
            padded with zeros to the longest.
    """

    def encode(encoder: Callable[[Batch], Encoding], batches: Iterable[Batch], ids: str) -> Encoding:
        rows, parts = [], []
        for batch in batches:
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                part = encoder(batch.to(device))
            parts.append(_map(part, lambda field: (field.float() if field.is_floating_point() else field).to(store_on)))
            rows.append(getattr(batch, ids).cpu())
        return _assemble(rows, parts)

    with evaluating(network):
        images = encode(network.encode_images, image_batches, "image_ids")
        captions = encode(network.encode_captions, caption_batches, "caption_ids")
    return images, captions


def _assemble(rows: list[Tensor], parts: list[Encoding]) -> Encoding:
    """Put the rows of all batches where they belong; each batch is let go once it has been copied."""
    total = sum(len(part) for part in rows)
    if not torch.equal(torch.cat(rows).sort().values, torch.arange(total)):
        raise ValueError("the batches of a split must hold each of its rows 0 ... n - 1 exactly once")
    first = parts[0]
    remaining = [list(_fields(part)) for part in parts]
    parts.clear()
    fields = []
    for number, example in enumerate(_fields(first)):
        shapes = torch.tensor([part[number].shape[1:] for part in remaining])
        field = example.new_zeros(total, *shapes.amax(dim=0).tolist())
        for ids, part in zip(rows, remaining, strict=True):
            filled: tuple[Tensor | slice, ...] = (ids.to(field.device), *map(slice, part[number].shape[1:]))
            field[filled] = part[number]
            part[number] = example[:0]
        fields.append(field)
    return _like(first, fields)


def score_matrix(
    network: Network,
    images: Encoding,
    captions: Encoding,
    memory_budget: int = MEMORY_BUDGET,
    device: torch.device | None = None,
    progress: Callable[[Sequence[Block]], Iterable[Block]] = iter,
) -> Tensor:
    """Score N encoded images against M encoded captions, block by block -> float32 [N, M] on the CPU.

    Captions are scored longest first and cut to the longest of their block if their encoding has a field `lengths`;
    its other fields of three dimensions or more are taken to be padded along dimension 1. The scores do not depend on
    the blocks, but for the last digits, which a matrix product of another shape rounds differently.

    The block rule: a pair of an image and a caption takes p bytes, a block holds about as many images as captions, and
    images * captions * p <= memory_budget, with 2^24 pairs at the most. p is `network.score_bytes(images, captions)`
    for one image and the block's longest caption where the network has such a method (bytes that `similarity` holds at
    once, from the shapes); else the size of the two encodings for a pairwise network, and the 4 bytes of the score
    itself for embeddings.

    Args:
        memory_budget: bytes a block may take, beyond the encodings and the result.
        device: where the network is, if the encodings are kept elsewhere.
        progress: wraps the sequence of blocks, e.g. `tqdm.tqdm`.
    """
    n_images, n_captions = len(_fields(images)[0]), len(_fields(captions)[0])
    lengths: Tensor | None = getattr(captions, "lengths", None)
    order = torch.arange(n_captions) if lengths is None else lengths.cpu().argsort(descending=True, stable=True)

    def pick_images(rows: slice) -> Encoding:
        return _map(images, lambda field: field[rows])

    def pick_captions(columns: slice) -> Encoding:
        if lengths is None:
            return _map(captions, lambda field: field[columns])
        chosen = order[columns].to(lengths.device)
        longest = int(lengths[chosen[0]])
        return _map(captions, lambda field: (field[:, :longest] if field.ndim > 2 else field)[chosen])

    blocks: list[Block] = []
    start = 0
    while start < n_captions:
        pair = _pair_bytes(network, pick_images(slice(1)), pick_captions(slice(start, start + 1)))
        pairs = max(1, min(memory_budget // pair, _MOST_PAIRS))
        width = min(n_captions - start, max(isqrt(pairs), pairs // n_images))
        blocks.append(Block(slice(start, start + width), max(1, pairs // width)))
        start += width

    scores = torch.empty(n_images, n_captions)
    with evaluating(network):
        for columns, height in progress(blocks):
            some_captions = _on(pick_captions(columns), device)
            for row in range(0, n_images, height):
                rows = slice(row, row + height)
                block = network.similarity(_on(pick_images(rows), device), some_captions).float().cpu()
                scores[rows, columns if lengths is None else order[columns]] = block
    return scores


def _on(encoding: Encoding, device: torch.device | None) -> Encoding:
    return encoding if device is None else _map(encoding, lambda field: field.to(device))


def _pair_bytes(network: Network, image: Encoding, caption: Encoding) -> int:
    score_bytes: Callable[[Encoding, Encoding], int] | None = getattr(network, "score_bytes", None)
    if score_bytes is not None:
        return max(4, score_bytes(image, caption))
    if network.pairwise:
        return sum(field.nbytes for field in (*_fields(image), *_fields(caption)))
    return 4


def score_split(
    network: Network,
    data: EvaluationData,
    device: torch.device,
    precision: str = "float32",
    memory_budget: int = MEMORY_BUDGET,
    progress: Callable[[Sequence[Block]], Iterable[Block]] = iter,
) -> Tensor:
    """Encode and score a split -> float32 [images, captions] on the CPU; see `encode_split` and `score_matrix`."""
    images, captions = encode_split(network, data.images(), data.texts(), device, precision)
    return score_matrix(network, images, captions, memory_budget, device, progress)


def best_candidates(cheap: Tensor, count: int) -> Tensor:
    """Cheap scores [N, M] -> bool [N, M]: each image's best `count` captions and each caption's best `count` images."""
    chosen = torch.zeros_like(cheap, dtype=torch.bool)
    for dim in (0, 1):
        best = cheap.topk(min(count, cheap.shape[dim]), dim=dim, sorted=False).indices
        chosen.scatter_(dim, best, True)
    return chosen


def candidate_recall(chosen: Tensor, caption_image: np.ndarray) -> dict[str, float]:
    """Percentage of images, and of captions, that have a match among their candidates [N, M]: what reranking can reach.

    Args:
        caption_image: [M] image of each caption.
    """
    owner = torch.as_tensor(caption_image, device=chosen.device)
    found = chosen[owner, torch.arange(len(owner), device=chosen.device)]
    images = owner.unique()
    return {
        "image_to_text": 100 * torch.isin(images, owner[found]).float().mean().item(),
        "text_to_image": 100 * found.float().mean().item(),
    }


def score_candidates(
    network: PairScorer,
    images: Encoding,
    captions: Encoding,
    chosen: Tensor,
    memory_budget: int = MEMORY_BUDGET,
    device: torch.device | None = None,
    progress: Callable[[Sequence[Any]], Iterable[Any]] = iter,
) -> Tensor:
    """Scores [N, M] where `chosen` [N, M] is true, as `score_matrix` has them, and 0 elsewhere; float32 on the CPU.

    Captions are taken longest first, as many at a time as fill half of `memory_budget` with the encodings of their
    pairs, besides what the network takes for its own temporaries.
    """
    lengths: Tensor | None = getattr(captions, "lengths", None)
    order = torch.arange(chosen.shape[1])
    if lengths is not None:
        order = lengths.cpu().argsort(descending=True, stable=True)
    image_bytes, caption_bytes = (sum(field[0].nbytes for field in _fields(side)) for side in (images, captions))
    taken = (chosen.sum(0)[order] * image_bytes + caption_bytes).cumsum(0)
    sizes = ((taken - taken[0]) // max(1, memory_budget // 2)).unique_consecutive(return_counts=True)[1]
    home = _fields(images)[0].device if device is None else device
    scores = torch.zeros(chosen.shape)
    with evaluating(network):  # type: ignore[arg-type]
        for columns in progress(order.split(sizes.tolist())):
            rows, column = chosen[:, columns].nonzero(as_tuple=True)
            own, row = rows.unique(return_inverse=True)
            longest = None if lengths is None else int(lengths[columns[0].to(lengths.device)])
            pairs = network.similarity_of_pairs(
                _rows(images, own, device), _rows(captions, columns, device, longest), row.to(home), column.to(home)
            )
            scores[rows, columns[column]] = pairs.float().cpu()
    return scores


def _rows(encoding: Encoding, rows: Tensor, device: torch.device | None, longest: int | None = None) -> Encoding:
    """Some items of an encoding on `device`, their local features cut to `longest`."""

    def take(field: Tensor) -> Tensor:
        return (field[:, :longest] if field.ndim > 2 else field)[rows.to(field.device)]

    return _on(_map(encoding, take), device)


def ensemble(matrices: Sequence[Tensor]) -> Tensor:
    """Mean of several models' scores of one split, the published way to combine two models.

    Raises:
        InputError: the matrices are not of one shape.
    """
    mean = matrices[0].clone()
    for number, matrix in enumerate(matrices[1:], start=2):
        if matrix.shape != mean.shape:
            raise InputError(
                f"the similarities of model {number} are {list(matrix.shape)}, those of model 1 {list(mean.shape)}; "
                "an ensemble needs models evaluated on the same split"
            )
        mean += matrix
    return mean.div_(len(matrices))


def save_similarities(path: str | Path, scores: Tensor) -> None:
    """Write scores as `.npy`, float32 [images, captions]; the file appears whole or not at all."""
    write_atomically(path, lambda file: np.save(file, scores.float().cpu().numpy(), allow_pickle=False))


def load_similarities(path: str | Path) -> Tensor:
    """Read what `save_similarities` wrote -> float32 [images, captions].

    Raises:
        InputError: no such file, or not a float32 matrix.
    """
    remedy = "expected float32 [images, captions] as --save_similarities writes it"
    try:
        scores = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {remedy}") from None
    except (OSError, ValueError, EOFError) as problem:
        raise InputError(f"{path}: not a readable .npy file ({problem}); {remedy}") from None
    if not isinstance(scores, np.ndarray) or scores.ndim != 2 or scores.dtype != np.float32:
        raise InputError(f"{path}: not a float32 matrix; {remedy}")
    return torch.from_numpy(scores)
