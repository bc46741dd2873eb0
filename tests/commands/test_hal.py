"""HAL's five command lines, verbatim, on small data laid out as they expect, and what its scripts promise besides."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

SIZE = " --embed_size 16 --word_dim 8"
SMALL = f"{SIZE} --batch_size 16 --num_epochs 1"
COCO = (
    'python3 train.py --data_path "data/data/resnet_precomp" --vocab_path "data/vocab/" --data_name coco_precomp '
    "--batch_size 512 --learning_rate 0.001 --lr_update 8 --num_epochs 13 --img_dim 2048 "
    "--logger_name runs/COCO --local_alpha 30.00 --local_ep 0.3"
)
COCO_BANK = (
    'python3 train.py --data_path "data/data/resnet_precomp" --vocab_path "data/vocab/" --data_name coco_precomp '
    "--batch_size 512 --learning_rate 0.001 --lr_update 8 --num_epochs 13 --img_dim 2048 "
    "--logger_name runs/COCO_mb --local_alpha 30.00 --local_ep 0.3 --memory_bank --global_alpha 40.00 "
    "--global_beta 40.00 --global_ep_posi 0.20 --global_ep_nega 0.10 --mb_rate 0.05 --mb_k 250"
)
F30K = (
    'python3 train.py --data_path "data/data" --vocab_path "data/vocab/" --data_name f30k_precomp --batch_size 128 '
    "--learning_rate 0.001 --lr_update 8 --num_epochs 13 --logger_name runs/f30k --local_alpha 60.00 --local_ep 0.7"
)


@pytest.fixture
def folder(script, make_data_set) -> Path:
    """A stand-in for HAL/ with the data where the published commands look for it."""
    working = script("HAL", "python __init__.py").folder
    sizes = {"captions": 5, "regions": 0, "dtype": np.float16}
    make_data_set(working / "data/data/resnet_precomp/coco_precomp", images=(105, 5, 10), size=2048, **sizes)
    make_data_set(working / "data/data/f30k_precomp", images=(30, 5, 5), size=4096, **sizes)
    return working


@pytest.fixture
def root(tmp_path: Path, make_data_set) -> Path:
    make_data_set(tmp_path / "data" / "f30k_precomp")
    make_data_set(tmp_path / "data" / "iaprtc12_precomp", captions=1, images=(40, 8, 8))
    return tmp_path / "data"


def checkpoint(folder: Path, run: str) -> dict:
    return torch.load(folder / "runs" / run / "checkpoint.pth.tar", weights_only=True)


def test_the_published_commands_train_and_evaluate(script, folder: Path) -> None:
    done = script("HAL", f"{COCO}{SIZE} --num_epochs 1")
    assert "vocabulary of" in done.output
    assert (folder / "data/vocab").is_dir()
    script("HAL", f"{COCO_BANK}{SIZE} --num_epochs 2")
    bank = checkpoint(folder, "COCO_mb")["objective"]["bank._extra_state"]
    assert bank["images"].shape == bank["captions"].shape == (round(0.05 * 525), 16)
    script("HAL", f"{F30K}{SIZE} --num_epochs 1")
    assert checkpoint(folder, "f30k")["options"]["local_alpha"] == 60

    done = script(
        "HAL",
        "python3 compute_results.py --data_path data/data/resnet_precomp --fold5 "
        "--model_path runs/COCO/model_best.pth.tar",
    )
    assert "coco_precomp test (10 images, 50 captions)" in done.output
    assert "mean of five folds" in done.output
    assert "hubness" in done.output
    done = script("HAL", "python3 compute_results.py --data_path data/data --model_path runs/f30k/model_best.pth.tar")
    assert "f30k_precomp test (5 images, 25 captions)" in done.output


def test_compute_results_keeps_embeddings_and_lines_of_results(script, folder: Path) -> None:
    script("HAL", f"{COCO}{SIZE} --num_epochs 1")
    model = "--model_path runs/COCO/model_best.pth.tar"
    flags = "--save_embeddings --save_csv results.csv --save_similarities s.npy --json m.json"
    script("HAL", f"python compute_results.py {model} {flags}")
    script("HAL", f"python compute_results.py {model} --fold5 --save_csv results.csv")
    with np.load(folder / "COCO_img_and_cap_embeddings.npz", allow_pickle=False) as file:
        assert file["img_embs"].shape == (10, 16)
        assert file["cap_embs"].shape == (50, 16)
        np.testing.assert_array_equal(file["caption_image"], np.arange(50) // 5)
        np.testing.assert_allclose(file["img_embs"] @ file["cap_embs"].T, np.load(folder / "s.npy"), atol=1e-6)
    metrics = json.loads((folder / "m.json").read_text())
    (line,) = csv.reader((folder / "results.csv").open())
    assert line[0] == "runs/COCO"
    assert [float(number) for number in line[1:4]] == pytest.approx([metrics[k] for k in ("r1", "r5", "r10")], abs=0.05)
    assert float(line[-1]) == pytest.approx(metrics["rsum"], abs=0.05)
    assert len((folder / "results.csv_fold1").read_text().splitlines()) == 1
    assert len((folder / "results.csv_fold5").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("flags", "loss"),
    [
        ("--max_violation", "max_hinge"),
        ("--sum_violation", "sum_hinge"),
        ("--sum_violation --max_violation", "max_hinge"),
        ("--loss lseh --max_violation", "lseh"),
        ("--positive_term repaired --memory_bank --global_weighting repaired", "hal"),
    ],
)
def test_the_objective_is_hal_unless_told_otherwise(script, root: Path, flags: str, loss: str) -> None:
    done = script("HAL", f"python train.py --data_path {root} --data_name f30k{SMALL} {flags}")
    assert json.loads((done.folder / "runs/runX/options.json").read_text())["loss"] == loss
    if loss.endswith("hinge"):  # 0.2 and more a pair and direction at the start
        first = json.loads((done.folder / "runs/runX/metrics.jsonl").read_text().splitlines()[0])
        assert first["loss"] > 0.2


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--max_violation --local_alpha 60", "--local_alpha does nothing for --loss max_hinge"),
        ("--sum_violation --memory_bank", "--memory_bank does nothing for --loss sum_hinge"),
        ("--sum_violation --loss lseh", "--sum_violation does nothing for --loss lseh"),
        ("--mb_k 5", "--mb_k does nothing without --memory_bank"),
        ("--measure order", "not bounded"),
    ],
)
def test_options_that_do_nothing_are_refused(script, root: Path, flags: str, words: str) -> None:
    done = script("HAL", f"python train.py --data_path {root} --data_name f30k{SMALL} {flags}", status=2)
    assert len(done.errors.splitlines()) == 1
    assert words in done.errors


def test_every_epoch_is_kept_through_an_interruption(script, root: Path) -> None:
    command = f"python train.py --data_path {root} --data_name f30k --save_all --record_val{SMALL}"
    script("HAL", f"{command} --logger_name elsewhere/a --num_epochs 1")
    done = script("HAL", f"{command} --logger_name elsewhere/a --num_epochs 3 --resume auto --val_step 3")
    run = done.folder / "elsewhere/a"
    assert sorted(path.name for path in run.glob("Epoch-*")) == [f"Epoch-{n}-model.pth.tar" for n in (1, 2, 3)]
    validations = [line for line in map(json.loads, (run / "metrics.jsonl").open()) if "rsum" in line]
    assert len(validations) > 3  # within epochs as well
    assert len(run.parent.parent.joinpath("rst_val_a").read_text().splitlines()) == 3
    for number, line in enumerate((done.folder / "rst_val_a").read_text().splitlines()):
        saved = torch.load(run / f"Epoch-{number + 1}-model.pth.tar", weights_only=True)["progress"]
        (rsum,) = [v["rsum"] for v in validations if v["step"] == saved["step"]]
        assert saved["epoch"] == number + 1
        assert line == f"Epoch: {number} ; rsum: {rsum:.1f}"


def test_epochs_are_kept_in_the_folder_where_a_run_goes_on(script, root: Path) -> None:
    command = f"python train.py --data_path {root} --data_name f30k --save_all --record_val{SMALL}"
    script("HAL", f"{command} --logger_name runs/a --num_epochs 1")
    done = script("HAL", f"{command} --logger_name runs/b --num_epochs 2 --resume runs/a/checkpoint.pth.tar")
    assert [path.name for path in (done.folder / "runs/b").glob("Epoch-*")] == ["Epoch-2-model.pth.tar"]
    assert (done.folder / "runs/b/model_best.pth.tar").exists()


def test_a_run_with_a_bank_resumes_to_the_same_bits(script, root: Path) -> None:
    command = (
        f"python train.py --data_path {root} --data_name f30k --memory_bank --mb_rate 0.2 --mb_k 5 --save_all{SMALL} "
        "--num_epochs 3 --log_step 1"
    )
    whole = script("HAL", f"{command} --logger_name runs/whole").folder
    # A run killed in the middle of its second epoch: its last checkpoint is that of a validation there.
    stop = (
        "import runpy, sys; import vse.training.loop as training; update = training.update\n"
        "import vse.training.checkpoint_writer as writer; writer.SAVE_EVERY = 0.0\n"
        "def dying(*arguments):\n"
        "    dying.steps += 1\n"
        "    if dying.steps == 13: raise SystemExit(9)\n"
        "    return update(*arguments)\n"
        "dying.steps = 0; training.update = dying; sys.argv[0] = 'train.py'\n"
        "runpy.run_path('train.py', run_name='__main__')\n"
    )
    (whole / "dying.py").write_text(stop)
    cut = f"{command.replace('train.py', 'dying.py')} --logger_name runs/cut --val_step 11"
    script("HAL", cut, status=9)
    progress = checkpoint(whole, "cut")["progress"]
    assert (progress["epoch"], progress["position"]) == (1, 3)
    script("HAL", f"{command} --logger_name runs/cut --val_step 11 --resume auto")
    one, other = checkpoint(whole, "whole"), checkpoint(whole, "cut")
    assert all(torch.equal(one["model"][name], other["model"][name]) for name in one["model"])
    banks = one["objective"]["bank._extra_state"], other["objective"]["bank._extra_state"]
    assert len(banks[0]["images"]) == round(0.2 * 120)
    assert all(torch.equal(banks[0][name], banks[1][name]) for name in banks[0])


def test_unedited_commands_evaluate_what_training_saves(script, root: Path) -> None:
    script("HAL", f"python train.py --data_path {root} --data_name f30k --tokeniser bytes-repr{SMALL}")
    assert "f30k_precomp test (8 images, 40 captions)" in script("HAL", "python evaluation.py").output
    assert "hubness" in script("HAL", "python compute_results.py --tokeniser bytes-repr").output
    done = script("HAL", "python evaluation.py --tokeniser punkt", status=2)
    assert "was trained with bytes-repr" in done.errors

    script("HAL", f"python IAPRTC12/trainIAPRTC12.py --data_path {root}{SMALL}")
    done = script("HAL", "python IAPRTC12/evaluationIAPRTC12.py")
    assert "iaprtc12_precomp test (8 images, 8 captions)" in done.output


def test_a_published_checkpoint_evaluates_to_the_published_ranks(script, tmp_path: Path) -> None:
    golden = tmp_path / "e2e"  # a copy: token ids are cached beside a vocabulary
    shutil.copytree(Path(__file__).resolve().parent.parent / "golden" / "hal" / "e2e", golden)
    flags = f"--model_path {golden}/published.pth.tar --data_path {golden} --vocab_path {golden}/vocab"
    script("HAL", f"python evaluation.py {flags} --save_similarities {tmp_path}/s.npy")
    expected = np.load(golden / "expected.npz", allow_pickle=False)
    scores = np.load(tmp_path / "s.npy")
    np.testing.assert_allclose(scores, expected["img_embs"] @ expected["cap_embs"].T, atol=1e-6)
    owner = np.arange(200) // 5
    own = scores[owner, np.arange(200)]
    text_to_image = (scores > own).sum(axis=0)
    clear = expected["t2i.rank_gap"] > 1e-5
    assert clear.sum() > 100
    np.testing.assert_array_equal(text_to_image[clear], expected["t2i.ranks"][clear])
    best_own = own.reshape(40, 5).max(axis=1)
    image_to_text = (scores > best_own[:, None]).sum(axis=1)
    clear = expected["i2t.rank_gap"] > 1e-5
    assert clear.sum() > 10
    np.testing.assert_array_equal(image_to_text[clear], expected["i2t.ranks"][clear])

    script("HAL", f"python evaluation.py {flags} --tokeniser punkt --save_similarities {tmp_path}/clean.npy")
    assert np.abs(np.load(tmp_path / "clean.npy") - scores).max() > 0.01
