"""Score a whole split: encode every image and caption once, then score blocks of images against blocks of captions.

Both directions of retrieval read the resulting matrix [N images, M captions].
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from math import isqrt
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from vse.data.batches import CaptionBatch, EvaluationData, ImageBatch
from vse.distributed import add_up, rank_and_size
from vse.errors import InputError
from vse.evaluation.halving import Halving
from vse.files import write_atomically
from vse.nn.network import CaptionsT, Encoding, ImagesT, Network, PairwiseNetwork, WordSet
from vse.nn.precision import full_float32

MEMORY_BUDGET = 2**28
"""Default bytes that scoring a block may take, in addition to the encodings and the result."""

_MOST_PAIRS = 2**24
"""Pairs of the largest block: larger ones are not faster, and a block holds a second copy of its scores."""


class Block(NamedTuple):
    """Captions that are scored together, against `images` images at a time."""

    captions: slice  # in the order of scoring: longest first
    images: int


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Switch to evaluation mode, without gradients and in full float32; afterwards all is as it was before."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad(), full_float32():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def encode_split(
    network: Network[ImagesT, CaptionsT],
    image_batches: Iterable[ImageBatch],
    caption_batches: Iterable[CaptionBatch],
    device: torch.device,
    precision: str = "float32",
    store_on: torch.device | str = "cpu",
) -> tuple[ImagesT, CaptionsT]:
    """Encode a split in evaluation mode -> N images and M captions in data set order.

    Args:
        image_batches: every image once; `image_ids`, 0 ... N - 1 in all, are the rows of the encoding.
        caption_batches: every caption once, in any order; `caption_ids` are the rows of the encoding. Captions of
            similar length should share a batch.
        device: where the network is.
        precision: "bf16" encodes under autocast; the encodings are float32 all the same.
        store_on: where the encodings are kept. Words and regions are padded with zeros to the most of any batch.

    Raises:
        ValueError: the batches do not hold each row exactly once.
    """

    def autocast() -> torch.autocast:
        return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")

    def kept(encoding: EncodingT) -> EncodingT:
        return encoding.map(lambda tensor: tensor.float() if tensor.is_floating_point() else tensor).to(store_on)

    images, image_rows, captions, caption_rows = [], [], [], []
    with evaluating(network):
        for image_batch in image_batches:
            image_rows.append(image_batch.image_ids.cpu())
            with autocast():
                images.append(kept(network.encode_images(image_batch.to(device))))
        for caption_batch in caption_batches:
            caption_rows.append(caption_batch.caption_ids.cpu())
            with autocast():
                captions.append(kept(network.encode_captions(caption_batch.to(device))))
    return assemble(image_rows, images), assemble(caption_rows, captions)


EncodingT = TypeVar("EncodingT", bound=Encoding)


def encode_data(
    network: Network[ImagesT, CaptionsT], data: EvaluationData, device: torch.device, precision: str = "float32"
) -> tuple[ImagesT, CaptionsT]:
    """Encode a split as `encode_split` does; where memory is not enough, from the start with half the batch size."""
    encoded: list[tuple[ImagesT, CaptionsT]] = []

    def encode(some: slice) -> None:
        smaller = replace(data, batch_size=some.stop - some.start)
        encoded.append(encode_split(network, smaller.images(), smaller.texts(), device, precision))

    halving = Halving()
    halving(encode, data.batch_size)
    return encoded[0]


def assemble(rows: list[Tensor], parts: list[EncodingT]) -> EncodingT:
    """Put the rows of all batches where they belong; release each batch once it has been copied."""
    total = sum(len(part) for part in rows)
    if not torch.equal(torch.cat(rows).sort().values, torch.arange(total)):
        raise ValueError("the batches of a split must hold each of its rows 0 ... n - 1 exactly once")
    like = parts[0]
    remaining = [part.tensors() for part in parts]
    parts.clear()
    assembled = []
    for number, example in enumerate(like.tensors()):
        shapes = torch.tensor([part[number].shape[1:] for part in remaining])
        whole = example.new_zeros(total, *shapes.amax(dim=0).tolist())
        for ids, part in zip(rows, remaining, strict=True):
            filled: tuple[Tensor | slice, ...] = (ids.to(whole.device), *map(slice, part[number].shape[1:]))
            whole[filled] = part[number]
            part[number] = example[:0]
        assembled.append(whole)
    return type(like)(*assembled)


def score_matrix(
    network: Network[ImagesT, CaptionsT],
    images: ImagesT,
    captions: CaptionsT,
    memory_budget: int = MEMORY_BUDGET,
    device: torch.device | None = None,
    progress: Callable[[Sequence[Block]], Iterable[Block]] = iter,
    share: bool = False,
) -> Tensor:
    """Score N encoded images against M encoded captions, block by block -> float32 [N, M] on the CPU.

    Captions of a `WordSet` are scored longest first, each block cut to its longest caption. The blocks change the
    scores in the last digits only: matrix products of different shapes round differently.

    A pair of an image and a caption takes p bytes: `network.score_bytes` of one image and the block's longest caption
    for a pairwise network, the 4 bytes of the score for embeddings. A block holds about as many images as captions,
    images * captions * p <= memory_budget, and at most 2^24 pairs.

    Where memory is not enough for a block, it and those that follow are scored in halves.

    Args:
        memory_budget: bytes that a block may take, in addition to the encodings and the result.
        device: where the network is, if the encodings are kept elsewhere.
        progress: wraps the sequence of blocks, e.g. `tqdm.tqdm`.
        share: of torchrun's processes each scores its part of the blocks, and all get the whole matrix; each must call.
    """
    n_images, n_captions = len(images), len(captions)
    lengths = _lengths(captions)
    order = None if lengths is None else lengths.argsort(descending=True, stable=True)

    def pick(columns: slice) -> CaptionsT:
        if lengths is None or order is None:
            return captions.rows(columns)
        return captions.cut(int(lengths[order[columns.start]])).rows(order[columns])

    blocks: list[Block] = []
    start = 0
    while start < n_captions:
        pair = 4
        if isinstance(network, PairwiseNetwork):
            pair = max(pair, network.score_bytes(images.rows(slice(1)), pick(slice(start, start + 1))))
        pairs = max(1, min(memory_budget // pair, _MOST_PAIRS))
        width = min(n_captions - start, max(isqrt(pairs), pairs // n_images))
        blocks.append(Block(slice(start, start + width), max(1, pairs // width)))
        start += width

    rank, processes = rank_and_size() if share else (0, 1)
    scores = torch.zeros(n_images, n_captions)

    def score(some_captions: CaptionsT, places: Tensor, rows: list[slice], some: slice) -> None:
        columns = _on(some_captions.rows(some), device)
        for row in rows:
            scores[row, places[some]] = network.similarity(_on(images.rows(row), device), columns).float().cpu()

    turn, halving = 0, Halving()
    every = torch.arange(n_captions) if order is None else order
    with evaluating(network):
        for columns, height in progress(blocks):
            rows = [slice(row, row + height) for row in range(0, n_images, height)]
            own = [row for number, row in enumerate(rows, start=turn) if number % processes == rank]
            turn += len(rows)
            halving(partial(score, pick(columns), every[columns], own), columns.stop - columns.start)
    if processes > 1:
        add_up(scores)
    return scores


def _lengths(captions: Encoding) -> Tensor | None:
    """[M] words per caption, or None for encodings without words."""
    return captions.lengths if isinstance(captions, WordSet) else None


def _on(encoding: EncodingT, device: torch.device | None) -> EncodingT:
    return encoding if device is None else encoding.to(device)


def score_split(
    network: Network,
    data: EvaluationData,
    device: torch.device,
    precision: str = "float32",
    memory_budget: int = MEMORY_BUDGET,
    progress: Callable[[Sequence[Block]], Iterable[Block]] = iter,
    share: bool = False,
) -> Tensor:
    """Encode and score a split -> float32 [N, M] on the CPU; see `encode_data` and `score_matrix`."""
    images, captions = encode_data(network, data, device, precision)
    return score_matrix(network, images, captions, memory_budget, device, progress, share)


def best_candidates(cheap: Tensor, count: int) -> Tensor:
    """Select every item's best `count` candidates, in both directions, by cheap scores [N, M] -> bool [N, M]."""
    chosen = torch.zeros_like(cheap, dtype=torch.bool)
    for dim in (0, 1):
        best = cheap.topk(min(count, cheap.shape[dim]), dim=dim, sorted=False).indices
        chosen.scatter_(dim, best, True)
    return chosen


def candidate_recall(chosen: Tensor, caption_image: np.ndarray) -> dict[str, float]:
    """Measure the recall that reranking can reach: the percentage of images and of captions with a match.

    Args:
        chosen: [N, M] bool, the candidates.
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
    network: PairwiseNetwork[ImagesT, CaptionsT],
    images: ImagesT,
    captions: CaptionsT,
    chosen: Tensor,
    memory_budget: int = MEMORY_BUDGET,
    device: torch.device | None = None,
    progress: Callable[[Sequence[Any]], Iterable[Any]] = iter,
    share: bool = False,
) -> Tensor:
    """Score the pairs where `chosen` [N, M] is True -> float32 [N, M] on the CPU, 0 elsewhere.

    The scores are those of `score_matrix`. Captions are taken longest first, as many at a time as fill half of
    `memory_budget` with the encodings of their pairs; the network's temporaries come on top.

    Args:
        share: as `score_matrix` has it.
    """
    lengths = _lengths(captions)
    order = torch.arange(chosen.shape[1])
    if lengths is not None:
        order = lengths.argsort(descending=True, stable=True)
    image_bytes, caption_bytes = (sum(tensor[0].nbytes for tensor in side.tensors()) for side in (images, captions))
    taken = (chosen.sum(0)[order] * image_bytes + caption_bytes).cumsum(0)
    sizes = ((taken - taken[0]) // max(1, memory_budget // 2)).unique_consecutive(return_counts=True)[1]
    home = images.tensors()[0].device if device is None else device
    scores = torch.zeros(chosen.shape)

    def score(block: Tensor, some: slice) -> None:
        columns = block[some]
        rows, column = chosen[:, columns].nonzero(as_tuple=True)
        own, row = rows.unique(return_inverse=True)
        some_captions = captions if lengths is None else captions.cut(int(lengths[columns[0]]))
        pairs = network.similarity_of_pairs(
            _on(images.rows(own), device), _on(some_captions.rows(columns), device), row.to(home), column.to(home)
        )
        scores[rows, columns[column]] = pairs.float().cpu()

    rank, processes = rank_and_size() if share else (0, 1)
    halving = Halving()
    with evaluating(network):
        for number, columns in enumerate(progress(order.split(sizes.tolist()))):
            if number % processes == rank:
                halving(partial(score, columns), len(columns))
    if processes > 1:
        add_up(scores)
    return scores


def ensemble(matrices: Sequence[Tensor]) -> Tensor:
    """Average the scores [N, M] of several models of one split, as the original code combines two models.

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
    """Write scores [N, M] as float32 `.npy`; the file appears whole or not at all."""
    write_atomically(path, lambda file: np.save(file, scores.float().cpu().numpy(), allow_pickle=False))
