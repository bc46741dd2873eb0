"""Every VSE++ command line of the contract, verbatim, on small data sets laid out as the commands expect."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

SMALL = " --embed_size 16 --word_dim 8 --batch_size 16 --num_epochs 1"


@pytest.fixture
def root(tmp_path: Path, make_data_set) -> Path:
    make_data_set(tmp_path / "data" / "f30k_precomp")
    make_data_set(tmp_path / "data" / "coco_precomp")
    make_data_set(tmp_path / "data" / "iaprtc12_precomp", captions=1, images=(40, 8, 8))
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("command", "run"),
    [
        (
            'python train.py --data_path "$DATA_PATH" --data_name f30k_precomp '
            "--logger_name runs/f30k_vse++ --max_violation",
            "runs/f30k_vse++",
        ),
        (
            'python train.py --data_path "$DATA_PATH" --data_name coco_precomp '
            "--logger_name runs/coco_vse++ --max_violation",
            "runs/coco_vse++",
        ),
        (
            'python IAPRTC12/trainIAPRTC12.py --data_path "$DATA_PATH" --data_name IAPRTC_precomp '
            "--logger_name runs/IAPRTC_vse++ --max_violation",
            "runs/IAPRTC_vse++",
        ),
    ],
)
def test_training_commands(script, root: Path, command: str, run: str) -> None:
    done = script("VSEpp_LSEH", command + SMALL, DATA_PATH=root)
    folder = done.folder / run
    assert {"options.json", "metrics.jsonl", "checkpoint.pth.tar", "model_best.pth.tar", "vocab.json"} <= {
        path.name for path in folder.iterdir()
    }
    assert list(folder.glob("events.out.tfevents.*"))
    options = json.loads((folder / "options.json").read_text())
    assert options["max_violation"]
    assert options["loss"] == "lseh"
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["rsum"] > 0
    assert "epoch 1  i2t " in done.output


def test_unedited_commands_evaluate_what_training_saves(script, root: Path) -> None:
    script("VSEpp_LSEH", f'python train.py --data_path "$DATA_PATH" --data_name coco{SMALL}', DATA_PATH=root)
    done = script("VSEpp_LSEH", "python evaluation.py")
    assert "coco_precomp test (8 images, 40 captions)" in done.output
    assert "image to text" in done.output

    script("VSEpp_LSEH", f'python IAPRTC12/trainIAPRTC12.py --data_path "$DATA_PATH"{SMALL}', DATA_PATH=root)
    done = script("VSEpp_LSEH", "python IAPRTC12/evaluationIAPRTC12.py")
    assert "iaprtc12_precomp test (8 images, 8 captions)" in done.output


def test_evaluation_writes_similarities_and_all_metrics(script, root: Path, tmp_path: Path) -> None:
    script("VSEpp_LSEH", f'python train.py --data_path "$DATA_PATH" --data_name f30k --loss lmh{SMALL}', DATA_PATH=root)
    flags = f"--save_similarities {tmp_path}/s.npy --json {tmp_path}/m.json"
    script("VSEpp_LSEH", f"python evaluation.py --data_path {root} --data-name coco --split dev {flags}")
    similarities = np.load(tmp_path / "s.npy", allow_pickle=False)
    assert similarities.shape == (8, 40)
    assert similarities.dtype == np.float32
    metrics = json.loads((tmp_path / "m.json").read_text())
    own = similarities[np.arange(40) // 5, np.arange(40)]
    r1 = 100 * np.mean((similarities > own).sum(axis=0) < 1)
    assert metrics["r1i"] == pytest.approx(r1)
    assert {"r1", "r5", "r10", "medr", "meanr", "medri", "meanri", "rsum", "hub_skewness", "hub_skewnessi"} <= set(
        metrics
    )


def test_fold5_reports_the_full_split_and_the_mean_of_folds(script, tmp_path: Path, make_data_set) -> None:
    make_data_set(tmp_path / "data" / "coco_precomp", images=(20, 5, 10))
    script("VSEpp_LSEH", f"python train.py --data_path {tmp_path}/data --data_name coco{SMALL}")
    done = script("VSEpp_LSEH", f"python evaluation.py --fold5 --json {tmp_path}/m.json")
    assert "mean of five folds" in done.output
    metrics = json.loads((tmp_path / "m.json").read_text())
    folds = metrics["fold5"]["folds"]
    assert len(folds) == 5
    assert metrics["fold5"]["rsum"] == pytest.approx(np.mean([fold["rsum"] for fold in folds]))


def test_training_goes_on_in_another_process_with_resume(script, root: Path) -> None:
    command = f'python train.py --data_path "$DATA_PATH" --data_name f30k --logger_name runs/a --max_violation{SMALL}'
    script("VSEpp_LSEH", command, DATA_PATH=root)
    done = script("VSEpp_LSEH", f"{command} --num_epochs 2 --resume auto", DATA_PATH=root)
    assert "resuming after step 8, epoch 1" in done.output
    script("VSEpp_LSEH", f"{command.replace('runs/a', 'runs/b')} --num_epochs 2", DATA_PATH=root)
    a, b = (torch.load(done.folder / f"runs/{run}/checkpoint.pth.tar", weights_only=True) for run in "ab")
    assert all(torch.equal(a["model"][name], b["model"][name]) for name in a["model"])


def test_a_run_begins_with_another_models_weights(script, root: Path) -> None:
    command = f'python train.py --data_path "$DATA_PATH" --data_name f30k --logger_name runs/a --loss sum_hinge{SMALL}'
    folder = script("VSEpp_LSEH", command, DATA_PATH=root).folder
    flags = f"--loss infonce --logger_name runs/b --learning_rate 0 --init_model runs/a/model_best.pth.tar{SMALL}"
    done = script("VSEpp_LSEH", f'python train.py --data_path "$DATA_PATH" --data_name f30k {flags}', DATA_PATH=root)
    assert "the run starts from its weights" in done.output
    a, b = (torch.load(folder / f"runs/{run}/model_best.pth.tar", weights_only=True)["model"] for run in "ab")
    assert all(torch.equal(a[name], b[name]) for name in a)
    flags = f"--resume runs/a/checkpoint.pth.tar --loss infonce{SMALL}"
    resumed = f'python train.py --data_path "$DATA_PATH" --data_name f30k {flags}'
    assert "--loss sum_hinge, now infonce" in script("VSEpp_LSEH", resumed, DATA_PATH=root, status=2).errors


def test_an_earlier_run_is_moved_aside_not_overwritten(script, root: Path) -> None:
    command = f'python train.py --data_path "$DATA_PATH" --data_name f30k --logger_name runs/a{SMALL}'
    first = (script("VSEpp_LSEH", command, DATA_PATH=root).folder / "runs/a/checkpoint.pth.tar").read_bytes()
    done = script("VSEpp_LSEH", command, DATA_PATH=root)
    assert "moved to runs/a.1" in done.output
    assert (done.folder / "runs/a.1/checkpoint.pth.tar").read_bytes() == first


@pytest.mark.parametrize(
    "flags",
    [
        "--measure order --use_abs --margin .05 --learning_rate .001 --loss sum_hinge",
        "--measure order --loss lmh",
        "--no_imgnorm --loss sum_hinge",
        "--loss luwm",
        "--loss hal --local_alpha 60 --local_ep 0.7",
        "--loss hal --memory_bank --mb_rate 0.2 --mb_k 5 --num_epochs 2",
        "--loss infonce",
        "--loss soft_margin --max_violation",
        "--loss sam --max_violation --features_on_device --deterministic",
        "--num_layers 2 --workers 1",
    ],
)
def test_recipes_and_objectives_train(script, root: Path, flags: str) -> None:
    command = f'python train.py --data_path "$DATA_PATH" --data_name f30k{SMALL} {flags}'
    assert "best dev score" in script("VSEpp_LSEH", command, DATA_PATH=root).output


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--loss hal --measure order", "not bounded"),
        ("--loss lseh --temperature 0.1", "does nothing for --loss lseh"),
        ("--loss lmh --memory_bank", "memory_bank"),
    ],
)
def test_senseless_combinations_are_refused_at_the_start(script, root: Path, flags: str, words: str) -> None:
    command = f'python train.py --data_path "$DATA_PATH" --data_name f30k{SMALL} {flags}'
    done = script("VSEpp_LSEH", command, DATA_PATH=root, status=2)
    assert len(done.errors.splitlines()) == 1
    assert words in done.errors
    assert "step" not in done.output


def test_a_published_checkpoint_evaluates_to_the_published_ranks(script, tmp_path: Path) -> None:
    golden = tmp_path / "e2e"  # a copy: token ids are cached beside a vocabulary
    shutil.copytree(Path(__file__).resolve().parent.parent / "golden" / "vsepp" / "e2e", golden)
    flags = f"--model_path {golden}/published.pth.tar --data_path {golden} --vocab_path {golden}/vocab"
    done = script(
        "VSEpp_LSEH", f"python evaluation.py {flags} --json {tmp_path}/m.json --save_similarities {tmp_path}/s.npy"
    )
    assert "rsum 255.0" in done.output
    expected = np.load(golden / "expected.npz", allow_pickle=False)
    similarities = np.load(tmp_path / "s.npy")
    wanted = expected["img_embs"][::5] @ expected["cap_embs"].T
    np.testing.assert_allclose(similarities, wanted, atol=1e-6)
    metrics = json.loads((tmp_path / "m.json").read_text())
    assert [metrics[name] for name in ("r1", "r5", "r10", "medr")] == pytest.approx([12.5, 52.5, 62.5, 5])
    assert [metrics[name] for name in ("r1i", "r5i", "r10i", "medri")] == pytest.approx([14.5, 42.5, 70.5, 7])


def test_pictures_train_and_evaluate_where_there_are_no_features(script, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "mine"
    (folder / "images").mkdir(parents=True)
    rows = ["image,caption,split"]
    for number, colour in enumerate(("red", "green", "blue", "yellow", "white", "black") * 2):
        Image.new("RGB", (60, 48), colour).save(folder / "images" / f"{number}.png")
        split = ("train", "train", "train", "train", "dev", "test")[number % 6]
        rows += [f"{number}.png,a {colour} picture,{split}", f"{number}.png,everything is {colour},{split}"]
    (folder / "captions.csv").write_text("\n".join(rows) + "\n")
    weights = tmp_path / "cnn.pth"
    torch.save(torchvision.models.mobilenet_v3_small().state_dict(), weights)
    flags = f"--cnn_type mobilenet_v3_small --cnn_weights {weights} --finetune --crop_size 64"
    command = f"python train.py --data_path {tmp_path}/data --data_name mine --loss lmh {flags}{SMALL} --batch_size 8"
    assert "best dev score" in script("VSEpp_LSEH", command).output
    assert "mine test (2 images, 4 captions)" in script("VSEpp_LSEH", "python evaluation.py").output
