"""`python -m vse search` as a user calls it: both directions, pages, JSON, the prompt, and refusals."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vse
from tests.trained import features, write_checkpoint
from vse.errors import InputError
from vse.tools import index, search
from vse.tools.options import IndexOptions, SearchOptions


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "model.pth.tar")


@pytest.fixture
def made(tmp_path: Path, model: Path, data_root: Path) -> Path:
    index.main(IndexOptions(str(model), str(data_root / "small_precomp"), str(tmp_path / "index"), device="cpu"))
    return tmp_path / "index"


def test_sentences_find_images_and_the_json_holds_them(tmp_path: Path, made: Path, model: Path) -> None:
    out = tmp_path / "answers.json"
    search.main(SearchOptions(str(made), ("a dog", "a purple cat"), k=3, json=str(out), device="cpu"))
    answers = json.loads(out.read_text())["answers"]
    assert [answer["query"] for answer in answers] == ["a dog", "a purple cat"]
    assert answers[1]["unknown_words"] == ["purple"]
    loaded = vse.load(model, device="cpu")
    array = np.load(tmp_path / "data" / "small_precomp" / "test_ims.npy")
    best = loaded.rank(array, ["a dog"], k=3)[0]
    assert [hit["name"] for hit in answers[0]["hits"]] == [f"test image {found.item}" for found in best]


def test_captions_are_found_by_a_sentence_of_the_same_side(tmp_path: Path, made: Path) -> None:
    out = tmp_path / "answers.json"
    search.main(SearchOptions(str(made), ("a dog",), find="captions", json=str(out), device="cpu"))
    answer = json.loads(out.read_text())["answers"][0]
    assert answer["how"] == "cosine of captions with caption"
    assert answer["hits"][0]["name"] == "a dog"


def test_the_prompt_answers_until_an_empty_line(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("a dog\nthe cat\n\nnever read\n"))
    search.main(SearchOptions(str(made), k=1, device="cpu"))
    printed = capsys.readouterr().out
    assert "a dog  (every item scored)" in printed
    assert "the cat  (every item scored)" in printed
    assert "never read" not in printed


def test_missing_pictures_of_a_page_are_counted(tmp_path: Path, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    search.main(SearchOptions(str(made), ("a dog",), k=2, page=str(page), device="cpu"))
    assert f"page: {page}, without the pictures of 2 images" in capsys.readouterr().out


def test_own_pictures_are_searched_by_sentence_and_picture(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "model.pth.tar", shape=(3, 224, 224), cnn_type="resnet18")
    folder = tmp_path / "own"
    folder.mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 255, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"<b>{number}.png")
    index.main(IndexOptions(str(checkpoint), str(folder), str(tmp_path / "index"), device="cpu"))
    out, page = tmp_path / "answers.json", tmp_path / "page.html"
    query = str(folder / "<b>1.png")
    search.main(
        SearchOptions(str(tmp_path / "index"), ("a dog",), (query,), k=2, json=str(out), page=str(page), device="cpu")
    )
    by_sentence, by_picture = json.loads(out.read_text())["answers"]
    assert len(by_sentence["hits"]) == 2
    assert by_picture["hits"][0]["name"] == "<b>1.png"
    text = page.read_text()
    assert text.count("<figure") == text.count("<figcaption") == 2 + 2 + 1
    assert "<b>1.png" not in text
    assert "&lt;b&gt;1.png" in text


def test_pictures_of_an_index_keep_their_extractor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vse.inference.model.extract", lambda paths, *_: features(len(paths)))
    checkpoint, folder = write_checkpoint(tmp_path / "model.pth.tar"), tmp_path / "own"
    asked = {"regions": 4, "grid": None, "image_size": None, "dtype": "float32", "batch_size": 2}
    for name, change in {"made": {}, "other": {"image_size": 64}, "batch": {"batch_size": 3}}.items():
        (tmp_path / name).mkdir()
        record = {"model": "resnet18", "weights": "by name", "asked": {**asked, **change}}
        (tmp_path / name / "features.json").write_text(json.dumps(record))
    folder.mkdir()
    Image.new("RGB", (30, 20)).save(folder / "a.png")
    made, picture = str(tmp_path / "index"), (str(folder / "a.png"),)

    def index_with(record: str | None) -> None:
        named = None if record is None else str(tmp_path / record)
        index.main(IndexOptions(str(checkpoint), str(folder), made, features=named, device="cpu"))

    index_with("made")
    index_with(None)  # the index knows
    index_with("batch")
    search.main(SearchOptions(made, image=picture, device="cpu"))
    with pytest.raises(InputError, match="resnet18 with other settings than --features"):
        index_with("other")
    with pytest.raises(InputError, match="resnet18 with other settings than --features"):
        search.main(SearchOptions(made, image=picture, features=str(tmp_path / "other"), device="cpu"))


def test_an_index_of_features_is_asked_with_a_picture(
    tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vse.inference.model.extract", lambda paths, *_: features(len(paths)))
    asked = {"regions": 4, "grid": None, "image_size": None, "dtype": "float32", "batch_size": 2}
    (tmp_path / "features.json").write_text(json.dumps({"model": "resnet18", "weights": "by name", "asked": asked}))
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    picture = (str(tmp_path / "a.png"),)
    with pytest.raises(InputError, match="--features"):
        search.main(SearchOptions(str(made), image=picture, device="cpu"))
    search.main(SearchOptions(str(made), image=picture, features=str(tmp_path), device="cpu"))


def test_a_network_that_moved_is_found_by_its_option(tmp_path: Path, made: Path, model: Path) -> None:
    moved = model.rename(tmp_path / "moved.pth.tar")
    with pytest.raises(InputError, match="no such checkpoint"):
        search.main(SearchOptions(str(made), ("a dog",), device="cpu"))
    search.main(SearchOptions(str(made), ("a dog",), model=str(moved), device="cpu"))


def test_another_model_is_refused(tmp_path: Path, made: Path, data_root: Path) -> None:
    other = write_checkpoint(tmp_path / "other.pth.tar", embed_size=9)
    with pytest.raises(InputError, match="made with weights of SHA-256"):
        search.main(SearchOptions(str(made), ("a dog",), model=str(other), device="cpu"))
    with pytest.raises(InputError, match="made with weights of SHA-256"):
        index.main(IndexOptions(str(other), str(data_root / "small_precomp"), str(made), device="cpu"))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"query": (" ",)}, "an empty query"),
        ({"image": ("no.jpg",)}, "no such picture"),
        ({"query": ("a dog",), "page": "no/folder/page.html"}, "no/folder/page.html"),
    ],
)
def test_unusable_queries_are_refused(made: Path, flags: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        search.main(SearchOptions(str(made), device="cpu", **flags))


def test_a_folder_that_is_no_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a folder that python -m vse index wrote"):
        search.main(SearchOptions(str(tmp_path)))
