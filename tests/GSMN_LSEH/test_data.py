"""Edges and word ids come from files; without them a substitute is used and announced."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from GSMN_LSEH.data import LEGACY_ACCESSES, DecayingPairs, add_graphs, published_ids, read_edges, reader
from vse.data.batches import BatchRequest, EvaluationData, PairDataset
from vse.data.boxes import Boxes
from vse.data.datasets import Split, open_split
from vse.data.noise import Noise
from vse.errors import InputError
from vse.text.token_ids import encode
from vse.text.vocabulary import Vocabulary
from vse.text.words import Words

IMAGES = 8


@pytest.fixture
def split(tmp_path: Path, make_data_set) -> Split:
    return open_split(make_data_set(tmp_path / "small", images=(IMAGES, 2, 2)), "train")


@pytest.fixture
def words(split: Split) -> Vocabulary:
    return Vocabulary.build(split.captions, 1)


def options(**changes: bool) -> dict[str, bool]:
    return {"stand_in": True, "is_sparse": False, "legacy_boxes": False, "legacy_rows": True, **changes}


def beside(split: Split, ending: str) -> Path:
    return split.file(f"{ending}")


def test_features_without_regions_are_refused(tmp_path: Path, make_data_set) -> None:
    folder = make_data_set(tmp_path / "global", regions=0)
    with pytest.raises(InputError, match="GSMN needs features of regions"):
        reader(stand_in=True, is_sparse=False, legacy_boxes=False).open_split(folder, "train")


def test_edges_leave_the_root_out_and_windows_stand_in(
    split: Split, words: Vocabulary, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = encode(split.captions, words)
    window = read_edges(split, ids)
    assert "neighbouring words are connected" in capsys.readouterr().out
    longest = int(ids.lengths[:2].max())
    assert window(np.array([0, 1])).tolist() == [[[k, k + 1] for k in range(longest - 1)]] * 2
    parses = [[[0, 2], [2, 1], [2, 3]], [[0, 1]], *([[0, 1], [1, 2]] for _ in split.captions[2:])]
    beside(split, "caps.json").write_text(json.dumps(parses))
    edges = read_edges(split, ids)
    assert edges(np.array([1, 0, 4])).tolist() == [[[-1, -1]] * 2, [[2, 1], [2, 3]], [[1, 2], [-1, -1]]]


@pytest.mark.parametrize("content", ["[[[0, 1]]]", "{}", "not json", "PAIRS"])
def test_other_parses_are_refused(split: Split, words: Vocabulary, content: str) -> None:
    content = json.dumps([[[0, 1], [1, 2, 3]]] * len(split.captions)) if content == "PAIRS" else content
    beside(split, "caps.json").write_text(content)
    with pytest.raises(InputError, match=r"caps\.json: .*expected a list of \[head, dependent\] pairs"):
        read_edges(split, encode(split.captions, words))


def test_published_word_ids_must_belong_to_the_vocabulary(split: Split, words: Vocabulary) -> None:
    assert published_ids(split, words) is None
    ids = encode(split.captions, words)
    lines = [",".join(map(str, ids[k])) for k in range(len(split.captions))]
    beside(split, "precaps_stan.txt").write_text("\n".join(lines) + "\n")
    read = published_ids(split, words)
    assert read is not None
    np.testing.assert_array_equal(read.values, ids.values)
    np.testing.assert_array_equal(read.offsets, ids.offsets)
    special, rest = words.decode(()).split(), sorted(words.word2idx, key=words.word2idx.get)  # type: ignore[arg-type]
    assert special == []
    other = Vocabulary([*rest[:4], *rest[5:], rest[4]])
    for vocabulary, sentence in ((Vocabulary(rest[:10]), "the vocabulary has 10"), (other, "of the captions' words")):
        with pytest.raises(InputError, match=sentence):
            published_ids(split, vocabulary)
    beside(split, "precaps_stan.txt").write_text("1,2\n")
    with pytest.raises(InputError, match="1 lines for 40 captions"):
        published_ids(split, words)


def test_both_sides_of_evaluation_carry_what_pairs_carry(split: Split, words: Vocabulary) -> None:
    ids = encode(split.captions, words)
    pairs, evaluation = PairDataset(split, ids), EvaluationData(split, ids, batch_size=3)
    add_graphs(pairs, Words(words), **options(is_sparse=True))
    batch = pairs.read(np.array([7, 3, 21]))
    images = torch.cat([part.extras["boxes"] for part in evaluation.images()])
    torch.testing.assert_close(batch.extras["boxes"], images[batch.image_ids])
    assert all(len(part.extras["edges"]) == len(part.caption_ids) for part in evaluation.texts())
    assert batch.extras["edges"].shape[0] == 3
    assert batch.to(torch.device("cpu")).extras["boxes"] is not None


def test_legacy_boxes_decay_and_belong_to_other_images(split: Split, words: Vocabulary) -> None:
    boxes = Boxes(np.full((IMAGES, 4, 4), 64, np.float32), np.full((IMAGES, 2), 4, np.float32))
    pairs = DecayingPairs(PairDataset(split, encode(split.captions, words)), boxes)
    for epoch, draws in ((0, 0), (2, 10)):
        batch = pairs[BatchRequest(epoch, 0, np.arange(10))]
        expected = 64 / 4.0 ** (draws + batch.caption_ids.numpy() % 5 + 1)
        np.testing.assert_allclose(batch.extras["boxes"][:, 0, 0], expected, rtol=1e-6)
    sizes = np.full((IMAGES, 2), 2, np.float32)
    corners = np.arange(IMAGES, dtype=np.float32)[:, None, None].repeat(4, 1).repeat(4, 2)
    np.save(beside(split, "ims_bbx.npy"), corners / 4)
    np.save(beside(split, "ims_size.npy"), sizes)
    for legacy_rows, expected in ((True, [0, 0, 0, 0, 0, 1, 1, 1]), (False, list(range(IMAGES)))):
        given = options(legacy_boxes=True, legacy_rows=legacy_rows)
        add_graphs(PairDataset(split, pairs.captions), Words(words), **given)
        read = split.image_extras["boxes"](np.arange(IMAGES))[:, 0, 0]
        assert (read * 2**LEGACY_ACCESSES * 4).tolist() == expected


def test_boxes_of_mismatched_pairs_decay_with_their_image(split: Split, words: Vocabulary) -> None:
    boxes = Boxes(np.full((IMAGES, 4, 4), 64, np.float32), np.full((IMAGES, 2), 4, np.float32))
    index = split.caption_image.copy()
    index[[1, 38]] = index[[38, 1]]  # caption 1 becomes the first of image 7, and caption 38 the last of image 0
    noise = Noise(index, index != split.caption_image, "captions", "")
    pairs = DecayingPairs(PairDataset(split, encode(split.captions, words), noise=noise), boxes)
    batch = pairs[BatchRequest(0, 0, np.array([0, 1, 2, 38, 35]))]
    draws = np.array([{0: 1, 1: 1, 2: 2, 38: 5, 35: 2}[caption] for caption in batch.caption_ids.tolist()])
    np.testing.assert_allclose(batch.extras["boxes"][:, 0, 0], 64 / 4.0**draws, rtol=1e-6)
