"""Networks train from pictures through towers, evaluate, resume to equal bits, and refuse what makes no sense."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.faults.runs import Trainer, kills_of
from vse.data.index_writer import write_index
from vse.data.pictures import Pictures
from vse.nn.towers.tower import build_image_tower
from vse.tools import index, prepare, search
from vse.tools.options import IndexOptions, PrepareOptions, SearchOptions

timm = pytest.importorskip("timm")
pytest.importorskip("transformers")

SMALL = " --batch_size 8 --embed_size 32 --word_dim 8 --loss sum_hinge --num_epochs 1 --device cpu"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A data set folder of noisy pictures in five colours, two captions each."""
    folder = tmp_path / "data" / "mine"
    (folder / "images").mkdir(parents=True)
    splits, first = {}, 0
    for split, count in (("train", 10), ("dev", 5), ("test", 5)):
        names = [f"{number}.jpg" for number in range(first, first + count)]
        captions = []
        for number, name in enumerate(names):
            noise = np.random.default_rng(first + number).integers(0, 60, (40, 52, 3), dtype=np.uint8)
            noise[..., number % 3] += 150
            Image.fromarray(noise).save(folder / "images" / name, quality=95)
            captions += [f"a dog number {number % 5}", f"two dogs play {['red', 'green', 'blue'][number % 3]}"]
        splits[split] = Pictures(
            folder / "images", names, np.arange(first, first + count), captions, np.repeat(np.arange(count), 2)
        )
        first += count
    write_index(splits, folder)
    return tmp_path / "data"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    torch.save(timm.create_model("test_vit", img_size=32).state_dict(), tmp_path / "vit.pth")
    return tmp_path / "vit.pth"


TOWER = " --image_tower timm:test_vit --image_size 32 --tower_weights $WEIGHTS"


@pytest.mark.parametrize(
    ("folder", "flags", "evaluation"),
    [
        ("VSEpp_LSEH", "", "evaluation.py"),
        ("HAL", "", "evaluation.py"),
        ("VSEinfty_LSEH", "", "eval.py"),
        ("VSRN_LSEH", "--no_captioning", "evaluation.py"),
        ("SGRAF_LSEH", "--sim_dim 8 --module_name SAF --logger_name runs/runX", "evaluation.py"),
        ("GSMN_LSEH", "--num_block 8", "evaluation.py"),
    ],
)
def test_every_network_trains_from_pictures_through_two_towers(
    script, pictures: Path, weights: Path, bert_folder: Path, folder: str, flags: str, evaluation: str
) -> None:
    command = f"python train.py --data_path $DATA_PATH --data_name mine {flags}{SMALL}{TOWER} --text_tower hf:$BERT"
    command += " --image_tower_train 1 --layer_decay 0.7 --gradient_checkpointing"
    done = script(folder, command, DATA_PATH=pictures, WEIGHTS=weights, BERT=bert_folder)
    saved = torch.load(done.folder / "runs/runX/model_best.pth.tar", weights_only=True)
    start = torch.load(weights, weights_only=True)
    changed = {
        name
        for name, tensor in saved["model"].items()
        if name.startswith("image_tower.") and not torch.equal(tensor, start[name.removeprefix("image_tower.network.")])
    }
    last = max(int(number) for number in re.findall(r"blocks\.(\d+)\.", " ".join(start)))
    assert changed
    assert {name for name in changed if f"blocks.{last}." not in name and ".norm." not in name} == set()
    weights.unlink()  # a checkpoint brings the weights
    model = "--model_path runs/runX/model_best.pth.tar"
    assert "mine test (5 images, 10 captions)" in script(folder, f"python {evaluation} {model}").output


@pytest.mark.parametrize(("folder", "flags"), [("VSEpp_LSEH", ""), ("GSMN_LSEH", "--num_block 8")])
def test_pictures_are_indexed_and_found_through_the_trained_tower(
    script, pictures: Path, weights: Path, folder: str, flags: str
) -> None:
    command = f"python train.py --data_path $DATA_PATH --data_name mine {flags}{SMALL}{TOWER} --image_tower_train 1"
    done = script(folder, command, DATA_PATH=pictures, WEIGHTS=weights)
    weights.unlink()
    score = "python evaluation.py --model_path runs/runX/model_best.pth.tar --save_similarities scores.npy"
    script(folder, score)
    model, place = done.folder / "runs/runX/model_best.pth.tar", done.folder / "index"
    index.main(IndexOptions(str(model), str(pictures / "mine" / "images"), str(place), device="cpu"))
    caption = (pictures / "mine" / "test_caps.txt").read_text().splitlines()[0]
    search.main(SearchOptions(str(place), (caption,), k=20, json=str(done.folder / "found.json"), device="cpu"))
    (answer,) = json.loads((done.folder / "found.json").read_text())["answers"]
    found = {Path(hit["name"]).stem: hit["score"] for hit in answer["hits"]}
    scores = np.load(done.folder / "scores.npy")[:, 0]
    assert [found[str(15 + row)] for row in range(5)] == pytest.approx(scores.tolist(), abs=1e-5)


def test_a_run_with_a_trained_tower_resumes_exactly(script, pictures: Path, weights: Path) -> None:
    command = f"python train.py --data_path $DATA_PATH --data_name mine --text_encoder bigru{SMALL}{TOWER}"
    command += " --image_tower_train all --ema 0.9 --optimizer adamw --weight_decay 0.01 --lr_warmup_steps 2"
    variables = {"DATA_PATH": pictures, "WEIGHTS": weights}
    script("VSEinfty_LSEH", f"{command} --num_epochs 3 --logger_name runs/straight", **variables)
    script("VSEinfty_LSEH", f"{command} --logger_name runs/parts", **variables)
    done = script("VSEinfty_LSEH", f"{command} --num_epochs 3 --logger_name runs/parts --resume auto", **variables)
    straight, parts = (
        torch.load(done.folder / f"runs/{run}/checkpoint.pth.tar", weights_only=True) for run in ("straight", "parts")
    )
    assert straight["average"]["updates"] == parts["average"]["updates"] == 6
    for entry in (lambda saved: saved["model"], lambda saved: saved["average"]["weights"]):
        assert all(torch.equal(value, entry(parts)[name]) for name, value in entry(straight).items())
    name = "image_encoder.fc.weight"
    assert not torch.equal(straight["model"][name], straight["average"]["weights"][name])
    refused = script(
        "VSEinfty_LSEH", f"{command} --logger_name runs/parts --resume auto --ema 0", status=2, **variables
    )
    assert "--ema" in refused.errors


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_kills_do_not_change_a_bit_of_a_trained_tower(tmp_path: Path, pictures: Path, weights: Path) -> None:
    trainer = Trainer("VSEinfty_LSEH", pictures)
    flags = f"--data_path {pictures} --data_name mine --text_encoder bigru{SMALL}{TOWER} --num_epochs 2 --val_step 1"
    flags += " --image_tower_train all --layer_decay 0.7 --ema 0.9 --optimizer adamw --schedule cosine"
    trainer.flags = flags.replace("$WEIGHTS", str(weights)).split()
    assert kills_of(trainer, tmp_path, count=3, during_writes=2) == (3, [])
    ended = torch.load(tmp_path / "broken/checkpoint.pth.tar", weights_only=True)
    assert ended["average"]["updates"] == ended["progress"]["step"] == 4
    start = torch.load(weights, weights_only=True)
    moved = [
        name
        for name, value in start.items()
        if not torch.equal(value, ended["model"].get(f"image_tower.network.{name}", value))
    ]
    assert len(moved) > 10


def test_a_cosine_does_not_change_its_length_on_the_way(script, pictures: Path, weights: Path) -> None:
    command = f"python train.py --data_path $DATA_PATH --data_name mine{SMALL}{TOWER} --schedule cosine"
    variables = {"DATA_PATH": pictures, "WEIGHTS": weights}
    script("VSEpp_LSEH", command, **variables)
    refused = script("VSEpp_LSEH", f"{command} --num_epochs 2 --resume auto", status=2, **variables)
    assert "--num_epochs 1, now 2" in refused.errors


def test_cached_pictures_are_used_and_recorded(
    script, pictures: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = pictures / "mine"
    command = f"python train.py --data_path $DATA_PATH --data_name mine{SMALL}{TOWER}"
    variables = {"DATA_PATH": pictures, "WEIGHTS": weights}
    script("VSEpp_LSEH", command, **variables)
    prepare.main(PrepareOptions(str(folder), descriptions=False, resize=40))
    written = capsys.readouterr().out
    assert "train_pixels.npy" in written
    assert "test_pixels.json" in written
    refused = script("VSEpp_LSEH", f"{command} --num_epochs 2 --resume auto", status=2, **variables)
    assert "pictures cached with 40 pixels a side" in refused.errors
    done = script("VSEpp_LSEH", f"{command} --logger_name runs/cached", **variables)
    assert "pictures come from this cache of 40 x 40 pixels" in done.output


@pytest.mark.parametrize(
    ("folder", "flags", "complaint"),
    [
        ("VSEinfty_LSEH", "--precomp_enc_type backbone", "both read pictures"),
        ("VSEinfty_LSEH", "--text_encoder bigru --image_tower_train 99", "has 6 blocks, not 99"),
        ("VSEinfty_LSEH", "--image_tower_train some", "expected one of none, all, or a whole number"),
        ("VSEinfty_LSEH", "--image_tower timm:nothing", "no such network or weights"),
        ("VSRN_LSEH", "--text_tower hf:x", "give --no_captioning as well"),
        ("GSMN_LSEH", "--text_tower hf:x --is_sparse", "a parse connects words"),
        ("GSMN_LSEH", "--legacy_boxes", "patches have boxes of their own"),
        ("VSEpp_LSEH", "--text_tower $ABSENT", "no such text tower"),
        ("VSEpp_LSEH", "--text_tower_lr 0.5", "there is no --text_tower"),
        ("VSEpp_LSEH", "--finetune", "--finetune and --image_tower: give --image_tower_train"),
        ("HAL", "--cnn_weights x.pth", "--cnn_weights and --image_tower: give --tower_weights"),
        ("VSEpp_LSEH", "--schedule step", "belong together"),
        ("VSEpp_LSEH", "--weight_decay 0.1", "give --optimizer"),
    ],
)
def test_nonsense_is_refused_before_a_folder_is_made(
    script, pictures: Path, weights: Path, bert_folder: Path, folder: str, flags: str, complaint: str
) -> None:
    flags = flags.replace("$ABSENT", str(bert_folder))
    command = f"python train.py --data_path $DATA_PATH --data_name mine{SMALL}{TOWER} {flags}"
    done = script(folder, command, status=2, DATA_PATH=pictures, WEIGHTS=weights)
    assert len(done.errors.splitlines()) == 1, done.errors
    assert complaint in done.errors
    assert not (done.folder / "runs/runX").exists()


def test_a_data_set_without_pictures_is_refused(script, data_root: Path) -> None:
    command = (
        f"python train.py --data_path $DATA_PATH --data_name small_precomp{SMALL} --image_tower torchvision:resnet18"
    )
    done = script("VSEpp_LSEH", command, status=2, DATA_PATH=data_root)
    assert "expected the picture file of each id" in done.errors
    assert len(done.errors.splitlines()) == 1


def test_a_towers_blocks_are_counted_as_the_library_counts_them() -> None:
    assert len(build_image_tower("timm:test_vit", pretrained=False).layers) == 7
