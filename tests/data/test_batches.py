"""Batches of images, of captions and of both."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch

from vse.data.batches import (
    BatchRequest,
    CaptionBatch,
    EpochSampler,
    EvaluationData,
    ImageBatch,
    PairBatch,
    PairDataset,
    ahead,
    iterate,
    pair_loader,
)
from vse.data.datasets import Split, open_split
from vse.data.loading import check_regions
from vse.data.noise import Noise
from vse.errors import InputError
from vse.text.token_ids import TokenIds, encode
from vse.text.vocabulary import Vocabulary

META = torch.device("meta")
CAPTIONS = ["a", "a dog", "a dog on the grass", "two dogs", "a cat sleeps", "snow"]


@pytest.fixture
def split(tmp_path: Path) -> Split:
    (tmp_path / "train_caps.txt").write_text("\n".join(CAPTIONS) + "\n")
    np.save(tmp_path / "train_ims.npy", np.arange(3 * 4, dtype=np.float32).reshape(3, 4))
    split = open_split(tmp_path, "train")
    split.image_extras["boxes"] = lambda ids: torch.from_numpy(10.0 * ids)
    split.caption_extras["edges"] = lambda ids: torch.from_numpy(100 * ids)
    return split


@pytest.fixture
def tokens(split: Split) -> TokenIds:
    return encode(split.captions, Vocabulary.build(split.captions, 1))


def pairs() -> PairBatch:
    return PairBatch(
        images=torch.zeros(2, 4),
        captions=torch.ones(2, 3, dtype=torch.int64),
        lengths=torch.tensor([3, 2]),
        image_ids=torch.tensor([0, 1]),
        caption_ids=torch.tensor([0, 2]),
        region_lengths=torch.tensor([1, 1]),
        extras={"boxes": torch.zeros(2, 4)},
    )


def test_moving_a_batch_leaves_lengths_on_the_host() -> None:
    moved = pairs().to(META)
    assert type(moved) is PairBatch
    assert {moved.images.device, moved.captions.device, moved.image_ids.device, moved.caption_ids.device} == {META}
    assert moved.extras["boxes"].device == META
    assert moved.lengths.device.type == "cpu"
    assert moved.region_lengths is not None
    assert moved.region_lengths.device.type == "cpu"


def test_float16_images_are_float32_on_the_device() -> None:
    moved = replace(pairs(), images=torch.full((2, 4), 1.5, dtype=torch.float16)).to(torch.device("cpu"))
    assert moved.images.dtype == torch.float32
    assert moved.images.tolist() == [[1.5] * 4] * 2


def test_a_pair_batch_is_an_image_batch_and_a_caption_batch() -> None:
    assert isinstance(pairs(), ImageBatch)
    assert isinstance(pairs(), CaptionBatch)


def test_batches_can_be_sent_between_processes() -> None:
    sent = pickle.loads(pickle.dumps(pairs()))
    assert torch.equal(sent.lengths, pairs().lengths)


def test_pairs_are_sorted_by_length_in_every_field(split: Split, tokens: TokenIds) -> None:
    batch = PairDataset(split, tokens, descriptions=np.arange(6.0)[:, None]).read(np.array([1, 2, 5]))
    assert isinstance(batch, PairBatch)
    assert batch.caption_ids.tolist() == [2, 1, 5]
    assert batch.lengths.tolist() == [7, 4, 3]
    assert batch.image_ids.tolist() == [1, 0, 2]
    assert batch.images[:, 0].tolist() == [4, 0, 8]
    assert batch.descriptions is not None
    assert batch.descriptions.flatten().tolist() == [2, 1, 5]
    assert batch.extras["boxes"].tolist() == [10, 0, 20]
    assert batch.extras["edges"].tolist() == [200, 100, 500]


def test_images_on_the_device_make_the_same_pairs(split: Split, tokens: TokenIds) -> None:
    dataset = PairDataset(split, tokens)
    wanted = dataset.read(np.arange(6))
    dataset.keep_images_on(torch.device("cpu"))
    batch = dataset.read(np.arange(6))
    assert not isinstance(batch, PairBatch)
    added = dataset.with_images(batch)
    assert isinstance(wanted, PairBatch)
    assert torch.equal(added.images, wanted.images)
    assert torch.equal(added.extras["boxes"], wanted.extras["boxes"])


def test_a_batch_with_images_is_passed_on(split: Split, tokens: TokenIds) -> None:
    batch = pairs()
    assert PairDataset(split, tokens).with_images(batch) is batch


@pytest.fixture
def adaptive(tmp_path: Path) -> Split:
    """Three images with 2, 1 and 3 regions, two captions each."""
    (tmp_path / "dev_caps.txt").write_text("\n".join(CAPTIONS) + "\n")
    np.save(tmp_path / "dev_ims.npy", np.ones((3, 3, 4), np.float32))
    np.save(tmp_path / "dev_ims_len.npy", np.array([2, 1, 3], np.int32))
    return open_split(tmp_path, "dev")


def test_pairs_and_images_carry_their_numbers_of_regions(adaptive: Split) -> None:
    tokens = encode(adaptive.captions, Vocabulary.build(adaptive.captions, 1))
    batch = PairDataset(adaptive, tokens).read(np.array([5, 0, 3]))
    assert isinstance(batch, PairBatch)
    assert batch.region_lengths is not None
    assert batch.region_lengths.tolist() == [[2, 1, 3][image] for image in batch.image_ids.tolist()]
    seen = [images.region_lengths for images in EvaluationData(adaptive, tokens, batch_size=2).images()]
    assert [lengths.tolist() for lengths in seen if lengths is not None] == [[2, 1], [3]]


@pytest.mark.parametrize(("free", "fit"), [(2 * 3 * 4 * 4 + 2, True), (2 * 3 * 4 * 4, False)])
def test_features_fit_in_half_of_the_free_memory(
    split: Split, tokens: TokenIds, free: int, fit: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *_: (free, 10 * free))
    dataset = PairDataset(split, tokens)
    assert dataset.fit_on(torch.device("cuda")) == fit
    assert not dataset.fit_on(torch.device("cpu"))


def test_images_of_different_numbers_of_regions_stay_on_the_host(adaptive: Split) -> None:
    tokens = encode(adaptive.captions, Vocabulary.build(adaptive.captions, 1))
    with pytest.raises(InputError, match="--features_on_device: images differ in their number of regions"):
        PairDataset(adaptive, tokens).keep_images_on(META)


def test_evaluation_reads_each_image_once_in_order(split: Split, tokens: TokenIds) -> None:
    batches = list(EvaluationData(split, tokens, batch_size=2).images())
    assert [batch.image_ids.tolist() for batch in batches] == [[0, 1], [2]]
    assert torch.equal(torch.cat([batch.images for batch in batches]), torch.arange(12.0).view(3, 4))
    assert [batch.extras["boxes"].tolist() for batch in batches] == [[0, 10], [20]]


def test_evaluation_reads_each_caption_once_longest_first(split: Split, tokens: TokenIds) -> None:
    batches = list(EvaluationData(split, tokens, batch_size=4).texts())
    lengths = torch.cat([batch.lengths for batch in batches]).tolist()
    assert lengths == sorted(lengths, reverse=True)
    ids = torch.cat([batch.caption_ids for batch in batches])
    assert sorted(ids.tolist()) == list(range(6))
    assert torch.equal(torch.cat([batch.image_ids for batch in batches]), ids // 2)


def test_processes_share_every_global_batch() -> None:
    shares = [list(EpochSampler(10, 2, seed=1, epoch=0, rank=rank, world_size=2)) for rank in range(2)]
    assert [len(share) for share in shares] == [3, 3]
    assert sorted(np.concatenate([request.captions for share in shares for request in share])) == list(range(10))


def test_an_epoch_continues_at_its_position() -> None:
    whole = list(EpochSampler(10, 2, seed=1, epoch=3))
    rest = list(EpochSampler(10, 2, seed=1, epoch=3, position=2))
    assert [request.position for request in rest] == [2, 3, 4]
    assert all(np.array_equal(a.captions, b.captions) for a, b in zip(whole[2:], rest, strict=True))


@pytest.mark.parametrize(("drop_last", "smallest", "batches"), [(False, 1, 4), (True, 1, 3), (False, 2, 3)])
def test_the_last_batch_is_kept_if_it_is_large_enough(drop_last: bool, smallest: int, batches: int) -> None:
    assert len(EpochSampler(10, 3, 0, 0, drop_last=drop_last, smallest_batch=smallest)) == batches


class Broken(PairDataset):
    def __getitem__(self, request: BatchRequest) -> CaptionBatch:
        raise InputError("train_ims.npy: row 3 holds NaN")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_workers_error_is_one_sentence(split: Split, tokens: TokenIds, workers: int) -> None:
    loader = pair_loader(Broken(split, tokens), EpochSampler(6, 2, 0, 0), workers)
    with pytest.raises(InputError) as caught:
        list(iterate(loader))
    assert str(caught.value) == "train_ims.npy: row 3 holds NaN"


def test_one_item_is_read_ahead_of_the_one_in_use() -> None:
    begun = [Event() for _ in range(4)]

    def items() -> Iterator[int]:
        for number, event in enumerate(begun):
            event.set()
            yield number

    for number in ahead(items()):
        assert all(event.wait(10) for event in begun[: number + 2])
        assert not any(event.is_set() for event in begun[number + 2 :])
    assert number == 3


def test_an_error_of_reading_ahead_is_raised_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise InputError("broken")

    got = ahead(items())
    assert next(got) == 1
    with pytest.raises(InputError, match="broken"):
        next(got)


def test_networks_of_fixed_regions_refuse_different_numbers(adaptive: Split) -> None:
    with pytest.raises(InputError, match=r"dev_ims\.npy: images have 1 to 3 regions; SGRAF needs the same number"):
        check_regions(adaptive, "SGRAF", uniform=True)
    check_regions(adaptive, "VSRN")


def test_a_mismatched_pair_has_the_image_and_id_it_is_given(split: Split, tokens: TokenIds) -> None:
    noise = Noise(np.array([2, 0, 1, 1, 2, 0]), np.array([True, False, False, False, False, True]), "captions", "")
    batch = PairDataset(split, tokens, noise=noise).read(np.array([0, 1, 5]))
    images = {0: 2, 1: 0, 5: 0}
    assert batch.image_ids.tolist() == [images[caption] for caption in batch.caption_ids.tolist()]
    clean = PairDataset(split, tokens).read(np.array([0, 2, 4]))
    assert isinstance(batch, PairBatch)
    assert isinstance(clean, PairBatch)
    pixels = dict(zip(clean.image_ids.tolist(), clean.images.tolist(), strict=True))
    assert batch.images.tolist() == [pixels[image] for image in batch.image_ids.tolist()]
    assert batch.extras["boxes"].tolist() == [10 * image for image in batch.image_ids.tolist()]
