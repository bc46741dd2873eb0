"""Encoding and scoring a split: order, modes, blocks, memory; ensembles and saved similarities."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vse.data.batches import CaptionBatch, ImageBatch
from vse.errors import InputError
from vse.evaluation import scoring as similarity
from vse.evaluation.arrays import read_matrix
from vse.evaluation.scoring import encode_split, ensemble, save_similarities, score_matrix
from vse.nn.encoders import CaptionGRU, l2norm, last_states
from vse.nn.network import EmbeddingNetwork, Embeddings, Encoding, Network, PairwiseNetwork, RegionSet, WordSet

CPU = torch.device("cpu")
N, M, R, F, D = 7, 33, 5, 12, 9  # the longest caption has D tokens too, so that words and vectors can be confused


@dataclass(frozen=True, eq=False)
class SummarisedWords(WordSet):
    """Words of captions, and a vector per caption that padding must leave alone."""

    summary: Tensor  # [m, D]


class Vectors(EmbeddingNetwork):
    """An embedding per item; dropout shows whether evaluation mode is on."""

    def __init__(self) -> None:
        super().__init__()
        self.image_encoder = nn.Sequential(nn.Flatten(1), nn.Linear(R * F, D), nn.Dropout(0.5))
        self.caption_encoder = CaptionGRU(40, 6, D, dropout=0.5)
        self.encoded: list[int] = []

    def encode_images(self, images: ImageBatch) -> Embeddings:
        self.encoded += images.image_ids.tolist()
        return Embeddings(l2norm(self.image_encoder(images.images)))

    def encode_captions(self, captions: CaptionBatch) -> Embeddings:
        return Embeddings(last_states(self.caption_encoder(captions.captions, captions.lengths), captions.lengths))


class RegionsAgainstWords(PairwiseNetwork[RegionSet, SummarisedWords]):
    """A masked sum over words of the best region, weighted by the caption's summary."""

    def __init__(self) -> None:
        super().__init__()
        self.image_encoder = nn.Linear(F, D)
        self.caption_encoder = CaptionGRU(40, 6, D, dropout=0.5)
        self.head = nn.Dropout(0.5)
        self.blocks: list[tuple[int, int, int]] = []

    def encode_images(self, images: ImageBatch) -> RegionSet:
        return RegionSet(self.image_encoder(images.images))

    def encode_captions(self, captions: CaptionBatch) -> SummarisedWords:
        states = self.caption_encoder(captions.captions, captions.lengths)
        return SummarisedWords(states, captions.lengths, last_states(states, captions.lengths))

    def similarity(self, images: RegionSet, captions: SummarisedWords) -> Tensor:
        assert captions.summary.shape[1] == D
        self.blocks.append((len(images), *captions.features.shape[:2]))
        words = torch.einsum("nrd,mtd->nmtr", images.features, captions.features).amax(dim=-1)
        there = torch.arange(captions.features.shape[1]) < captions.lengths[:, None]
        return self.head((words * there).sum(dim=-1) * captions.summary.sum(dim=-1))


def split_batches(image_batch: int = 3, caption_batch: int = 8) -> tuple[list[ImageBatch], list[CaptionBatch]]:
    """Images in order, captions longest first, as the loaders give them."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(N, R, F, generator=generator)
    lengths = torch.randint(2, D + 1, (M,), generator=generator)
    lengths[4] = D
    captions = torch.randint(1, 40, (M, D), generator=generator) * (torch.arange(D) < lengths[:, None])
    image_batches = [ImageBatch(images=images[ids], image_ids=ids) for ids in torch.arange(N).split(image_batch)]
    order = lengths.argsort(descending=True, stable=True)
    caption_batches = [
        CaptionBatch(
            captions=captions[ids, : lengths[ids].max()],
            lengths=lengths[ids],
            image_ids=torch.full_like(ids, -1),
            caption_ids=ids,
        )
        for ids in order.split(caption_batch)
    ]
    return image_batches, caption_batches


def encode_one_by_one(network: Network) -> tuple[list[Encoding], list[Encoding]]:
    """Each item alone, in data set order."""
    images, captions = split_batches(1, 1)
    captions.sort(key=lambda batch: int(batch.caption_ids))
    network.eval()
    with torch.no_grad():
        return [network.encode_images(batch) for batch in images], [network.encode_captions(b) for b in captions]


def test_captions_that_arrive_by_length_are_put_back_in_order() -> None:
    torch.manual_seed(0)
    network = Vectors()
    images, captions = encode_split(network, *split_batches(), device=CPU)
    alone_images, alone_captions = encode_one_by_one(network)
    torch.testing.assert_close(images.vectors, torch.cat([alone.vectors for alone in alone_images]))
    torch.testing.assert_close(captions.vectors, torch.cat([alone.vectors for alone in alone_captions]))


def test_local_features_are_padded_with_zeros_to_the_longest() -> None:
    torch.manual_seed(0)
    network = RegionsAgainstWords()
    _, captions = encode_split(network, *split_batches(), device=CPU)
    assert captions.features.shape == (M, D, D)
    for row, alone in enumerate(encode_one_by_one(network)[1]):
        length = int(alone.lengths)
        assert int(captions.lengths[row]) == length
        torch.testing.assert_close(captions.features[row, :length], alone.features[0])
        assert not captions.features[row, length:].any()


def test_every_image_is_encoded_once() -> None:
    network = Vectors()
    encode_split(network, *split_batches(), device=CPU)
    assert sorted(network.encoded) == list(range(N))


def test_bf16_encodings_are_kept_in_float32() -> None:
    images, captions = encode_split(Vectors(), *split_batches(), device=CPU, precision="bf16")
    assert images.vectors.dtype == captions.vectors.dtype == torch.float32


@pytest.mark.parametrize("change", ["missing", "twice"])
def test_batches_that_do_not_hold_each_row_once_are_refused(change: str) -> None:
    images, captions = split_batches()
    images = images[1:] if change == "missing" else [*images, images[0]]
    with pytest.raises(ValueError, match="exactly once"):
        encode_split(Vectors(), images, captions, device=CPU)


def test_modules_return_to_their_modes_after_an_error() -> None:
    network = RegionsAgainstWords().train()
    network.caption_encoder.eval()
    modes = [module.training for module in network.modules()]
    encodings = encode_split(network, *split_batches(), device=CPU)
    score_matrix(network, *encodings)
    assert [module.training for module in network.modules()] == modes
    images, captions = split_batches()
    captions[0].captions = torch.full_like(captions[0].captions, 1000)
    with pytest.raises(IndexError):
        encode_split(network, images, captions, device=CPU)
    assert [module.training for module in network.modules()] == modes


def test_evaluation_has_no_dropout_and_no_gradients() -> None:
    network = RegionsAgainstWords().train()
    first, again = (score_matrix(network, *encode_split(network, *split_batches(), device=CPU)) for _ in range(2))
    assert torch.equal(first, again)
    assert not first.requires_grad


@pytest.mark.parametrize("kind", [Vectors, RegionsAgainstWords])
@pytest.mark.parametrize("budget", [1, 500, 5_000, 60_000, 2**28])
def test_scores_do_not_depend_on_the_blocks(kind: type[Network], budget: int) -> None:
    torch.manual_seed(0)
    network = kind()
    images, captions = encode_split(network, *split_batches(), device=CPU)
    scores = score_matrix(network, images, captions, memory_budget=budget)
    alone_images, alone_captions = encode_one_by_one(network)
    with torch.no_grad():
        alone = torch.cat([torch.cat([network.similarity(i, c) for c in alone_captions], 1) for i in alone_images])
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, alone, rtol=1e-5, atol=1e-6)


def test_a_block_of_captions_is_cut_to_its_longest() -> None:
    network = RegionsAgainstWords()
    images, captions = encode_split(network, *split_batches(), device=CPU)
    score_matrix(network, images, captions, memory_budget=40_000)
    by_length = captions.lengths.sort(descending=True).values
    seen_images = seen_captions = 0
    for height, width, longest in network.blocks:
        assert longest == int(by_length[seen_captions])
        seen_images += height
        if seen_images == N:
            seen_images, seen_captions = 0, seen_captions + width
    assert seen_captions == M
    assert len({longest for _, _, longest in network.blocks}) > 1


def test_blocks_stay_within_the_memory_budget() -> None:
    class Measured(RegionsAgainstWords):
        def score_bytes(self, images: RegionSet, captions: SummarisedWords) -> int:
            return 4 * len(images) * R * captions.features.shape[0] * captions.features.shape[1]

    network = Measured()
    encodings = encode_split(network, *split_batches(), device=CPU)
    score_matrix(network, *encodings, memory_budget=2_000)
    assert all(4 * R * n * m * longest <= 2_000 for n, m, longest in network.blocks)
    assert len(network.blocks) < N * M / 4


class Tight(RegionsAgainstWords):
    """Has memory for so many pairs of a block only, and for batches of so many images or captions."""

    def __init__(self, most_pairs: int, most_items: int = 99) -> None:
        torch.manual_seed(0)
        super().__init__()
        self.most_pairs, self.most_items = most_pairs, most_items

    def needs(self, number: int, most: int) -> None:
        if number > most:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4096 bytes.")

    def encode_images(self, images: ImageBatch) -> RegionSet:
        self.needs(len(images.image_ids), self.most_items)
        return super().encode_images(images)

    def encode_captions(self, captions: CaptionBatch) -> SummarisedWords:
        self.needs(len(captions.caption_ids), self.most_items)
        return super().encode_captions(captions)

    def similarity(self, images: RegionSet, captions: SummarisedWords) -> Tensor:
        self.needs(len(images) * len(captions), self.most_pairs)
        return super().similarity(images, captions)

    def similarity_of_pairs(self, images: RegionSet, captions: SummarisedWords, i: Tensor, c: Tensor) -> Tensor:
        self.needs(len(i), self.most_pairs)
        return torch.stack(
            [
                super(Tight, self).similarity(images.rows(a), captions.rows(b))[0, 0]
                for a, b in zip(i.split(1), c.split(1), strict=True)
            ]
        )


@dataclass
class Batches:
    """What `EvaluationData` is to the encoders."""

    batch_size: int

    def images(self) -> list[ImageBatch]:
        return split_batches(self.batch_size)[0]

    def texts(self) -> list[CaptionBatch]:
        return split_batches(caption_batch=self.batch_size)[1]


@pytest.mark.parametrize("most", [N, 3 * N, 100])
def test_scores_are_equal_where_blocks_must_be_halved(most: int) -> None:
    whole, tight = Tight(10_000), Tight(most)
    encodings = encode_split(whole, *split_batches(), device=CPU)
    torch.testing.assert_close(score_matrix(tight, *encodings), score_matrix(whole, *encodings), rtol=1e-6, atol=1e-6)
    assert len(tight.blocks) > len(whole.blocks)


def test_candidates_are_equal_where_blocks_must_be_halved() -> None:
    whole, tight = Tight(10_000), Tight(N)
    encodings = encode_split(whole, *split_batches(), device=CPU)
    chosen = torch.ones(N, M, dtype=torch.bool)
    scores = [similarity.score_candidates(network, *encodings, chosen) for network in (whole, tight)]
    torch.testing.assert_close(*scores, rtol=1e-6, atol=1e-6)


def test_encodings_are_equal_where_batches_must_be_halved() -> None:
    whole, tight = (similarity.encode_data(Tight(0, most), Batches(16), CPU) for most in (99, 3))  # type: ignore[arg-type]
    for one, other in zip(
        (*whole[0].tensors(), *whole[1].tensors()), (*tight[0].tensors(), *tight[1].tensors()), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_too_little_memory_for_a_single_item_is_an_error() -> None:
    encodings = encode_split(Tight(0), *split_batches(), device=CPU)
    with pytest.raises(RuntimeError, match="4096 bytes"):
        score_matrix(Tight(0), *encodings)


def test_progress_wraps_the_blocks() -> None:
    seen: list[object] = []

    def progress(blocks: list[object]) -> list[object]:
        seen.extend(blocks)
        return blocks

    network = RegionsAgainstWords()
    score_matrix(network, *encode_split(network, *split_batches(), device=CPU), memory_budget=5_000, progress=progress)
    assert len(seen) > 1


def test_an_ensemble_is_the_mean_and_leaves_its_members_alone() -> None:
    a, b = torch.ones(2, 3), torch.full((2, 3), 4.0)
    assert torch.equal(ensemble([a, b]), torch.full((2, 3), 2.5))
    assert torch.equal(a, torch.ones(2, 3))


def test_an_ensemble_of_different_splits_is_refused() -> None:
    with pytest.raises(InputError, match=r"model 3 are \[2, 4\]"):
        ensemble([torch.ones(2, 3), torch.ones(2, 3), torch.ones(2, 4)])


def test_similarities_are_saved_as_float32_and_read_back(tmp_path: Path) -> None:
    scores = torch.randn(4, 6, dtype=torch.float64)
    save_similarities(tmp_path / "scores.npy", scores)
    assert [path.name for path in tmp_path.iterdir()] == ["scores.npy"]
    assert np.load(tmp_path / "scores.npy").dtype == np.float32
    assert torch.equal(read_matrix(tmp_path / "scores.npy"), scores.float())


def test_a_save_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "scores.npy"
    save_similarities(path, torch.ones(2, 2))

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(similarity.np, "save", full_disk)
    with pytest.raises(InputError, match="No space left"):
        save_similarities(path, torch.zeros(2, 2))
    assert [path.name for path in tmp_path.iterdir()] == ["scores.npy"]
    assert torch.equal(read_matrix(path), torch.ones(2, 2))


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere.*cannot be written"):
        save_similarities(tmp_path / "nowhere" / "scores.npy", torch.ones(2, 2))


@pytest.mark.parametrize("content", ["missing", "text", "truncated", "object", "vector", "archive"])
def test_a_file_that_holds_no_similarities_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "scores.npy"
    if content == "text":
        path.write_text("no numbers")
    elif content == "truncated":
        np.save(path, np.zeros((4, 4), np.float32))
        path.write_bytes(path.read_bytes()[:-8])
    elif content == "archive":
        with path.open("wb") as file:
            np.savez(file, scores=np.zeros((4, 4), np.float32))
    elif content != "missing":
        arrays = {"object": np.array([[None]]), "vector": np.zeros(3, np.float32)}
        np.save(path, arrays[content], allow_pickle=True)
    with pytest.raises(InputError, match=r"scores\.npy"):
        read_matrix(path)
