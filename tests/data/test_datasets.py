"""The folder of a data set is found under every name it goes by and no other; its splits pair what belongs together."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vse.data.datasets import DEV_IMAGES, is_raw_index, locate_data_set, open_split, search_data_set
from vse.data.preparing import prepare_data_set
from vse.errors import InputError

MakeDataSet = Callable[..., Path]


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("f30k", "f30k_precomp"),
        ("f30k_precomp", "f30k"),
        ("f30k", "f30k/precomp"),
        ("IAPRTC_precomp", "iaprtc12_precomp"),
        ("IAPRTC12_precomp", "IAPR"),
        ("iaprtc12", "IAPRTC12_precomp"),
        ("coco", "precomp"),
        ("coco_precomp", "."),
        (None, "."),
    ],
)
def test_a_data_set_is_found_under_every_name_it_goes_by(
    tmp_path: Path, make_data_set: MakeDataSet, name: str | None, folder: str
) -> None:
    make_data_set(tmp_path / folder)
    assert locate_data_set(tmp_path, name).resolve() == (tmp_path / folder).resolve()


@pytest.mark.parametrize(
    ("folder", "name", "found"),
    [
        ("demo_precomp", "coco_precomp", False),
        ("f30k_precomp", "coco", False),
        ("f30k/precomp", "coco", False),
        ("mine_precomp", "f30k", False),
        ("somewhere", "other", False),
        ("somewhere", "f30k_precmp", False),
        ("somewhere", "f30k_precomp", True),
        ("mine", "mine_precomp", True),
        ("IAPRTC12_seed0_precomp", "iaprtc12", True),
        ("coco_small", "coco_precomp", True),
        ("cocoa_precomp", "coco_precomp", False),
    ],
)
def test_a_folder_is_never_taken_for_another_data_set(
    tmp_path: Path, make_data_set: MakeDataSet, folder: str, name: str, found: bool
) -> None:
    make_data_set(tmp_path / folder)
    root = tmp_path / folder.removesuffix("/precomp")
    if found:
        assert locate_data_set(root, name) == root
    else:
        with pytest.raises(InputError, match=f"not the data set {name}; leave --data_name out"):
            locate_data_set(root, name)


def test_counts_of_another_published_set_decide(tmp_path: Path, make_data_set: MakeDataSet) -> None:
    folder = make_data_set(tmp_path / "somewhere")
    (folder / "train_caps.txt").write_text("a dog\n" * 145_000)
    assert locate_data_set(folder, "f30k") == folder
    with pytest.raises(InputError, match="not the data set coco"):
        locate_data_set(folder, "coco")


def test_a_missing_data_set_lists_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"looked for f30k_precomp, .*f30k/precomp, .*precomp") as refusal:
        locate_data_set(tmp_path, "f30k_precomp")
    assert str(tmp_path) in str(refusal.value)
    with pytest.raises(InputError, match="no such folder"):
        locate_data_set(tmp_path / "nothing", "f30k")


def test_a_mistyped_data_set_is_told_from_those_there(tmp_path: Path, make_data_set: MakeDataSet) -> None:
    make_data_set(tmp_path / "flickr8k_precomp")
    with pytest.raises(InputError, match=r"; did you mean flickr8k\?$"):
        locate_data_set(tmp_path, "flikr8k")
    with pytest.raises(InputError, match="it holds flickr8k_precomp: give a data set folder"):
        locate_data_set(tmp_path, "coco")
    with pytest.raises(InputError, match=r"no such folder; did you mean flickr8k_precomp\?$"):
        locate_data_set(tmp_path / "flickr8k_precmp", None)
    with pytest.raises(InputError, match=r"; did you mean demo\?$"):
        locate_data_set(None, "demoo")


def raw_set(folder: Path, word: str = "dog", pictures: int = 10) -> Path:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    splits = ("train", "train", "train", "dev", "test")
    rows = "".join(f"p{k}.jpg,{word} number {c} of {k},{splits[k % 5]}\n" for k in range(pictures) for c in range(2))
    (folder / "captions.csv").write_text(f"image,caption,split\n{rows}")
    return folder


def test_a_raw_data_set_is_found_and_not_written_to(tmp_path: Path) -> None:
    folder = raw_set(tmp_path / "mine")
    assert search_data_set(tmp_path, "mine") == folder
    with pytest.raises(InputError, match=rf"a raw data set .* python -m vse prepare {folder}"):
        locate_data_set(tmp_path, "mine")
    assert sorted(path.name for path in folder.iterdir()) == ["captions.csv", "images"]


def test_captions_whose_source_has_changed_are_refused(tmp_path: Path) -> None:
    folder = prepare_data_set(raw_set(tmp_path / "mine"), None)
    assert locate_data_set(folder, None) == folder
    raw_set(folder, "cat")
    with pytest.raises(InputError, match=r"train, dev, test were made from captions\.csv, which has changed"):
        locate_data_set(folder, None)
    (folder / "index.json").unlink()
    assert locate_data_set(folder, None) == folder


def test_an_index_with_features_is_not_made_again(tmp_path: Path) -> None:
    folder = prepare_data_set(raw_set(tmp_path / "mine"), None)
    assert is_raw_index(folder)
    np.save(folder / "train_ims.npy", np.zeros((6, 3), np.float32))
    assert not is_raw_index(folder)
    raw_set(folder, "cat")
    with pytest.raises(InputError, match="run what made them again, or delete"):
        locate_data_set(folder, None)


def test_captions_of_another_karpathy_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("flickr30k", "coco"):
        images = [
            f'{{"split": "{split}", "filename": "{k}.jpg", "sentences": [{{"raw": "{name} {k}"}}]}}'
            for k, split in enumerate(("train", "val", "test"))
        ]
        (tmp_path / f"dataset_{name}.json").write_text(f'{{"images": [{", ".join(images)}]}}')
    assert prepare_data_set(tmp_path, "f30k") == tmp_path
    assert (tmp_path / "train_caps.txt").read_text() == "flickr30k 0\n"
    assert locate_data_set(tmp_path, "f30k_precomp") == tmp_path
    with pytest.raises(InputError, match=r"its captions were made from dataset_flickr30k\.json"):
        locate_data_set(tmp_path, "coco")


# Splits


@pytest.mark.parametrize("captions", [1, 3, 5])
def test_captions_per_image_are_derived(tmp_path: Path, make_data_set: MakeDataSet, captions: int) -> None:
    folder = make_data_set(tmp_path / "x", captions=captions)
    split = open_split(folder, "train")
    assert (split.captions_per_image == captions).all()
    np.testing.assert_array_equal(split.caption_image, np.arange(24 * captions) // captions)


def test_the_first_images_of_a_split_keep_their_captions(tmp_path: Path, make_data_set: MakeDataSet) -> None:
    folder = make_data_set(tmp_path / "x", images=(2, 1010, 2), regions=0)
    dev = open_split(folder, "dev", first_images=DEV_IMAGES)
    assert len(dev.images) == 1000
    assert len(dev.captions) == len(dev.caption_image) == 5000
    assert len(open_split(make_data_set(tmp_path / "y"), "dev", first_images=DEV_IMAGES).images) == 8


def test_img_dim_is_only_checked(tmp_path: Path, make_data_set: MakeDataSet) -> None:
    folder = make_data_set(tmp_path / "x", regions=4, size=6)
    open_split(folder, "train", img_dim=6)
    open_split(folder, "train", img_dim=24)
    with pytest.raises(InputError, match=r"contradict --img_dim 2048"):
        open_split(folder, "train", img_dim=2048)


UNEVEN = np.repeat(np.arange(24), [3, 7] * 12)


def test_uneven_captions_beside_features_are_honoured(tmp_path: Path, make_data_set: MakeDataSet) -> None:
    folder = make_data_set(tmp_path / "x")
    np.save(folder / "train_caption_image.npy", UNEVEN)
    split = open_split(folder, "train")
    np.testing.assert_array_equal(split.caption_image, UNEVEN)
    cut = open_split(folder, "train", first_images=5)
    assert (len(cut.images), len(cut.captions)) == (5, 3 + 7 + 3 + 7 + 3)


def test_ids_of_captions_tell_their_images(tmp_path: Path, make_data_set: MakeDataSet) -> None:
    folder = make_data_set(tmp_path / "x")
    ids = np.repeat(np.random.default_rng(0).permutation(1000)[:24], [3, 7] * 12)
    (folder / "train_ids.txt").write_text("".join(f"{image_id}\n" for image_id in ids))
    np.testing.assert_array_equal(open_split(folder, "train").caption_image, UNEVEN)


def test_ids_of_captions_go_with_a_feature_row_per_caption(tmp_path: Path, make_data_set: MakeDataSet) -> None:
    folder = make_data_set(tmp_path / "x")
    features = np.load(folder / "train_ims.npy")
    features[1] = features[0]  # one picture, or two that are equal: the ids tell
    np.save(folder / "train_ims.npy", features.repeat(5, axis=0))
    (folder / "train_ids.txt").write_text("".join(f"{image}\n" for image in range(24) for _ in range(5)))
    split = open_split(folder, "train")
    assert len(split.images) == 24
    np.testing.assert_array_equal(split.images.read(np.arange(24)).numpy(), features)


def test_different_rows_of_one_image_are_refused(tmp_path: Path, make_data_set: MakeDataSet) -> None:
    folder = make_data_set(tmp_path / "x")
    features = np.load(folder / "train_ims.npy").repeat(5, axis=0)
    np.save(folder / "train_ims.npy", np.roll(features, 1, axis=0))
    (folder / "train_ids.txt").write_text("".join(f"{image}\n" for image in range(24) for _ in range(5)))
    with pytest.raises(InputError, match=r"train_ims\.npy: rows 0 and 1 differ, but belong to captions of one image"):
        open_split(folder, "train")


def test_features_that_contradict_captions_are_refused(tmp_path: Path, make_data_set: MakeDataSet) -> None:
    folder = make_data_set(tmp_path / "x")
    np.save(folder / "train_caption_image.npy", np.repeat(np.arange(20), 6))
    with pytest.raises(InputError, match=r"train_ims\.npy: 24 rows; .* 20 images with 120 captions"):
        open_split(folder, "train")


def test_locating_a_data_set_needs_no_permission_to_write(tmp_path: Path, make_data_set: MakeDataSet) -> None:
    folder = make_data_set(tmp_path / "x_precomp")
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    os.utime(folder, (1, 1))
    open_split(locate_data_set(tmp_path, "x"), "dev")
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert folder.stat().st_mtime == 1
