"""Every VSRN command line of the contract, verbatim, on small data sets laid out as the commands expect."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch._dynamo
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import vse.descriptions.svd
import VSRN_LSEH.evaluation

# What forked scripts inherit, instead of importing it again each.
INHERITED = (torch._dynamo, vse.descriptions.svd, VSRN_LSEH.evaluation)

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
SMALL = " --embed_size 16 --word_dim 8 --dim_hidden 8 --dim_word 8 --batch_size 32 --num_epochs 1"


@pytest.fixture
def root(tmp_path: Path, make_data_set) -> Path:
    make_data_set(tmp_path / "data" / "f30k_precomp")
    make_data_set(tmp_path / "data" / "coco_precomp")
    make_data_set(tmp_path / "data" / "iaprtc12_precomp", captions=1, images=(40, 8, 8))
    return tmp_path / "data"


def checkpoint(folder: Path) -> dict:
    return torch.load(folder / "checkpoint.pth.tar", weights_only=True)


@pytest.mark.parametrize(
    ("command", "run", "expected"),
    [
        (
            "python train.py --data_path $DATA_PATH --data_name f30k_precomp --logger_name runs/flickr_VSRN "
            "--max_violation --learning_rate 0.0004 --lr_update 5 --max_len 60",
            "runs/flickr_VSRN",
            {"learning_rate": 0.0004, "lr_update": 5},
        ),
        (
            "python train.py --data_path $DATA_PATH --data_name coco_precomp --logger_name runs/coco_VSRN "
            "--max_violation --learning_rate 0.0004 --lr_update 6 --max_len 60",
            "runs/coco_VSRN",
            {"learning_rate": 0.0004, "lr_update": 6},
        ),
        (
            "python IAPRTC12/trainIAPRTC12.py --data_path $DATA_PATH --data_name IAPRTC12_precomp "
            "--logger_name runs/IAPR_VSRN --max_violation --max_len 60",
            "runs/IAPR_VSRN",
            {"learning_rate": 0.0005, "lr_update": 20},
        ),
    ],
)
def test_training_commands(script, root: Path, command: str, run: str, expected: dict) -> None:
    done = script("VSRN_LSEH", command + SMALL, DATA_PATH=root)
    folder = done.folder / run
    assert {"options.json", "metrics.jsonl", "checkpoint.pth.tar", "model_best.pth.tar", "vocab.json"} <= {
        path.name for path in folder.iterdir()
    }
    assert "duplicate" not in done.errors
    options = json.loads((folder / "options.json").read_text())
    assert {"loss": "lseh", "max_violation": True, "max_len": 60, "grad_clip": 2.0, **expected}.items() <= (
        options.items()
    )
    model = checkpoint(folder)["model"]
    # As published: the last BatchNorm for Flickr30K and, under its name, IAPR TC-12.
    assert ("image_encoder.bn.weight" in model) == ("coco" not in command)
    assert "captioner.decoder.out.weight" in model


def test_tensorboard_carries_the_published_tags(script, root: Path) -> None:
    command = f"python train.py --data_path $DATA_PATH --data_name coco --logger_name runs/a --log_step 1{SMALL}"
    done = script("VSRN_LSEH", command, DATA_PATH=root)
    events = EventAccumulator(str(done.folder / "runs/a")).Reload()
    published = {"Le", "Le_retrieval", "Le_caption", "Eit", "lr", "r1", "r5i", "medr", "Sum of Recall"}
    assert {f"published/{tag}" for tag in published} <= set(events.Tags()["scalars"])
    losses = ("Le", "Le_retrieval", "Le_caption")
    values = {tag: [event.value for event in events.Scalars(f"published/{tag}")] for tag in losses}
    assert values["Le_caption"][0] > 0
    np.testing.assert_allclose(values["Le"], np.add(values["Le_retrieval"], values["Le_caption"]), rtol=1e-5)


@pytest.mark.parametrize("selection", ["r1_r5", "rsum"])
def test_the_best_model_is_chosen_as_published_or_by_all_recalls(script, root: Path, selection: str) -> None:
    flags = "" if selection == "r1_r5" else " --selection rsum"
    command = f"python train.py --data_path $DATA_PATH --data_name coco --logger_name runs/a --val_step 1{SMALL}{flags}"
    folder = script("VSRN_LSEH", command, DATA_PATH=root).folder / "runs/a"
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    names = ("r1", "r5", "r1i", "r5i") if selection == "r1_r5" else ("r1", "r5", "r10", "r1i", "r5i", "r10i")
    scores = [sum(line[name] for name in names) for line in lines if "r1" in line]
    assert len(scores) > 1
    assert checkpoint(folder)["progress"]["best"] == pytest.approx(max(scores))


def test_unedited_commands_evaluate_what_training_saves(script, root: Path) -> None:
    script("VSRN_LSEH", f"python train.py --data_path $DATA_PATH --data_name coco{SMALL}", DATA_PATH=root)
    done = script("VSRN_LSEH", "python evaluation.py")
    assert "coco_precomp test (8 images, 40 captions)" in done.output

    second = f"python train.py --data_path $DATA_PATH --data_name coco --seed 1{SMALL} --embed_size 12"
    script("VSRN_LSEH", second, DATA_PATH=root)
    done = script("VSRN_LSEH", "python evaluate_models.py --save_similarities both.npy")
    assert "mean of runs/runX.1/model_best.pth.tar and runs/runX/model_best.pth.tar on coco_precomp test" in done.output
    for run in ("runX", "runX.1"):
        script(
            "VSRN_LSEH",
            f"python evaluation.py --model_path runs/{run}/model_best.pth.tar --save_similarities {run}.npy",
        )
    both, one, other = (np.load(done.folder / f"{name}.npy") for name in ("both", "runX", "runX.1"))
    assert not np.allclose(one, other)
    np.testing.assert_allclose(both, (one + other) / 2, atol=1e-7)

    script("VSRN_LSEH", f"python IAPRTC12/trainIAPRTC12.py --data_path $DATA_PATH{SMALL}", DATA_PATH=root)
    done = script("VSRN_LSEH", "python IAPRTC12/evaluationIAPRTC12.py")
    assert "iaprtc12_precomp test (8 images, 8 captions)" in done.output


def test_generated_captions_stand_beside_the_true_ones_with_bleu(script, root: Path) -> None:
    command = f"python train.py --data_path $DATA_PATH --data_name coco --max_len 30 --bidirectional 1{SMALL}"
    script("VSRN_LSEH", command, DATA_PATH=root)
    done = script("VSRN_LSEH", "python evaluation.py --captions 3 --beam_size 2 --split dev --json m.json")
    assert re.findall(r"^image (\d+)$", done.output, re.MULTILINE) == ["0", "4", "7"]
    assert len(re.findall(r"^  greedy  ", done.output, re.MULTILINE)) == 3
    assert len(re.findall(r"^  beam    ", done.output, re.MULTILINE)) == 3
    true = (root / "coco_precomp" / "dev_caps.txt").read_text().splitlines()
    assert all(caption in done.output for image in (0, 4, 7) for caption in true[5 * image : 5 * image + 5])
    metrics = json.loads((done.folder / "m.json").read_text())
    assert f"BLEU-4 over 3 images: greedy {metrics['bleu4_greedy']:.1f}" in done.output
    assert 0 <= metrics["bleu4_beam"] <= 100


def test_without_captioning_there_is_nothing_to_generate(script, root: Path) -> None:
    script(
        "VSRN_LSEH", f"python train.py --data_path $DATA_PATH --data_name coco --no_captioning{SMALL}", DATA_PATH=root
    )
    script("VSRN_LSEH", "python evaluation.py")
    done = script("VSRN_LSEH", "python evaluation.py --captions 2", status=2)
    assert "no caption-generation branch" in done.errors
    assert len(done.errors.splitlines()) == 1


def test_training_goes_on_to_the_same_weights_captioner_included(script, root: Path) -> None:
    command = f"python train.py --data_path $DATA_PATH --data_name f30k --logger_name runs/a --max_violation{SMALL}"
    script("VSRN_LSEH", command, DATA_PATH=root)
    done = script("VSRN_LSEH", f"{command} --num_epochs 2 --resume auto", DATA_PATH=root)
    assert "resuming after step 4, epoch 1" in done.output
    script("VSRN_LSEH", f"{command.replace('runs/a', 'runs/b')} --num_epochs 2", DATA_PATH=root)
    a, b = (checkpoint(done.folder / f"runs/{run}")["model"] for run in "ab")
    assert any(name.startswith("captioner.") for name in a)
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    "flags",
    [
        "--loss lmh --margin 0.3 --data_name coco",
        "--loss sum_hinge --measure order --use_abs --no_imgnorm --data_name coco",
        "--a 0.2 --b 0.05 --region_norm_axis features --captioner_updates 1 --final_batchnorm always --data_name coco",
        "--loss hal --final_batchnorm never --num_layers 2 --dim_vid 16 --rnn_type gru --data_name f30k",
        "--loss hal --memory_bank --mb_rate 0.2 --mb_k 5 --num_epochs 2 --data_name coco",
        # 120 captions leave a last batch of one, which the final BatchNorm could not normalise.
        "--batch_size 17 --features_on_device --data_name f30k",
    ],
)
def test_recipes_and_objectives_train(script, root: Path, flags: str) -> None:
    done = script("VSRN_LSEH", f"python train.py --data_path $DATA_PATH{SMALL} {flags}", DATA_PATH=root)
    assert "best dev score" in done.output


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--loss lmh --a 0.2", "--a and --b are constants of lseh"),
        ("--dim_vid 2048", "leave --dim_vid out"),
        ("--loss hal --measure order", "not bounded"),
    ],
)
def test_senseless_combinations_are_refused_at_the_start(script, root: Path, flags: str, words: str) -> None:
    command = f"python train.py --data_path $DATA_PATH --data_name f30k{SMALL} {flags}"
    done = script("VSRN_LSEH", command, DATA_PATH=root, status=2)
    assert len(done.errors.splitlines()) == 1
    assert words in done.errors
    assert "step" not in done.output


def test_images_without_regions_are_refused(script, tmp_path: Path, make_data_set) -> None:
    make_data_set(tmp_path / "data" / "global_precomp", regions=0)
    done = script("VSRN_LSEH", f"python train.py --data_path {tmp_path}/data --data_name global{SMALL}", status=2)
    assert "VSRN needs features of regions" in done.errors


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of the original code, the test splits they were evaluated on, and the vocabulary, as files."""
    folder = tmp_path_factory.mktemp("published")
    with np.load(GOLDEN / "vsrn" / "e2e.npz", allow_pickle=False) as golden:
        for name in ("f30k", "iaprtc12"):
            data = folder / f"{name}_precomp"
            data.mkdir()
            np.save(data / "test_ims.npy", golden[f"{name}_images"])
            (data / "test_caps.txt").write_bytes(golden[f"{name}_captions"].tobytes())
        (folder / "f30k.pth.tar").write_bytes(golden["f30k_checkpoint"].tobytes())
    shutil.copy(GOLDEN / "vsrn" / "published_legacy.pth.tar", folder / "iaprtc12.pth.tar")
    (folder / "vocab").mkdir()
    shutil.copy(GOLDEN / "text" / "protocol2_vocab.pkl", folder / "vocab" / "f30k_precomp_vocab.pkl")
    return folder


@pytest.mark.parametrize(
    ("command", "name", "image_to_text", "text_to_image"),
    [
        ("python evaluation.py", "f30k", [3.3, 8.3, 21.7, 37, 47.0], [1.3, 8.7, 16.7, 31, 30.4]),
        ("python IAPRTC12/evaluationIAPRTC12.py", "iaprtc12", [0, 2.5, 6.2, 50, 45.0], [2.5, 5, 10, 41, 41.1]),
    ],
)
def test_a_published_checkpoint_gives_published_recalls(
    script, published: Path, command: str, name: str, image_to_text: list[float], text_to_image: list[float]
) -> None:
    flags = f"--model_path {published}/{name}.pth.tar --data_path {published} --vocab_path {published}/vocab"
    done = script("VSRN_LSEH", f"{command} {flags} --json m.json")
    metrics = json.loads((done.folder / "m.json").read_text())
    for suffix, expected in (("", image_to_text), ("i", text_to_image)):
        got = [metrics[f"{key}{suffix}"] for key in ("r1", "r5", "r10", "medr", "meanr")]
        assert got == pytest.approx(expected, abs=0.051)


def test_training_starts_from_a_published_checkpoint(script, root: Path, published: Path) -> None:
    with np.load(GOLDEN / "vsrn" / "e2e.npz", allow_pickle=False) as golden:
        for split in ("train", "dev"):
            np.save(root / "f30k_precomp" / f"{split}_ims.npy", golden["f30k_images"][:20])
            lines = golden["f30k_captions"].tobytes().splitlines(keepends=True)[:100]
            (root / "f30k_precomp" / f"{split}_caps.txt").write_bytes(b"".join(lines))
    sizes = "--embed_size 32 --word_dim 14 --dim_hidden 8 --dim_word 8 --batch_size 50 --num_epochs 1"
    done = script(
        "VSRN_LSEH",
        f"python train.py --data_path $DATA_PATH --data_name f30k --vocab_path {published}/vocab {sizes} "
        f"--learning_rate 1e-9 --logger_name runs/a --resume {published}/f30k.pth.tar",
        DATA_PATH=root,
    )
    assert "weights of the original code" in done.output
    [image_part, caption_part] = torch.load(published / "f30k.pth.tar", weights_only=False)["model"]
    model = checkpoint(done.folder / "runs/a")["model"]
    torch.testing.assert_close(model["image_encoder.fc.weight"], image_part["fc.weight"], atol=1e-7, rtol=0)
    torch.testing.assert_close(model["caption_encoder.embed.weight"], caption_part["embed.weight"], atol=1e-7, rtol=0)
