"""Encodings select, cut, map and move their tensors as one."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from vse.data.batches import ImageBatch
from vse.errors import InputError
from vse.nn.network import Embeddings, RegionSet, WordSet, uniform_regions


@dataclass(frozen=True, eq=False)
class WordsWithMean(WordSet):
    means: Tensor


def words() -> WordsWithMean:
    lengths = torch.tensor([3, 1, 2])
    features = torch.arange(3 * 3 * 2.0).view(3, 3, 2) * (torch.arange(3) < lengths[:, None])[..., None]
    return WordsWithMean(features, lengths, features.sum(1) / lengths[:, None])


def test_length_counts_items() -> None:
    assert len(words()) == 3
    assert len(Embeddings(torch.zeros(5, 2))) == 5


def test_rows_select_the_same_items_of_every_tensor() -> None:
    chosen = words().rows(torch.tensor([2, 0]))
    assert type(chosen) is WordsWithMean
    for field, whole in zip(chosen.tensors(), words().tensors(), strict=True):
        assert torch.equal(field, whole[[2, 0]])


def test_rows_of_a_slice_share_memory() -> None:
    images = RegionSet(torch.zeros(4, 2, 3))
    images.rows(slice(1, 3)).features.fill_(1.0)
    assert images.features.sum() == 2 * 2 * 3


def test_cut_shortens_words_and_nothing_else() -> None:
    cut = words().cut(2)
    assert cut.features.shape == (3, 2, 2)
    assert torch.equal(cut.means, words().means)
    assert torch.equal(cut.lengths, words().lengths)


def test_cut_leaves_encodings_without_padding_alone() -> None:
    images = RegionSet(torch.zeros(4, 5, 3))
    assert images.cut(1) is images


def test_map_changes_every_tensor_in_the_order_of_fields() -> None:
    seen: list[tuple[int, ...]] = []
    words().map(lambda tensor: (seen.append(tuple(tensor.shape)), tensor)[1])
    assert seen == [(3, 3, 2), (3,), (3, 2)]


def test_lengths_stay_on_the_host_when_words_move() -> None:
    moved = words().to("meta")
    assert moved.features.device.type == moved.means.device.type == "meta"
    assert moved.lengths.device.type == "cpu"


def test_uneven_regions_are_refused_where_they_must_agree() -> None:
    images = ImageBatch(images=torch.zeros(2, 3, 4), image_ids=torch.arange(2))
    assert uniform_regions(images) is images.images
    images.region_lengths = torch.tensor([3, 2])
    with pytest.raises(InputError, match="images with 2 to 3 regions"):
        uniform_regions(images)
