"""`python -m vse evaluate`: every kind of input gives the same table, and what does not fit is one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vse.cli import parse
from vse.errors import InputError
from vse.evaluation.comparison import differences, find_evaluations, rows_of
from vse.evaluation.ranking import evaluate
from vse.evaluation.script import open_models
from vse.options import EvaluationOptions
from vse.tools.evaluate import main
from vse.tools.options import EvaluateOptions

IMAGES, CAPTIONS = 8, 40
OWNER = np.arange(CAPTIONS) // 5


@pytest.fixture
def folder(tmp_path: Path, make_data_set: Callable[..., Path]) -> Path:
    """A data set folder, and beside it one model's scores and embeddings of its test split."""
    generator = np.random.default_rng(0)
    images = generator.standard_normal((IMAGES, 6)).astype(np.float32)
    captions = (images[OWNER] + generator.standard_normal((CAPTIONS, 6))).astype(np.float32)
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    captions /= np.linalg.norm(captions, axis=1, keepdims=True)
    np.save(tmp_path / "scores.npy", images @ captions.T)
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "captions.npy", captions)
    np.savez(tmp_path / "both.npz", images=images, captions=captions)
    bank = {"images": generator.standard_normal((20, 6)), "captions": generator.standard_normal((60, 6))}
    np.savez(tmp_path / "bank.npz", **bank)
    np.savez(
        tmp_path / "bank_scores.npz",
        images=_unit(bank["images"]) @ captions.T,
        captions=images @ _unit(bank["captions"]).T,
    )
    return make_data_set(tmp_path / "small_precomp")


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def run(tmp_path: Path, folder: Path) -> Callable[..., dict[str, Any]]:
    """Evaluate files of the folder by name -> the JSON."""

    def evaluate_files(*inputs: str, data: str | None = str(folder), **flags: Any) -> dict[str, Any]:
        out = tmp_path / "metrics.json"
        paths = tuple(str(tmp_path / name) for name in inputs)
        main(EvaluateOptions(paths, data=data, json=str(out), **flags))
        return json.loads(out.read_bytes())

    return evaluate_files


Run = Callable[..., dict[str, Any]]


def test_compare_accepts_scores_beside_a_checkpoint(checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    data = open_models(None, EvaluationOptions(str(checkpoint)))[0].data.split.captions_file.parent
    (tmp_path / "r").mkdir()
    main(EvaluateOptions((str(checkpoint),), json=str(tmp_path / "r" / "own.json")))
    main(
        EvaluateOptions((str(folder.parent / "scores.npy"),), data=str(data), json=str(tmp_path / "r" / "scores.json"))
    )
    rows = rows_of(find_evaluations([tmp_path / "r"]))
    assert sorted(row.configuration["network"] for row in rows) == ["VSEpp", "scores"]
    assert [row.name.split("=")[0] for row in rows] == ["VSEpp", "scores scores"]
    assert differences(rows, rows[0])[0].change.mean > 0


def test_scores_give_what_the_ranking_gives(tmp_path: Path, run: Run) -> None:
    found = run("scores.npy")
    expected = evaluate(np.load(tmp_path / "scores.npy"), OWNER)
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert found["record"]["data"]["name"] == "test"


@pytest.mark.parametrize("inputs", [("images.npy", "captions.npy"), ("both.npz",), ("both.npz:images", "captions.npy")])
def test_embeddings_in_one_file_or_two_give_the_same(run: Run, inputs: tuple[str, ...]) -> None:
    assert run(*inputs)["meanr"] == run("scores.npy")["meanr"]


def test_uneven_captions_take_the_image_of_each(tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    owner = np.sort(np.random.default_rng(1).integers(0, IMAGES - 1, CAPTIONS))
    (tmp_path / "owner.txt").write_text("".join(f"{image}\n" for image in owner))
    found = run("scores.npy", data=None, caption_image=str(tmp_path / "owner.txt"))
    assert found["meanr"] == evaluate(np.load(tmp_path / "scores.npy"), owner)["meanr"]
    assert IMAGES - 1 in found["without_captions"]
    assert "images have no caption and are not asked for" in capsys.readouterr().err


def test_an_id_for_each_caption_tells_whose_it_is(tmp_path: Path, run: Run) -> None:
    owner = np.minimum(OWNER, 6) + (np.arange(CAPTIONS) == CAPTIONS - 1)
    (tmp_path / "ids.txt").write_text("".join(f"{100 - image}\n" for image in owner))
    found = run("scores.npy", data=None, image_ids=str(tmp_path / "ids.txt"))
    assert found["meanr"] == evaluate(np.load(tmp_path / "scores.npy"), owner)["meanr"]
    (tmp_path / "ids.txt").write_text("".join(f"{image // 2}\n" for image in owner))
    with pytest.raises(InputError, match="the ids of 40 captions are of 4 images, not 8"):
        run("scores.npy", data=None, image_ids=str(tmp_path / "ids.txt"))


def test_without_a_data_set_the_assumption_is_said(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run("scores.npy", data=None)
    assert "5 captions in a row are taken to belong to each of 8 images" in capsys.readouterr().out


def test_the_tie_rule_and_the_ties_are_printed(tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "flat.npy", np.zeros((IMAGES, CAPTIONS), np.float32))
    run("flat.npy")
    assert "lower index comes first" in (out := capsys.readouterr().out)
    assert "decides for 8 of 8 images and 40 of 40 captions" in out


def test_corrections_stand_beside_the_raw_table(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("csls:k=3", "nnn:k=5", "sinkhorn", "inverted_softmax", "qbnorm")
    by_embeddings = run("both.npz", correct=names, bank=str(tmp_path / "bank.npz"))
    out = capsys.readouterr().out
    assert out.index("rsum") < out.index("raw") < out.index("csls:k=3")
    assert "bank.npz (20 images, 60 captions)" in out
    assert "transductive" not in out
    by_scores = run("scores.npy", correct=names, bank=str(tmp_path / "bank_scores.npz"))
    assert list(by_scores["corrected"]) == list(names)
    for name in names:
        assert by_scores["corrected"][name]["rsum"] == by_embeddings["corrected"][name]["rsum"]
    assert len({values["meanri"] for values in by_scores["corrected"].values()}) > 1


def test_the_test_split_as_bank_must_be_asked_for_and_is_marked(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run("both.npz", correct=("csls",), bank="test")
    assert found["corrected"]["csls"]["transductive"] is True
    assert "transductive, not comparable" in capsys.readouterr().out
    with pytest.raises(InputError, match="the bank holds all 8 images of the test split"):
        run("both.npz", correct=("csls",), bank=str(tmp_path / "both.npz"))
    scores = np.load(tmp_path / "scores.npy")
    np.savez(tmp_path / "own.npz", images=scores[::-1], captions=scores)
    with pytest.raises(InputError, match="the bank holds all 8 images of the test split"):
        run("scores.npy", correct=("csls",), bank=str(tmp_path / "own.npz"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"correct": ("csls",)}, "--correct and --bank go together"),
        ({"bank": "test"}, "--correct and --bank go together"),
        ({"correct": ("csls",), "bank": "train"}, "--bank train needs a checkpoint"),
        ({"correct": ("cls",), "bank": "test"}, "no such correction"),
        ({"split": "val"}, "the folder has the splits dev, test, train"),
        ({"split": "train"}, "the train split of .* has 24 images and 120 captions"),
        ({"coco": True}, "CxC|eccv-caption"),
        ({"fold5": True}, "--fold5 wants"),
        ({"caption_image": "x.txt"}, "--caption_image is for scores without --data"),
    ],
)
def test_what_does_not_fit_is_one_sentence(run: Run, flags: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run("scores.npy", **flags)


def test_scores_of_another_shape_are_refused(tmp_path: Path, run: Run) -> None:
    scores = np.load(tmp_path / "scores.npy")
    np.save(tmp_path / "scores.npy", scores.T)
    with pytest.raises(InputError, match=r"40 images \(rows\), but the test split .* has 8 images and 40 captions"):
        run("scores.npy")
    np.save(tmp_path / "scores.npy", scores[:, :-1])
    with pytest.raises(InputError, match="8 images and 39 captions, but small_precomp test has 40 captions"):
        run("scores.npy")
    with pytest.raises(InputError, match="3 files; expected SCORES, IMAGES and CAPTIONS, or checkpoints"):
        run("scores.npy", "scores.npy", "scores.npy")


def test_an_archive_of_other_names_asks_for_one(tmp_path: Path, run: Run) -> None:
    np.savez(tmp_path / "odd.npz", a=np.zeros((2, 2), np.float32), b=np.zeros((2, 2), np.float32))
    with pytest.raises(InputError, match="holds a, b; expected one matrix of scores, or images and captions"):
        run("odd.npz")
    with pytest.raises(InputError, match="choose one by"):
        run("odd.npz", "captions.npy")


def test_infinite_scores_are_ranked_but_not_corrected(tmp_path: Path, run: Run) -> None:
    scores = np.load(tmp_path / "scores.npy")
    scores[2, 3] = -np.inf
    np.save(tmp_path / "scores.npy", scores)
    assert run("scores.npy")["captions"] == CAPTIONS
    with pytest.raises(InputError, match="1 of 8 rows hold infinity"):
        run("scores.npy", correct=("csls",), bank="test")


def test_corrections_are_named_by_correct_or_rerank() -> None:
    for flag in ("--correct", "--rerank"):
        options = parse(EvaluateOptions, arguments=["scores.npy", flag, "csls", "nnn:k=5", "--bank", "test"])
        assert options.correct == ("csls", "nnn:k=5")


@pytest.fixture
def checkpoint(data_root: Path, script: Callable[..., Any]) -> Path:
    """VSE++, hardly trained on the data set `small`."""
    sizes = "--embed_size 8 --word_dim 6 --num_epochs 1 --batch_size 16 --loss sum_hinge"
    done = script("VSEpp_LSEH", f"python train.py --data_path $DATA --data_name small {sizes}", DATA=data_root)
    return done.folder / "runs" / "runX" / "model_best.pth.tar"


def test_a_checkpoint_is_scored_on_the_split_it_was_trained_for(
    checkpoint: Path, data_root: Path, tmp_path: Path, script: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    scores = tmp_path / "own.npy"
    script("VSEpp_LSEH", f"python evaluation.py --model_path {checkpoint} --save_similarities {scores}")
    expected = evaluate(np.load(scores), OWNER)
    found = tmp_path / "found.json"
    flags = {"correct": ("csls:k=3", "qbnorm"), "bank": "train", "json": str(found)}
    main(EvaluateOptions((str(checkpoint),), **flags))
    result = json.loads(found.read_bytes())
    assert {name: result[name] for name in expected} == pytest.approx(expected)
    assert result["record"]["models"][0]["record"]["network"] == "VSEpp"
    out = capsys.readouterr().out
    assert "bank: train (24 images, 120 captions)" in out
    assert result["corrected"]["csls:k=3"]["transductive"] is False
    main(EvaluateOptions((str(checkpoint), str(checkpoint)), data=str(data_root / "small_precomp"), json=str(found)))
    assert json.loads(found.read_bytes())["meanr"] == expected["meanr"]
