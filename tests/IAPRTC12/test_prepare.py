from __future__ import annotations

import json
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from IAPRTC12.prepare import Options, main, parse_annotation, read_id_list
from vse.data.datasets import open_split
from vse.data.index import folder_pictures
from vse.errors import InputError
from vse.text.vocabulary import SPECIAL_WORDS, Vocabulary

ROOT = Path(__file__).resolve().parents[2]


def annotation(image_id: int, description: str | None, title: str = "A place") -> str:
    folder = f"{image_id // 1000:02}"
    middle = "" if description is None else f"<DESCRIPTION>{description}</DESCRIPTION>\n"
    return (
        f"<DOC>\n<DOCNO>annotations/{folder}/{image_id}.eng</DOCNO>\n<TITLE>{title}</TITLE>\n{middle}<NOTES></NOTES>\n"
        f"<LOCATION>Nowhere</LOCATION>\n<DATE>1 May 2002</DATE>\n<IMAGE>images/{folder}/{image_id}.jpg</IMAGE>\n"
        f"<THUMBNAIL>thumbnails/{folder}/{image_id}.jpg</THUMBNAIL>\n</DOC>\n"
    )


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Forty annotated photos with gaps between the ids, in two folders, as the archive unpacks."""
    root = tmp_path / "iaprtc12"
    for image_id in [*range(7, 100, 4), *range(1002, 1050, 3)]:
        text = annotation(image_id, f"a house number {image_id}; two trees in front of it;")
        for kind, suffix, content in (("annotations_complete_eng", "eng", text), ("images", "jpg", "")):
            path = root / kind / f"{image_id // 1000:02}" / f"{image_id}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="latin-1")
    return root


def prepare(raw: Path, out: Path, **options: Any) -> Path:
    defaults: dict[str, Any] = {"raw": raw, "out": out, "dev": 5, "test": 6}
    main(Options(**(defaults | options)))
    return out


def test_fields_are_found_by_their_tags_whatever_is_malformed() -> None:
    source = Path("annotations_complete_eng/01/1021.eng")
    cases = {
        annotation(1021, "two men;  a\r\n dog ;"): "two men; a dog ;",
        annotation(
            1021, "salt & pepper &amp; a &quot;caf\xe9&quot; &lt;small&gt;;"
        ): 'salt & pepper & a "caf\xe9" <small>;',
        annotation(1021, ""): "",
        annotation(1021, None): "",
        annotation(1021, "an  unclosed field;").replace("</DESCRIPTION>", ""): "an unclosed field;",
        annotation(1021, "lower case;").replace("DESCRIPTION", "description"): "lower case;",
        annotation(1021, "a < b; 3 > 2;"): "a < b; 3 > 2;",
        "<DOC><DESCRIPTION>cut off in the mid": "cut off in the mid",
        "": "",
    }
    for text, description in cases.items():
        found = parse_annotation(text, source)
        assert found.description == description
        assert (found.image_id, found.picture) == (1021, "01/1021.jpg")


def test_annotations_are_utf_8_where_that_is_valid(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for image_id, encoding in ((7, "utf-8"), (11, "latin-1")):
        file = raw / "annotations_complete_eng" / "00" / f"{image_id}.eng"
        file.write_bytes(annotation(image_id, f"a café number {image_id};").encode(encoding))
    out = prepare(raw, tmp_path / "out")
    captions = "".join(path.read_text("utf-8") for path in out.glob("*_caps.txt"))
    assert "a café number 7;" in captions
    assert "a café number 11;" in captions
    assert "1 files in Latin-1, 1 files in UTF-8" in capsys.readouterr().out


@pytest.mark.parametrize("picture", ["images/../../x.jpg", "/etc/hostname"])
def test_picture_names_never_lead_out_of_the_folder(picture: str) -> None:
    text = annotation(25, "a;").replace("images/00/25.jpg", picture)
    with pytest.raises(InputError, match="leads out"):
        parse_annotation(text, Path("00/25.eng"))


def test_a_seeded_split_covers_every_image_once_by_ascending_id(raw: Path, tmp_path: Path) -> None:
    splits = folder_pictures(prepare(raw, tmp_path / "out"))
    assert {split: len(pictures.names) for split, pictures in splits.items()} == {"train": 29, "dev": 5, "test": 6}
    ids = [pictures.ids.tolist() for pictures in splits.values()]
    assert all(some == sorted(some) for some in ids)
    assert sorted(chain.from_iterable(ids)) == [*range(7, 100, 4), *range(1002, 1050, 3)]
    for pictures in splits.values():
        assert pictures.captions == [
            f"a house number {image_id}; two trees in front of it;" for image_id in pictures.ids
        ]
        assert all(path.is_file() for path in pictures.paths)
    again, other = (folder_pictures(prepare(raw, tmp_path / name, seed=seed)) for name, seed in (("a", 0), ("b", 1)))
    assert again["test"].ids.tolist() == ids[2] != other["test"].ids.tolist()
    assert "not the authors' split" in json.loads((tmp_path / "out/split.json").read_text())["split"]


def test_id_lists_decide_the_split(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lists = {"train": "1002\n7\n11\n\n", "dev": "00/15\n00/16\n", "test": "images/00/19.jpg\n23\n"}
    for split, text in lists.items():
        (tmp_path / f"{split}.txt").write_text(text)
    options = {f"{split}_ids": tmp_path / f"{split}.txt" for split in lists}
    splits = folder_pictures(prepare(raw, tmp_path / "out", **options))
    assert {split: pictures.ids.tolist() for split, pictures in splits.items()} == {
        "train": [7, 11, 1002],
        "dev": [15],
        "test": [19, 23],
    }
    assert "dev: 1 of 2 listed images cannot be used (first 16)" in capsys.readouterr().out
    with pytest.raises(InputError, match="belong together"):
        prepare(raw, tmp_path / "other", dev_ids=options["dev_ids"])
    (tmp_path / "test.txt").write_text("7\n")
    with pytest.raises(InputError, match="image 7 is in train as well"):
        prepare(raw, tmp_path / "other", **options)
    (tmp_path / "test.txt").write_text("4\n")
    with pytest.raises(InputError, match="none of its 1 images"):
        prepare(raw, tmp_path / "other", **options)
    (tmp_path / "test.txt").write_text("7\nseven\n")
    with pytest.raises(InputError, match="line 2"):
        read_id_list(tmp_path / "test.txt")


def test_what_cannot_be_used_is_left_out_counted_and_named(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    annotations = raw / "annotations_complete_eng"
    (annotations / "00/7.eng").write_text(annotation(7, " ; ;"))
    (annotations / "00/11.eng").write_text(annotation(11, None))
    (annotations / "00/15.eng").unlink()
    (raw / "images/00/19.jpg").unlink()
    out = prepare(raw, tmp_path / "out")
    printed = capsys.readouterr().out
    assert "left out, no description: 2 (first 7, 11)" in printed
    assert "left out, no picture: 1 (first 19)" in printed
    assert "left out, a picture without annotation: 1 (first 15)" in printed
    assert sum(len(pictures.names) for pictures in folder_pictures(out).values()) == 36


def test_captions_are_latin_1_in_and_utf_8_out(raw: Path, tmp_path: Path) -> None:
    path = raw / "annotations_complete_eng/00/7.eng"
    path.write_bytes(annotation(7, "the Plaza Espa\xf1a in K\xf6ln;").encode("latin-1"))
    splits = folder_pictures(prepare(raw, tmp_path / "out"))
    captions = [caption for pictures in splits.values() for caption in pictures.captions]
    assert "the Plaza Espa\xf1a in K\xf6ln;" in captions


def test_light_annotations_beside_complete_ones_are_passed_over(raw: Path, tmp_path: Path) -> None:
    light = raw / "annotations_light_eng/00"
    light.mkdir(parents=True)
    (light / "7.eng").write_text(annotation(7, None))
    out = prepare(raw, tmp_path / "out")
    assert sum(len(pictures.names) for pictures in folder_pictures(out).values()) == 40
    (raw / "annotations_complete_eng/01/7.eng").write_text(annotation(7, "again;"))
    with pytest.raises(InputError, match="image 7 is annotated twice"):
        prepare(raw, tmp_path / "out")


def test_clauses_are_captions_of_their_own_only_when_asked(raw: Path, tmp_path: Path) -> None:
    path = raw / "annotations_complete_eng/00/7.eng"
    path.write_text(annotation(7, "one; two ;; three;"))
    splits = folder_pictures(prepare(raw, tmp_path / "out", clauses=True))
    split = next(pictures for pictures in splits.values() if 7 in pictures.ids)
    place = split.ids.tolist().index(7)
    of_image = [split.captions[caption] for caption in np.flatnonzero(split.caption_image == place)]
    assert of_image == ["one", "two", "three"]
    assert json.loads((tmp_path / "out/split.json").read_text())["captions"] == "one clause each"


def test_coverage_of_a_foreign_vocabulary_is_reported(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Vocabulary([*SPECIAL_WORDS, "a", "house", "number", ";", "two", "trees", "in", "front", "of"]).save(
        tmp_path / "v.json"
    )
    prepare(raw, tmp_path / "out", vocabulary=tmp_path / "v.json")
    printed = capsys.readouterr().out
    assert "v.json, 13 words" in printed
    assert "83.33 %" in printed  # of 12 tokens in each description, `it` and the number are unknown
    assert "9 of 39" in printed
    assert "it, " in printed


def test_the_prepared_folder_takes_one_caption_an_image(raw: Path, tmp_path: Path) -> None:
    out = prepare(raw, tmp_path / "out")
    for split, count in {"train": 29, "dev": 5, "test": 6}.items():
        np.save(out / f"{split}_ims.npy", np.random.default_rng(0).normal(size=(count, 3, 4)).astype(np.float32))
    for split in ("train", "dev", "test"):
        opened = open_split(out, split)
        assert (opened.captions_per_image == 1).all()
        assert opened.caption_image.tolist() == list(range(len(opened.captions)))


def test_the_script_ends_a_mistake_in_one_sentence(raw: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "IAPRTC12/prepare.py"), *arguments]
        environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)

    done = run(str(raw), "--out", "out", "--dev", "5", "--test", "5")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/train_caps.txt").is_file()
    failed = run(str(tmp_path / "nowhere"))
    assert failed.returncode == 2
    assert failed.stderr.startswith("error: ")
    assert failed.stderr.count("\n") == 1
    too_many = run(str(raw))
    assert too_many.returncode == 2
    assert "40 images with captions; too few for 1000 dev and 1000 test" in too_many.stderr
