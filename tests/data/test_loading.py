"""Data sets as networks read them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from vse.data.datasets import Split
from vse.data.loading import Reader, descriptions_of, open_training_data
from vse.errors import InputError
from vse.options import DataOptions
from vse.text.vocabulary import Vocabulary


def test_a_file_of_descriptions_is_read_in_place_of_svd(make_data_set, tmp_path: Path) -> None:
    make_data_set(tmp_path / "small")
    np.save(tmp_path / "mine.npy", np.arange(360, dtype=np.float32).reshape(120, 3))
    data = DataOptions(str(tmp_path), "small", batch_size=8, descriptions=str(tmp_path / "mine.npy"))
    read = open_training_data(data, Reader(), 0, needs_descriptions=True).pairs.descriptions
    assert read[5].tolist() == [15, 16, 17]


def test_descriptions_that_no_objective_reads_are_refused(make_data_set, tmp_path: Path) -> None:
    make_data_set(tmp_path / "small")
    data = DataOptions(str(tmp_path), "small", batch_size=8, descriptions="sentence")
    with pytest.raises(InputError, match="--descriptions and --sentence_encoder do nothing"):
        open_training_data(data, Reader(), 0, needs_descriptions=False)


@pytest.mark.parametrize("shape", [(8, 4, 5), (8, 3, 6)])
def test_a_dev_split_of_another_shape_is_refused(make_data_set, tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(make_data_set(tmp_path / "small") / "dev_ims.npy", np.ones(shape, np.float32))
    with pytest.raises(InputError, match=r"an image of dev has shape \[\d, \d\], one of train \[4, 6\]"):
        open_training_data(DataOptions(str(tmp_path), "small", batch_size=8), Reader(), 0, needs_descriptions=False)


def test_the_share_of_unknown_words_of_both_splits_is_printed(
    make_data_set, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_data_set(tmp_path / "small")
    open_training_data(DataOptions(str(tmp_path), "small", batch_size=8), Reader(), 0, needs_descriptions=False)
    printed = capsys.readouterr().out
    for split in ("train", "dev"):
        assert re.search(rf"{folder / split}_caps.txt: 0\.\d% unknown words", printed)


def test_a_vocabulary_of_other_captions_is_refused(make_data_set, tmp_path: Path) -> None:
    make_data_set(tmp_path / "small")
    Vocabulary.build(["ein Schiff fährt nach Norden"], 1).save(tmp_path / "other.json")
    data = DataOptions(str(tmp_path), "small", str(tmp_path / "other.json"), batch_size=8)
    with pytest.raises(InputError, match=r"train_caps\.txt: 100% of the words are unknown"):
        open_training_data(data, Reader(), 0, needs_descriptions=False)


def test_a_batch_too_large_is_refused_before_anything_is_made(make_data_set, tmp_path: Path) -> None:
    folder = make_data_set(tmp_path / "small")
    before = sorted(folder.iterdir())
    data = DataOptions(str(tmp_path), "small", batch_size=121)
    with pytest.raises(InputError, match="--batch_size 121: 121 pairs a step are more than the 120 training captions"):
        open_training_data(data, Reader(), 0, needs_descriptions=True)
    assert sorted(folder.iterdir()) == before


def test_a_single_image_to_train_on_is_refused(make_data_set, tmp_path: Path) -> None:
    make_data_set(tmp_path / "one", images=(1, 8, 8))
    with pytest.raises(InputError, match="one image to train on has no wrong answers"):
        open_training_data(DataOptions(str(tmp_path), "one", batch_size=5), Reader(), 0, needs_descriptions=False)


def test_images_that_train_and_dev_share_are_warned_of(
    make_data_set, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_data_set(tmp_path / "small")
    for split, first, count in (("train", 100, 24), ("dev", 120, 8)):
        (folder / f"{split}_ids.txt").write_text("".join(f"{first + k}\n" for k in range(count)))
    open_training_data(DataOptions(str(tmp_path), "small", batch_size=8), Reader(), 0, needs_descriptions=False)
    assert "4 images of train are in dev as well, first 120" in capsys.readouterr().err


def test_uneven_captions_keep_their_images_and_descriptions(make_data_set, tmp_path: Path) -> None:
    folder = make_data_set(tmp_path / "small")
    owner = np.repeat(np.arange(24), [3, 7] * 12)
    np.save(folder / "train_caption_image.npy", owner)
    np.save(tmp_path / "mine.npy", np.arange(120, dtype=np.float32)[:, None] + 1)
    data = DataOptions(str(tmp_path), "small", batch_size=8, descriptions=str(tmp_path / "mine.npy"))
    pairs = open_training_data(data, Reader(), 0, needs_descriptions=True).pairs
    batch = pairs.read(np.array([0, 3, 9, 10, 119]))
    assert batch.image_ids.tolist() == owner[batch.caption_ids.numpy()].tolist()
    assert batch.descriptions is not None
    assert batch.descriptions[:, 0].tolist() == (batch.caption_ids + 1).tolist()
    features = torch.from_numpy(np.load(folder / "train_ims.npy"))
    assert torch.equal(batch.images, features[batch.image_ids])  # type: ignore[attr-defined]


def test_captions_left_out_take_their_descriptions_along(tmp_path: Path) -> None:
    file = tmp_path / "train_caps.txt"
    file.write_text("".join(f"caption {line}\n" for line in range(6)))
    np.save(tmp_path / "mine.npy", np.arange(6, dtype=np.float32)[:, None] + 1)
    lines = np.array([0, 1, 4, 5])
    split = Split("train", file, [f"caption {line}" for line in lines], [], np.arange(4) // 2, lines)  # type: ignore[arg-type]
    read = descriptions_of(split, DataOptions(descriptions=str(tmp_path / "mine.npy")))
    assert read[:, 0].tolist() == [1, 2, 5, 6]
