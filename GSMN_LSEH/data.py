"""What a batch of GSMN holds besides regions and words: the regions' boxes and, for sparse graphs, the words' edges.

The published extra files of a split are read where they are (formats: docs/data.md and this folder's README):
`*_ims_bbx.npy` and `*_ims_size.npy`, `*_caps.json`, `*_precaps_stan.txt`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import orjson
import torch
from torch import Tensor

from vse.console import say
from vse.data.batches import BatchRequest, CaptionBatch, Captions, EvaluationData, PairDataset
from vse.data.boxes import Boxes, read_boxes
from vse.data.datasets import Extra, Split
from vse.data.loading import Reader, Text, regions_of
from vse.data.records import changed_since
from vse.errors import InputError
from vse.files import read_bytes, read_text
from vse.text.ragged import Ragged
from vse.text.token_ids import TokenIds
from vse.text.vocabulary import Vocabulary
from vse.text.words import Words

LEGACY_ACCESSES = 10
"""How often the original code has divided the boxes of a float32 file when it scores them."""


def reader(stand_in: bool, is_sparse: bool, legacy_boxes: bool, legacy_rows: bool = True, boxes: bool = True) -> Reader:
    """Read regions with their boxes, words and, for sparse graphs, edges between words.

    Args:
        stand_in: a regular grid may replace missing boxes.
        is_sparse: read the edges of a parse.
        legacy_boxes: boxes shrink at every access, as in the original code.
        legacy_rows: with `legacy_boxes`, image i gets the box row i, which belongs to image i // 5, as in the original
            evaluation without five folds.
        boxes: read the regions' boxes; False where an image tower has them.
    """
    complete = partial(
        add_graphs,
        stand_in=stand_in,
        is_sparse=is_sparse,
        legacy_boxes=legacy_boxes,
        legacy_rows=legacy_rows,
        boxes=boxes,
    )
    return Reader(regions_of("GSMN"), complete=complete)


def add_graphs(
    data: PairDataset | EvaluationData,
    text: Text,
    *,
    stand_in: bool,
    is_sparse: bool,
    legacy_boxes: bool,
    legacy_rows: bool,
    boxes: bool = True,
) -> PairDataset | EvaluationData:
    """Add boxes and edges to a split, and its word ids of the original code if there are any; see `reader`.

    Raises:
        InputError: files are missing, damaged or do not belong together.
    """
    split = data.split
    ids = published_ids(split, text.vocabulary) if isinstance(text, Words) else None
    if ids is not None:
        data.captions = ids
    if is_sparse:
        split.caption_extras["edges"] = read_edges(split, data.captions)
    if not boxes:
        return data
    read = read_boxes(split, stand_in=stand_in)
    if legacy_boxes:
        counts = split.captions_per_image
        if counts.min() < counts.max():
            raise InputError(
                f"--legacy_boxes: the images of {split.name} have {counts.min()} to {counts.max()} captions; the "
                "original code knows only sets with equally many, leave the flag out"
            )
        per_image = int(counts[0]) if legacy_rows else 1
        split.image_extras["boxes"] = partial(_legacy, read, np.arange(len(split.images)) // per_image)
    else:
        split.image_extras["boxes"] = read.divided
    return DecayingPairs(data, read) if legacy_boxes and isinstance(data, PairDataset) else data


def _legacy(boxes: Boxes, rows: np.ndarray, images: np.ndarray) -> Tensor:
    return boxes.divided(rows[images], LEGACY_ACCESSES)


class DecayingPairs(PairDataset):
    """Training pairs whose boxes shrink as in the original code, which divides its own array at every access.

    There an image's boxes have been divided once more each time one of its captions was drawn; here the k-th caption
    of an image counts as its k-th draw of every epoch, so that a batch is a function of its place.
    """

    def __init__(self, pairs: PairDataset, boxes: Boxes) -> None:
        super().__init__(pairs.split, pairs.captions, pairs.descriptions, pairs.seed, pairs.augment, pairs.noise)
        self.boxes = boxes
        self.draws = np.bincount(self.caption_image)
        by_image = np.argsort(self.caption_image, kind="stable")
        first = np.cumsum(self.draws) - self.draws
        self.draw = np.empty_like(by_image)
        self.draw[by_image] = np.arange(len(by_image)) - first[self.caption_image[by_image]]

    def __getitem__(self, request: BatchRequest) -> CaptionBatch:
        batch = super().__getitem__(request)
        images = batch.image_ids.numpy()
        times = self.draws[images] * request.epoch + self.draw[batch.caption_ids.numpy()] + 1
        # From the twentieth division on every float32 box is 0.
        batch.extras["boxes"] = self.boxes.divided(images, np.minimum(times, 24))
        return batch


@dataclass(frozen=True)
class WindowEdges:
    """Connect each word with the next one, for captions without a parse."""

    captions: Captions

    def __call__(self, captions: np.ndarray) -> Tensor:
        """Connect the words of captions [B] -> [B, edges, 2] int64; those beyond a caption's end do not count."""
        longest = int(self.captions.batch(captions, None)[1].max())
        first = torch.arange(max(longest - 1, 0))
        return torch.stack([first, first + 1], dim=1).expand(len(captions), -1, 2)


def read_edges(split: Split, captions: Captions) -> Extra:
    """Read the edges of `*_caps.json`, a list of [head, dependent] per caption, without the first (the root).

    Without the file neighbouring words are connected, and a message says so.

    Returns:
        [B] captions -> [B, edges, 2] int64 positions of head and dependent in the captions' ids, padded with -1.

    Raises:
        InputError: the file is damaged or of other captions.
    """
    path = split.file("caps.json")
    expected = "expected a list of [head, dependent] pairs for each caption, as python -m vse parse writes it"
    if changed_since(split.file("parse.json")):
        raise InputError(f"{path}: made from captions that have changed since; run python -m vse parse again")
    try:
        parses = orjson.loads(read_bytes(path))
    except FileNotFoundError:
        say(f"{path}: no such file (python -m vse parse makes it); neighbouring words are connected instead")
        return WindowEdges(captions)
    except (OSError, ValueError) as problem:
        raise InputError(f"{path}: not a JSON file ({problem}); {expected}") from None
    if not isinstance(parses, list) or len(parses) < len(split.captions):
        count = len(parses) if isinstance(parses, list) else 0
        raise InputError(f"{path}: {count} parses for {len(split.captions)} captions; {expected}")
    parses = parses[: len(split.captions)]
    try:
        edges = Ragged.from_rows([parse[1:] for parse in parses], np.int32, (2,))
    except (TypeError, ValueError, OverflowError) as problem:
        raise InputError(f"{path}: {problem}; {expected}") from None
    return partial(_padded, edges)


def _padded(edges: Ragged, captions: np.ndarray) -> Tensor:
    return torch.from_numpy(edges.stack(captions, padding=-1))


def published_ids(split: Split, vocabulary: Vocabulary) -> TokenIds | None:
    """Read the word ids of `*_precaps_stan.txt`, a line of comma-separated ids per caption; None without that file.

    Raises:
        InputError: not such a file, or of other captions or another vocabulary.
    """
    path = split.file("precaps_stan.txt")
    if not path.exists():
        return None
    remedy = "give the vocabulary it was made with by --vocab_path, or move the file away to have the captions read"
    lines = read_text(path, encoding="ascii", errors="replace").split("\n")
    lines = [line for line in lines if line.strip()]
    if len(lines) < len(split.captions):
        raise InputError(f"{path}: {len(lines)} lines for {len(split.captions)} captions; {remedy}")
    lines = lines[: len(split.captions)]
    try:
        rows = [[int(word) for word in line.strip().strip(",").split(",")] for line in lines]
        ids = TokenIds.from_rows(rows, np.int32)
    except (ValueError, OverflowError) as problem:
        raise InputError(f"{path}: {problem}; expected a line of comma separated word ids per caption") from None
    outside = ids.values[(ids.values < 0) | (ids.values >= len(vocabulary))]
    if len(outside):
        raise InputError(f"{path}: word id {outside[0]}, the vocabulary has {len(vocabulary)} words; {remedy}")
    sample = range(min(len(rows), 100))
    found = sum(_share_of_words(split.captions[k], vocabulary.decode(ids[k])) for k in sample) / len(sample)
    if found < 0.5:
        raise InputError(f"{path}: its ids are {found:.0%} of the captions' words in this vocabulary; {remedy}")
    return ids


def _share_of_words(caption: str, decoded: str) -> float:
    """How many words of the decoded ids occur in the caption."""
    words = [word for word in decoded.split() if word != "<unk>"]
    return sum(word in caption.lower() for word in words) / max(len(words), 1)
