"""Caption annotations in JSON: every form, and one sentence with the entry for what is damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vse.data.annotations import coco_pictures, json_rows, read_coco, split_of_name
from vse.errors import InputError


def write_json(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


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


def test_karpathy_entries_give_splits_ids_and_sentences(tmp_path: Path) -> None:
    rows, once = json_rows(write_json(tmp_path / "dataset.json", karpathy("train", "val", captions=3)), tmp_path)
    assert once
    assert [(row.name, row.split, row.image_id) for row in rows] == [
        ("photo0.jpg", "train", 0),
        ("photo1.jpg", "dev", 1),
    ]
    assert rows[1].captions == [f"caption {number} of photo 1" for number in range(3)]


def test_karpathy_coco_entries_use_cocoid_sentids_and_filepath(tmp_path: Path) -> None:
    content = karpathy("train", "val")
    for entry in content["images"]:
        entry |= {"cocoid": 391895 + entry["imgid"], "filepath": "val2014", "sentids": [70, 71]}
    (tmp_path / "val2014").mkdir()
    rows, _ = json_rows(write_json(tmp_path / "dataset_coco.json", content), tmp_path)
    assert (rows[1].name, rows[1].image_id, rows[1].caption_ids) == ("val2014/photo1.jpg", 391896, [70, 71])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"filename": None}, "image 1 of the list: `filename` is missing or null"),
        ({"filename": 7}, "image 1 of the list: `filename` is no text"),
        ({"split": None}, "`split` is missing or null"),
        ({"split": "../../train"}, "unknown split"),
        ({"cocoid": "x"}, "`cocoid` is 'x'"),
        ({"cocoid": 2**63}, "`cocoid` is 9223372036854775808"),
        ({"cocoid": 7, "sentids": [1, None]}, "`sentids` is missing or null"),
        ({"sentences": [{"tokens": []}]}, "image 1 of the list, sentence 0: `raw` is missing or null"),
        ({"sentences": [{"raw": 7}]}, "sentence 0: `raw` is no text"),
        ({"sentences": [None]}, "sentence 0 is no object"),
        ({"sentences": "none"}, "image 1 of the list lacks `sentences`"),
    ],
)
def test_damaged_karpathy_entries_are_named(tmp_path: Path, change: dict[str, object], complaint: str) -> None:
    content = karpathy("train", "train")
    content["images"][1] |= change
    with pytest.raises(InputError, match=complaint) as refused:
        json_rows(write_json(tmp_path / "dataset.json", content), tmp_path)
    assert "dataset.json" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "{", '{"images": 3}', "7", '{"images": [3]}', "[3]", "\xff"])
def test_what_is_no_annotation_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "dataset.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"dataset\.json"):
        json_rows(path, tmp_path)


def test_lists_hold_one_caption_or_several(tmp_path: Path) -> None:
    content = [
        {"image": "a.jpg", "caption": ["1", "2"], "image_id": "17"},
        {"image": "b.jpg", "caption": "3", "split": "val"},
    ]
    rows, once = json_rows(write_json(tmp_path / "blip.json", content), tmp_path)
    assert not once
    assert [(row.name, row.captions, row.split, row.image_id) for row in rows] == [
        ("a.jpg", ["1", "2"], None, 17),
        ("b.jpg", ["3"], "dev", None),
    ]


def test_json_lines_are_a_list(tmp_path: Path) -> None:
    path = tmp_path / "metadata.jsonl"
    path.write_text('\ufeff{"file_name": "a.jpg", "text": "one"}\n\n{"file_name": "b.jpg", "text": "two"}\n', "utf-8")
    assert [(row.name, row.captions) for row in json_rows(path, tmp_path)[0]] == [
        ("a.jpg", ["one"]),
        ("b.jpg", ["two"]),
    ]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"file_name": "a.jpg"}', "line 2: lacks `caption`"),
        ('{"text": "a"}', "line 2: lacks `image`"),
        ('{"file_name": "a.jpg", "text": null}', "line 2: `text` is missing or null"),
        ('{"file_name": "a.jpg", "text": [1]}', "line 2: `text` is no text"),
        ('{"file_name": "a.jpg", "filename": "b.jpg", "text": "x"}', "file_name and filename may each be the image"),
        ('{"file_name": ', "line 2: not JSON"),
        ("7", "line 2: no object"),
    ],
)
def test_damaged_lines_are_named(tmp_path: Path, line: str, complaint: str) -> None:
    path = tmp_path / "metadata.jsonl"
    path.write_text(f'{{"file_name": "z.jpg", "text": "one"}}\n{line}\n')
    with pytest.raises(InputError, match=complaint):
        json_rows(path, tmp_path)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("flickr30k_train.json", "train"),
        ("coco_karpathy_val.json", "dev"),
        ("captions_val2017.json", "dev"),
        ("captions.json", None),
        ("train_and_test.json", None),
        ("latest.json", None),
    ],
)
def test_a_file_may_name_its_split(name: str, split: str | None) -> None:
    assert split_of_name(Path(name)) == split


# MS-COCO


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """Eight images in MS-COCO's layout, annotations in random order; image 10 + i has 5 captions, image 13 six."""
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
        mixed = np.random.default_rng(0).permutation(len(annotations))
        content = {"images": images, "annotations": [annotations[place] for place in mixed]}
        write_json(root / f"annotations/captions_{part}.json", content)
    for split, annotation_ids in ids.items():
        np.save(root / f"annotations/coco_{split}_ids.npy", np.array(annotation_ids))
    return root


def test_coco_splits_by_its_id_files(coco: Path) -> None:
    splits = coco_pictures(coco)
    assert {name: len(split.names) for name, split in splits.items()} == {
        "train": 4,
        "restval": 1,
        "dev": 1,
        "test": 2,
    }
    train = splits["train"]
    assert train.ids.tolist() == [10, 11, 12, 13]
    assert train.captions[0] == "a caption 100"
    assert train.caption_ids is not None
    assert train.caption_ids.tolist() == list(range(100, 121))
    assert train.captions_per_image.tolist() == [5, 5, 5, 6]
    assert train.paths[0] == coco / "images/train2014/COCO_train2014_000000000010.jpg"


def test_coco_splits_by_karpathys_file_are_the_same(coco: Path) -> None:
    by_ids = coco_pictures(coco)
    entries = [
        {"split": split.replace("dev", "val"), "sentids": pictures.caption_ids.tolist()}  # type: ignore[union-attr]
        for split, pictures in by_ids.items()
    ]
    for path in coco.glob("annotations/*.npy"):
        path.unlink()
    write_json(coco / "dataset_coco.json", {"images": entries})
    by_json = coco_pictures(coco)
    assert by_json.keys() == by_ids.keys()
    for split, pictures in by_json.items():
        assert pictures.captions == by_ids[split].captions
        assert pictures.names == by_ids[split].names


def test_coco_without_split_lists_has_its_own_two_splits(coco: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in coco.glob("annotations/*.npy"):
        path.unlink()
    splits = coco_pictures(coco)
    assert {name: len(split.names) for name, split in splits.items()} == {"train": 4, "dev": 4}
    assert "MS-COCO's own" in capsys.readouterr().out
    for caption, image, number in zip(
        splits["dev"].captions,
        splits["dev"].caption_image,
        splits["dev"].caption_ids,
        strict=True,  # type: ignore[arg-type]
    ):
        assert caption == f"a caption {number}"
        assert splits["dev"].ids[image] == 14 + (number - 121) // 5


def test_coco_2017_is_read_with_karpathys_splits_of_2014(coco: Path) -> None:
    before = coco_pictures(coco)
    whole = [json.loads((coco / f"annotations/captions_{part}2014.json").read_text()) for part in ("train", "val")]
    for path in coco.glob("annotations/*.json"):
        path.unlink()
    for entry in [entry for content in whole for entry in content["images"]]:
        entry["file_name"] = f"{entry['id']:012}.jpg"
    moved = whole[1]["images"].pop()  # the release of 2017 divides the same images anew
    whole[0]["images"].append(moved)
    for content, other in (whole, whole[::-1]):
        ids = {entry["id"] for entry in content["images"]}
        content["annotations"] += [entry for entry in other["annotations"] if entry["image_id"] in ids]
    for part, content in zip(("train", "val"), whole, strict=True):
        ids = {entry["id"] for entry in content["images"]}
        content["annotations"] = [entry for entry in content["annotations"] if entry["image_id"] in ids]
        write_json(coco / f"annotations/captions_{part}2017.json", content)
    after = coco_pictures(coco)
    assert {name: split.captions for name, split in after.items()} == {n: s.captions for n, s in before.items()}
    assert after["test"].names == ["val2017/000000000016.jpg", "train2017/000000000017.jpg"]


def test_two_releases_of_coco_are_refused_unless_pictures_decide(coco: Path) -> None:
    for part in ("train", "val"):
        content = (coco / f"annotations/captions_{part}2014.json").read_text()
        (coco / f"annotations/captions_{part}2017.json").write_text(content)
    with pytest.raises(InputError, match="captions of 2014 and of 2017"):
        coco_pictures(coco)
    (coco / "images/train2017").mkdir()
    assert coco_pictures(coco)["train"].names[0].startswith("train2017/")


def test_coco_ids_that_the_annotations_lack_are_refused(coco: Path) -> None:
    np.save(coco / "annotations/coco_dev_ids.npy", np.array([7]))
    with pytest.raises(InputError, match=r"coco_dev_ids\.npy: id 7 is not in captions_train2014\.json or"):
        coco_pictures(coco)
    np.save(coco / "annotations/coco_dev_ids.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"coco_dev_ids\.npy"):
        coco_pictures(coco)


def test_images_of_no_split_are_named(coco: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (coco / "annotations/coco_restval_ids.npy").unlink()
    coco_pictures(coco)
    warned = capsys.readouterr().err
    assert "1 images that are in no split or have no caption left out: val2014/COCO_val2014_000000000014.jpg" in warned


def change(place: str, index: int, **fields: object) -> Callable[[dict[str, Any]], object]:
    return lambda content: content[place][index].update(fields)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (change("annotations", 1, caption=None), r"annotation 1 \(id 8\): `caption` is missing or null"),
        (change("annotations", 1, caption=7), r"annotation 1 \(id 8\): `caption` is no text"),
        (change("annotations", 1, image_id=None), r"annotation 1 \(id 8\): `image_id` is missing or null"),
        (change("annotations", 1, image_id=9), r"annotation 1 \(id 8\): image_id 9 is none of `images`"),
        (change("annotations", 1, id="x"), "annotation 1: `id` is 'x'"),
        (change("annotations", 1, id=7), r"annotation 1 \(id 7\): the id is there twice"),
        (change("images", 1, file_name=None), r"image 1 \(id 2\): `file_name` is missing or null"),
        (change("images", 1, id=1.5), "image 1: `id` is 1.5"),
        (change("images", 1, id=1), "image 1: id 1 is there twice"),
        (lambda content: content["annotations"].append(None), "annotation 2: `id` is missing or null"),
        (lambda content: content.pop("images"), "lacks the lists `images` and `annotations`"),
        (lambda content: content.update(annotations={}), "lacks the lists"),
    ],
)
def test_damaged_coco_fields_are_named(
    tmp_path: Path, damage: Callable[[dict[str, Any]], object], complaint: str
) -> None:
    content: dict[str, Any] = {
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
        "annotations": [{"id": 7, "image_id": 1, "caption": "x"}, {"id": 8, "image_id": 2, "caption": "y"}],
    }
    damage(content)
    with pytest.raises(InputError, match=complaint) as refused:
        read_coco(write_json(tmp_path / "captions.json", content))
    assert str(refused.value).startswith(str(tmp_path / "captions.json"))


def test_coco_ids_may_be_written_as_text(tmp_path: Path) -> None:
    content = {
        "images": [{"id": "1", "file_name": "a.jpg"}],
        "annotations": [{"id": 7, "image_id": "1", "caption": "x"}],
    }
    assert read_coco(write_json(tmp_path / "captions.json", content)).captions == {7: (1, "x")}
