"""Which files of a folder list its pictures, and that every form gives each caption its own picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.data.drawn import DRAWS
from vse.data.listings import raw_pictures, raw_source, read_pictures
from vse.errors import InputError


def write_json(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def karpathy(*splits: str) -> dict[str, Any]:
    return {
        "images": [
            {"split": split, "filename": f"{place}.jpg", "sentences": [{"raw": f"photo {place}"}]}
            for place, split in enumerate(splits)
        ]
    }


def blip(split: str, *names: str) -> list[dict[str, object]]:
    return [{"image": f"images/{name}", "caption": [f"{split} {name}"]} for name in names]


def test_the_name_decides_between_karpathys_files(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("flickr8k", "flickr30k", "coco", "mine"):
        write_json(tmp_path / f"dataset_{name}.json", karpathy("train", "val", "test"))
    for data_name, file in (("f30k_precomp", "flickr30k"), ("f8k", "flickr8k"), ("coco", "coco"), ("mine", "mine")):
        assert raw_source(tmp_path, data_name) == [tmp_path / f"dataset_{file}.json"]
    with pytest.raises(InputError, match=r"name the data set that is meant with --data_name \(coco, f30k, f8k, mine\)"):
        raw_source(tmp_path)


def test_a_karpathy_file_of_another_data_set_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "dataset_flickr8k.json", karpathy("train"))
    with pytest.raises(InputError, match=r"dataset_flickr8k\.json: not the data set coco"):
        raw_source(tmp_path, "coco")
    assert raw_source(tmp_path, "own") == [tmp_path / "dataset_flickr8k.json"]


def test_several_files_of_one_kind_are_refused(tmp_path: Path) -> None:
    for name in ("captions.csv", "results.csv"):
        (tmp_path / name).write_text("image,caption\n")
    with pytest.raises(InputError, match=r"several caption files, captions\.csv, results\.csv"):
        raw_source(tmp_path)


def test_the_kind_that_is_read_and_the_others_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "images").mkdir()
    write_json(tmp_path / "dataset.json", karpathy("train", "val", "test"))
    (tmp_path / "results.csv").write_text("image_name| comment_number| comment\n")
    raw_pictures(tmp_path)
    printed = capsys.readouterr().out
    assert "captions are read from dataset.json" in printed
    assert "results.csv is not read" in printed


def test_flickr8ks_lemmas_are_not_its_captions(tmp_path: Path) -> None:
    for name in ("Flickr8k.token.txt", "Flickr8k.lemma.token.txt"):
        (tmp_path / name).write_text("a.jpg#0\tx\n")
    assert raw_source(tmp_path) == [tmp_path / "Flickr8k.token.txt"]


def test_flickr8k_as_it_unpacks_has_its_official_splits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "Flicker8k_Dataset").mkdir()
    captions = "".join(f"p{k}.jpg#{c}\tcaption {c} of {k}\n" for k in range(5) for c in range(2))
    (tmp_path / "Flickr8k.token.txt").write_text(captions)
    for split, numbers in (("train", (4, 1)), ("dev", (0,)), ("test", (3,))):
        (tmp_path / f"Flickr_8k.{split}Images.txt").write_text("".join(f"p{k}.jpg\n" for k in numbers))
    splits = raw_pictures(tmp_path)
    assert {name: split.names for name, split in splits.items()} == {
        "dev": ["p0.jpg"],
        "train": ["p1.jpg", "p4.jpg"],
        "test": ["p3.jpg"],
    }
    assert splits["train"].captions == ["caption 0 of 1", "caption 1 of 1", "caption 0 of 4", "caption 1 of 4"]
    assert len(splits["train"].sources) == 4
    assert "1 images that are in no split left out: p2.jpg" in capsys.readouterr().err


def test_lists_of_a_split_each_make_one_data_set(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / "images" / name).touch()
    for split, name in (("train", "a.jpg"), ("val", "b.jpg"), ("test", "c.jpg")):
        write_json(tmp_path / f"flickr30k_{split}.json", blip(split, name))
    splits = raw_pictures(tmp_path)
    assert {name: (split.names, split.captions) for name, split in splits.items()} == {
        "dev": (["b.jpg"], ["val b.jpg"]),
        "test": (["c.jpg"], ["test c.jpg"]),
        "train": (["a.jpg"], ["train a.jpg"]),
    }
    assert sorted(image for split in splits.values() for image in split.ids.tolist()) == [0, 1, 2]


def test_lists_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "flickr30k_train.json", blip("train", "a.jpg"))
    write_json(tmp_path / "coco_val.json", blip("val", "b.jpg"))
    with pytest.raises(InputError, match="several caption files"):
        raw_source(tmp_path)


def test_an_image_in_the_lists_of_two_splits_is_refused(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for split in ("train", "test"):
        write_json(tmp_path / f"flickr30k_{split}.json", blip(split, "a.jpg"))
    with pytest.raises(InputError, match=r"images/a\.jpg is in two splits"):
        raw_pictures(tmp_path)


@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.csv"])
def test_image_folders_of_hugging_face_are_read(tmp_path: Path, name: str) -> None:
    for split in ("train", "validation", "test"):
        (tmp_path / split).mkdir()
        text = {
            "metadata.jsonl": f'{{"file_name": "0.jpg", "text": "a {split}"}}\n',
            "metadata.csv": f"file_name,text\n0.jpg,a {split}\n",
        }[name]
        (tmp_path / split / name).write_text(text)
        (tmp_path / split / "0.jpg").touch()
    splits = raw_pictures(tmp_path)
    assert {name: split.captions for name, split in splits.items()} == {
        "train": ["a train"],
        "dev": ["a validation"],
        "test": ["a test"],
    }
    assert all(path.is_file() for split in splits.values() for path in split.paths)


def test_captions_of_mscocos_form_may_be_ones_own(tmp_path: Path) -> None:
    content = {
        "images": [{"id": 9 - k, "file_name": f"{k}.jpg"} for k in range(4)],
        "annotations": [{"id": 50 + k, "image_id": 6 + k % 4, "caption": f"text {k}"} for k in range(8)],
    }
    test = read_pictures(write_json(tmp_path / "mine_test.json", content), tmp_path)["test"]
    assert test.names == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]
    assert test.ids.tolist() == [9, 8, 7, 6]
    assert test.captions[:2] == ["text 3", "text 7"]
    assert test.caption_ids is not None
    assert test.caption_ids.tolist()[:2] == [53, 57]


def test_restval_images_can_be_added_to_train(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    write_json(tmp_path / "dataset_mine.json", karpathy("train", "restval", "val"))
    splits = raw_pictures(tmp_path)
    assert splits["trainrestval"].names == ["0.jpg", "1.jpg"]


def test_a_folder_without_captions_lists_expected_names(tmp_path: Path) -> None:
    assert raw_source(tmp_path) == []
    with pytest.raises(InputError, match=r"captions_\*2014\.json, .*dataset\*\.json, .*captions\.csv"):
        raw_pictures(tmp_path)


# Random sources against an independent reading

TEXTS = st.text("abc é'\"", min_size=1, max_size=6).filter(str.strip)


@st.composite
def drawn_images(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Images with distinct names and ids in any order, each with a split and captions with ids."""
    names = draw(st.lists(st.from_regex(r"[a-z0-9_]{1,6}", fullmatch=True), min_size=1, max_size=8, unique=True))
    ids = draw(st.lists(st.integers(0, 10**9), min_size=len(names), max_size=len(names), unique=True))
    counts = draw(st.lists(st.integers(1, 4), min_size=len(names), max_size=len(names)))
    numbers = iter(draw(st.lists(st.integers(0, 10**9), min_size=sum(counts), max_size=sum(counts), unique=True)))
    return [
        {
            "name": f"{name}.jpg",
            "id": image_id,
            "split": draw(st.sampled_from(["train", "val", "test"])),
            "captions": [(next(numbers), draw(TEXTS)) for _ in range(count)],
        }
        for name, image_id, count in zip(names, ids, counts, strict=True)
    ]


def as_karpathy(images: list[dict[str, Any]]) -> object:
    return {
        "images": [
            {
                "filename": image["name"],
                "split": image["split"],
                "cocoid": image["id"],
                "sentids": [number for number, _ in image["captions"]],
                "sentences": [{"raw": text} for _, text in image["captions"]],
            }
            for image in images
        ]
    }


def as_coco(images: list[dict[str, Any]], order: list[int]) -> object:
    annotations = [
        {"id": number, "image_id": image["id"], "caption": text}
        for image in images
        for number, text in image["captions"]
    ]
    mixed = [annotation for _, annotation in sorted(zip(order, annotations, strict=False), key=lambda pair: pair[0])]
    return {"images": [{"id": image["id"], "file_name": image["name"]} for image in images], "annotations": mixed}


def as_table(images: list[dict[str, Any]]) -> str:
    lines = ["cocoid\tfilename\tsplit\tcaption"]
    longest = max(len(image["captions"]) for image in images)
    for place in range(longest):  # the captions of an image are no neighbours
        for image in images:
            if place < len(image["captions"]):
                text = image["captions"][place][1]
                lines.append(f"{image['id']}\t{image['name']}\t{image['split']}\t{text}")
    return "\n".join(lines) + "\n"


@settings(
    max_examples=DRAWS or 100,
    derandomize=not DRAWS,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(drawn_images(), st.sampled_from(["karpathy", "coco", "table"]), st.permutations(range(32)))
def test_drawn_sources_pair_as_they_were_written(
    tmp_path: Path, images: list[dict[str, Any]], form: str, order: list[int]
) -> None:
    file = tmp_path / ("own_test.json" if form == "coco" else "own.json" if form == "karpathy" else "own.tsv")
    if form == "table":
        file.write_text(as_table(images), encoding="utf-8")
    else:
        write_json(file, as_karpathy(images) if form == "karpathy" else as_coco(images, order))
    found = set()
    for split, pictures in read_pictures(file, tmp_path / "images").items():
        numbers = [None] * len(pictures.captions) if pictures.caption_ids is None else pictures.caption_ids.tolist()
        for caption, image, number in zip(pictures.captions, pictures.caption_image.tolist(), numbers, strict=True):
            found.add((split, pictures.names[image], int(pictures.ids[image]), caption, number))
    assert found == {
        (
            "test" if form == "coco" else {"val": "dev"}.get(image["split"], image["split"]),
            image["name"],
            image["id"],
            " ".join(text.split()),
            None if form == "table" else number,
        )
        for image in images
        for number, text in image["captions"]
    }
