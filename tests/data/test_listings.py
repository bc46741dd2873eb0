"""Reading how public data sets list their pictures, and indexing a raw set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vse.data.datasets import find_data_set
from vse.data.listings import csv_pictures, index_named_set, index_raw_set, karpathy_pictures, read_pictures
from vse.data.pictures import folder_pictures, write_index
from vse.errors import InputError


def karpathy(*splits: str, captions: int = 2) -> dict[str, Any]:
    entries = [
        {
            "split": split,
            "filename": f"photo{place}.jpg",
            "imgid": place,
            "sentences": [{"raw": f"caption {number} of photo {place}"} for number in range(captions)],
        }
        for place, split in enumerate(splits)
    ]
    return {"images": entries, "dataset": "toy"}


def write_json(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """Eight images in MS-COCO's layout; image 10 + i has 5 captions, image 13 six."""
    root = tmp_path / "coco"
    (root / "images").mkdir(parents=True)
    annotation_id = 100
    ids: dict[str, list[int]] = {"train": [], "restval": [], "dev": [], "test": []}
    for part, splits in {"train2014": ["train"] * 4, "val2014": ["restval", "dev", "test", "test"]}.items():
        images: list[dict[str, object]] = []
        annotations: list[dict[str, object]] = []
        for split in splits:
            image_id = 10 + (0 if part == "train2014" else 4) + len(images)
            images.append({"id": image_id, "file_name": f"COCO_{part}_{image_id:012}.jpg"})
            for _ in range(6 if image_id == 13 else 5):
                caption = f"a  caption {annotation_id}\n"
                annotations.append({"id": annotation_id, "image_id": image_id, "caption": caption})
                ids[split].append(annotation_id)
                annotation_id += 1
        write_json(root / f"annotations/captions_{part}.json", {"images": images, "annotations": annotations})
    for split, annotation_ids in ids.items():
        np.save(root / f"annotations/coco_{split}_ids.npy", np.array(annotation_ids))
    return root


def test_karpathy_file_gives_splits_ids_and_every_sentence(tmp_path: Path) -> None:
    file = write_json(tmp_path / "dataset.json", karpathy("train", "val", "train", "test", captions=3))
    splits = karpathy_pictures(file, tmp_path / "images")
    assert {name: split.ids.tolist() for name, split in splits.items()} == {"train": [0, 2], "dev": [1], "test": [3]}
    assert splits["train"].paths == [tmp_path / "images/photo0.jpg", tmp_path / "images/photo2.jpg"]
    assert splits["train"].captions[3] == "caption 0 of photo 2"
    assert splits["train"].caption_image.tolist() == [0, 0, 0, 1, 1, 1]


def test_karpathy_coco_entries_use_cocoid_and_filepath(tmp_path: Path) -> None:
    content = karpathy("train", "val")
    content["images"][1] |= {"cocoid": 391895, "filepath": "val2014"}
    (tmp_path / "images/val2014").mkdir(parents=True)
    splits = karpathy_pictures(write_json(tmp_path / "dataset_coco.json", content), tmp_path / "images")
    assert splits["dev"].ids.tolist() == [391895]
    assert splits["dev"].names == ["val2014/photo1.jpg"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"filename": "../photo.jpg"}, "leads out"),
        ({"filename": "/etc/hostname"}, "leads out"),
        ({"filename": "..\\photo.jpg"}, "leads out"),
        ({"filename": "C:\\photo.jpg"}, "leads out"),
        ({"filename": ""}, "leads out"),
        ({"filename": None}, "image 1 of the list"),
        ({"filename": "photo0.jpg"}, "listed twice"),
        ({"cocoid": 0}, "listed twice"),
        ({"split": "../../train"}, "unknown split"),
        ({"sentences": [{"tokens": []}]}, "image 1 of the list"),
        ({"sentences": "none"}, "image 1 of the list"),
        ({"sentences": [{"raw": "a\0b"}]}, "NUL"),
    ],
)
def test_damaged_karpathy_entries_are_refused_in_one_sentence(
    tmp_path: Path, change: dict[str, object], complaint: str
) -> None:
    content = karpathy("train", "train")
    content["images"][1] |= change
    with pytest.raises(InputError, match=complaint) as refused:
        karpathy_pictures(write_json(tmp_path / "dataset.json", content), tmp_path)
    assert "dataset.json" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "{", '{"images": 3}', "[]", '{"images": [3]}', '{"images": []}', "\xff"])
def test_what_is_no_karpathy_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "dataset.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"dataset\.json"):
        karpathy_pictures(path, tmp_path)


def test_images_without_sentences_are_left_out(tmp_path: Path) -> None:
    content = karpathy("train", "train")
    content["images"][0]["sentences"] = []
    assert karpathy_pictures(write_json(tmp_path / "d.json", content), tmp_path)["train"].names == ["photo1.jpg"]


def test_table_with_splits_keeps_captions_of_an_image_together(tmp_path: Path) -> None:
    table = tmp_path / "captions.csv"
    table.write_text(
        'image,caption,split\nb.png,"one, two",train\na.png,x,val\nb.png,"a ""b""\nc",train\n', "utf-8-sig"
    )
    splits = csv_pictures(table, tmp_path)
    assert splits["train"].captions == ["one, two", 'a "b" c']
    assert splits["train"].names == ["b.png"]
    assert splits["dev"].ids.tolist() == [1]


def test_table_without_splits_is_divided_by_the_seed_alone(tmp_path: Path) -> None:
    table = tmp_path / "captions.tsv"
    table.write_text("image\tcaption\n" + "".join(f"{i}.png\ta, b\n" for i in range(40)), "utf-8")
    first, again, other = (csv_pictures(table, tmp_path, seed=seed) for seed in (0, 0, 1))
    assert {name: len(split.names) for name, split in first.items()} == {"train": 32, "dev": 4, "test": 4}
    assert first["test"].names == again["test"].names != other["test"].names
    assert sorted(name for split in first.values() for name in split.names) == sorted(f"{i}.png" for i in range(40))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("file,text\na,b\n", "line 1"),
        ("", "line 1"),
        ("image,caption\na.png,one,two\n", "line 2"),
        ("image,caption,split\na.png,x\n", "unknown split"),
        ("image,caption,split\na.png,x,train\na.png,y,test\n", "line 3"),
        ("image,caption\n../a.png,x\nb.png,x\nc.png,x\n", "leads out"),
        ("image,caption\na.png,x\nb.png,y\n", "too few"),
        ("image,caption\na.png,\xff\n", "UTF-8"),
        ("image,caption\n", "too few"),
    ],
)
def test_damaged_tables_are_refused_with_their_line(tmp_path: Path, text: str, complaint: str) -> None:
    table = tmp_path / "captions.csv"
    table.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=complaint):
        csv_pictures(table, tmp_path)


def test_coco_through_its_id_files(coco: Path) -> None:
    index_raw_set(coco)
    splits = folder_pictures(coco)
    assert {name: len(split.names) for name, split in splits.items()} == {
        "train": 4,
        "restval": 1,
        "trainrestval": 5,
        "dev": 1,
        "test": 2,
    }
    train = splits["train"]
    assert train.ids.tolist() == [10, 11, 12, 13]
    assert train.captions[0] == "a caption 100"
    assert train.captions_per_image.tolist() == [5, 5, 5, 6]
    assert train.paths[0] == coco / "images/train2014/COCO_train2014_000000000010.jpg"
    assert splits["trainrestval"].paths[-1] == coco / "images/val2014/COCO_val2014_000000000014.jpg"
    assert splits["trainrestval"].caption_image[-5:].tolist() == [4] * 5


def test_coco_splits_by_the_karpathy_file_equal_those_by_id_files(coco: Path) -> None:
    index_raw_set(coco)
    by_ids = folder_pictures(coco)
    sentids = {
        split: np.load(coco / f"annotations/coco_{split}_ids.npy").tolist()
        for split in ("train", "restval", "dev", "test")
    }
    for path in (*coco.glob("*_caps.txt"), *coco.glob("annotations/*.npy")):
        path.unlink()
    entries = [{"split": split.replace("dev", "val"), "sentids": ids} for split, ids in sentids.items()]
    write_json(coco / "dataset_coco.json", {"images": entries})
    index_raw_set(coco)
    by_json = folder_pictures(coco)
    assert by_json.keys() == by_ids.keys()
    for split, pictures in by_json.items():
        assert pictures.captions == by_ids[split].captions
        assert pictures.names == by_ids[split].names


def test_coco_ids_that_the_annotations_do_not_have_are_refused(coco: Path) -> None:
    np.save(coco / "annotations/coco_dev_ids.npy", np.array([7]))
    with pytest.raises(InputError, match=r"coco_dev_ids\.npy: id 7 is not in captions_val2014\.json"):
        index_raw_set(coco)
    np.save(coco / "annotations/coco_dev_ids.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"coco_dev_ids\.npy"):
        index_raw_set(coco)


def test_an_index_reads_back_as_it_was(tmp_path: Path) -> None:
    splits = karpathy_pictures(write_json(tmp_path / "d.json", karpathy("train", "val", "train")), tmp_path / "images")
    (tmp_path / "images").mkdir()
    (tmp_path / "out").mkdir()
    write_index(splits, tmp_path / "out")
    back = read_pictures(tmp_path / "out", tmp_path / "images")
    assert back.keys() == splits.keys()
    for split, pictures in back.items():
        assert pictures.captions == splits[split].captions
        assert pictures.paths == splits[split].paths
        assert np.array_equal(pictures.ids, splits[split].ids)


def test_an_unknown_raw_folder_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"captions_\*2014\.json, dataset\*\.json, captions\.csv"):
        index_raw_set(tmp_path)


def test_a_raw_set_is_found_by_name_and_becomes_a_data_set_folder(coco: Path) -> None:
    index_named_set(coco.parent, "coco")
    assert find_data_set(coco.parent, "coco") == coco
    written = (coco / "train_caps.txt").stat().st_mtime_ns
    index_named_set(coco, None)
    assert (coco / "train_caps.txt").stat().st_mtime_ns == written
    index_named_set(coco.parent, "f30k")
    assert not any(coco.parent.glob("*_caps.txt"))
