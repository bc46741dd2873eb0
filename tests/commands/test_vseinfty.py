"""Every VSE-infinity command line of the contract, verbatim, on small data sets laid out as the commands expect."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
import transformers
from PIL import Image

from tests.conftest import ROOT, Finished
from vse.descriptions import svd
from VSEinfty_LSEH import small_bert

IMPORTED = (svd, transformers.BertModel, transformers.AutoTokenizer)  # once, not by every forked script
FOLDER = "VSEinfty_LSEH"
SMALL = " --embed_size 16 --batch_size 16 --num_epochs 1"
WORDS = " --text_encoder bigru --word_dim 8"
GOLDEN = ROOT / "tests" / "golden" / "vseinfty"


@pytest.fixture
def root(tmp_path: Path, make_data_set) -> Path:
    make_data_set(tmp_path / "data" / "f30k_precomp", images=(24, 8, 10))
    make_data_set(tmp_path / "data" / "coco_precomp", images=(24, 8, 10))
    make_data_set(tmp_path / "data" / "iaprtc12_precomp", captions=1, images=(40, 8, 8))
    return tmp_path / "data"


@pytest.fixture(scope="module")
def bert(tmp_path_factory, monkeypatch_module) -> str:
    """A small untrained BERT."""
    from tests.conftest import write_data_set

    monkeypatch_module.setenv("TOKENIZERS_PARALLELISM", "false")
    folder = tmp_path_factory.mktemp("bert")
    data = write_data_set(folder / "any_precomp")
    small_bert.main(
        small_bert.Options(
            data_path=str(data), output=str(folder / "small"), pieces=100, hidden_size=8, layers=1, heads=2
        )
    )
    return f" --bert {folder / 'small'}"


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def events(folder: Path) -> set[str]:
    """Tags in a folder's TensorBoard files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    return set(accumulator.Tags()["scalars"])


def last_validation(folder: Path) -> dict[str, float]:
    return json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])


@pytest.mark.parametrize("data", ["f30k", "coco"])
def test_training_and_evaluation_commands(script, root: Path, bert: str, data: str) -> None:
    rate = {"f30k": "0.0008", "coco": "0.001"}[data]
    done = script(
        FOLDER,
        f"python train.py --data_path $DATA_PATH --data_name {data} --logger_name runs/{data} --model_name runs/{data} "
        f"--learning_rate {rate} --lr_update 10{SMALL}{bert}",
        DATA_PATH=root,
    )
    folder = done.folder / "runs" / data
    assert {"options.json", "metrics.jsonl", "checkpoint.pth.tar", "model_best.pth.tar"} <= {
        path.name for path in folder.iterdir()
    }
    options = json.loads((folder / "options.json").read_text())
    assert (options["loss"], options["text_encoder"], options["lr_update2"]) == ("lseh", "bert", 20)
    tags = ("Le", "Le_S", "Le_Im", "lr", "Eit", "r1", "r5i", "meanri", "rsum")
    assert {f"published/{tag}" for tag in tags} <= events(folder)
    assert last_validation(folder)["rsum"] > 0

    done = script(FOLDER, f"python eval.py --model_path runs/{data}/model_best.pth.tar --fold5")
    assert f"{data}_precomp test (10 images, 50 captions)" in done.output
    assert "mean of five folds" in done.output
    assert done.errors == ""


def test_evaluation_as_it_stands_evaluates_what_training_saves(script, root: Path) -> None:
    script(FOLDER, f"python train.py --data_path $DATA_PATH --data_name f30k{SMALL}{WORDS}", DATA_PATH=root)
    for name in ("eval.py", "evaluation.py"):
        done = script(FOLDER, f"python {name}")
        assert "runs/runX/model_best.pth.tar on f30k_precomp test (10 images, 50 captions)" in done.output


def test_iaprtc12_commands(script, root: Path) -> None:
    done = script(
        FOLDER,
        "python IAPRTC12/trainIAPRTC12.py --data_path $DATA_PATH --data_name iaprtc12 --logger_name runs/IAPR "
        f"--model_name runs/IAPR{SMALL}{WORDS}",
        DATA_PATH=root,
    )
    assert json.loads((done.folder / "runs/IAPR/options.json").read_text())["margin"] == 0.185
    for name in ("evalIAPRTC12.py", "evaluationIAPRTC12.py"):
        done = script(FOLDER, f"python IAPRTC12/{name}")
        assert "runs/IAPR/model_best.pth.tar on iaprtc12_precomp test (8 images, 8 captions)" in done.output
    wanted = script(FOLDER, "python IAPRTC12/trainIAPRTC12.py --help").output
    assert "84" in wanted


def test_an_ensemble_is_the_mean_of_similarities(script, root: Path, tmp_path: Path) -> None:
    train = f"python train.py --data_path $DATA_PATH --data_name f30k{SMALL}{WORDS}"
    for name, seed in (("a", 0), ("b", 1)):
        script(FOLDER, f"{train} --logger_name runs/{name} --seed {seed}", DATA_PATH=root)

    def similarities(name: str, *models: str) -> np.ndarray:
        first, *others = (f"runs/{model}/model_best.pth.tar" for model in models)
        more = f" --ensemble {' '.join(others)}" if others else ""
        script(FOLDER, f"python eval.py --model_path {first}{more} --save_similarities {tmp_path}/{name}.npy")
        return np.load(tmp_path / f"{name}.npy", allow_pickle=False)

    a, b, both = similarities("a", "a"), similarities("b", "b"), similarities("both", "a", "b")
    assert both.shape == (10, 50)
    assert both.dtype == np.float32
    np.testing.assert_allclose(both, (a + b) / 2, atol=1e-6)


def test_model_name_says_where_checkpoints_go(script, root: Path) -> None:
    command = (
        "python train.py --data_path $DATA_PATH --data_name f30k --logger_name runs/x/log "
        f"--model_name runs/x/checkpoint{SMALL}{WORDS} --vse_mean_warmup_epochs 1"
    )
    done = script(FOLDER, command, DATA_PATH=root)
    assert (done.folder / "runs/x/checkpoint/model_best.pth.tar").exists()
    assert not (done.folder / "runs/x/log/checkpoint.pth.tar").exists()
    assert list((done.folder / "runs/x/log").glob("events.out.tfevents.*"))

    done = script(FOLDER, f"{command} --num_epochs 2 --resume auto", DATA_PATH=root)
    assert "resuming after step 7, epoch 1" in done.output  # the last, smaller batch of 8 is dropped
    script(FOLDER, f"{command.replace('runs/x', 'runs/y')} --num_epochs 2", DATA_PATH=root)
    x, y = (
        torch.load(done.folder / f"runs/{run}/checkpoint/checkpoint.pth.tar", weights_only=True)["model"]
        for run in "xy"
    )
    assert all(torch.equal(x[name], y[name]) for name in x)

    done = script(FOLDER, f"{command} --resume auto --reset_start_epoch", DATA_PATH=root)
    assert "starts from its weights" in done.output
    assert "epoch 1/1" in done.output


@pytest.mark.parametrize(
    "flags",
    [
        "--loss lmh --optim sgd --vse_mean_warmup_epochs 1",
        "--loss infonce",
        "--loss hal --local_alpha 60 --local_ep 0.7",
        "--no_imgnorm --no_txtnorm --max_violation --masked_batchnorm",
        "--workers 1 --num_layers 2",
    ],
)
def test_options_train(script, root: Path, flags: str) -> None:
    done = script(
        FOLDER, f"python train.py --data_path $DATA_PATH --data_name f30k{SMALL}{WORDS} {flags}", DATA_PATH=root
    )
    assert "best dev score" in done.output


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A data set of pictures in the published form: ids, names, captions."""
    folder = tmp_path / "data" / "photos"
    (folder / "images").mkdir(parents=True)
    names = {}
    for split, count in (("train", 8), ("dev", 3), ("test", 3)):
        ids = [len(names) + number for number in range(count)]
        for number in ids:
            names[str(number)] = f"{number}.png"
            Image.new("RGB", (40, 30), (25 * number % 256, 90, 200 - 9 * number)).save(
                folder / "images" / f"{number}.png"
            )
        (folder / f"{split}_ids.txt").write_text("".join(f"{number}\n" for number in ids))
        (folder / f"{split}_caps.txt").write_text("".join(f"picture {n} is blue\nso blue\n" for n in ids))
    (folder / "id_mapping.json").write_text(json.dumps(names))
    return tmp_path / "data"


def test_grids_train_by_stages_and_resume_exactly(script, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = (
        "python train.py --data_path $DATA_PATH --data_name photos --precomp_enc_type backbone "
        "--backbone_source imagenet_res50 --backbone_path $WEIGHTS --input_scale_factor 0.13 --embed_size 8 "
        f"--batch_size 6 --embedding_warmup_epochs 1 --backbone_warmup_epochs 0 --loss lmh{WORDS}"
    )

    def shallow(_name: str, weights: None) -> torchvision.models.ResNet:
        return torchvision.models.ResNet(torchvision.models.resnet.Bottleneck, [1, 1, 1, 1])

    monkeypatch.setattr("torchvision.models.get_model", shallow)  # forked scripts see it too
    torch.manual_seed(0)
    weights = pictures / "resnet50.pth"
    torch.save(shallow("resnet50", None).state_dict(), weights)
    variables = {"DATA_PATH": pictures, "WEIGHTS": weights}
    done = script(FOLDER, f"{command} --num_epochs 1 --logger_name runs/a", **variables)
    before = torch.load(weights, weights_only=True)

    def layers(run: str) -> dict[str, torch.Tensor]:
        return torch.load(done.folder / f"runs/{run}/checkpoint.pth.tar", weights_only=True)["model"]

    frozen = layers("a")
    name = "layer4.0.conv1.weight"
    assert torch.equal(frozen[f"image_tower.backbone.{name}"], before[name])
    assert torch.equal(frozen["image_tower.backbone.bn1.running_mean"], before["bn1.running_mean"])
    script(FOLDER, f"{command} --num_epochs 2 --logger_name runs/a --resume auto", **variables)
    open_ = layers("a")
    assert not torch.equal(open_[f"image_tower.backbone.{name}"], before[name])
    assert not torch.equal(open_["image_tower.backbone.conv1.weight"], before["conv1.weight"])
    script(FOLDER, f"{command} --num_epochs 2 --logger_name runs/b", **variables)
    straight = layers("b")
    assert all(torch.equal(open_[key], straight[key]) for key in open_)
    weights.unlink()
    done = script(FOLDER, "python eval.py --model_path runs/b/model_best.pth.tar")
    assert "photos test (3 images, 6 captions)" in done.output


def published_data(folder: Path) -> tuple[Path, Path]:
    """The captions and regions that the golden checkpoint was evaluated on, and the BERT it reads them with."""
    with np.load(GOLDEN / "checkpoint.npz", allow_pickle=False) as golden:
        config = json.loads(str(golden["config"]))
        data = folder / "data" / "f30k_precomp"
        data.mkdir(parents=True)
        np.save(data / "test_ims.npy", golden["test_ims"])
        np.save(folder / "wanted.npy", golden["sims"])
    (data / "test_caps.txt").write_text("".join(f"{caption}\n" for caption in config["test_caps"]))
    bert = folder / "bert"
    bert.mkdir()
    (bert / "vocab.txt").write_text("".join(f"{piece}\n" for piece in config["vocab"]))
    shape = {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "vocab_size": len(config["vocab"]),
        "hidden_size": 12,
        "num_hidden_layers": 1,
        "num_attention_heads": config["bert_heads"],
        "intermediate_size": 16,
        "max_position_embeddings": 24,
    }
    (bert / "config.json").write_text(json.dumps(shape))
    return folder / "data", bert


def test_a_published_checkpoint_gives_its_published_similarities(script, tmp_path: Path, bert: str) -> None:
    data, folder = published_data(tmp_path)
    script(
        FOLDER,
        f"python eval.py --model_path {GOLDEN}/published.pth --data_path {data} --bert {folder} "
        f"--save_similarities {tmp_path}/s.npy",
    )
    assert np.abs(np.load(tmp_path / "s.npy") - np.load(tmp_path / "wanted.npy")).max() < 2e-6


def failure(done: Finished, *parts: str) -> None:
    """One line on stderr that has these parts."""
    lines = done.errors.splitlines()
    assert len(lines) == 1, done.errors
    assert lines[0].startswith("error: ")
    assert all(part in lines[0] for part in parts), lines[0]


def test_a_checkpoint_that_loads_nothing_is_an_error(script, tmp_path: Path, bert: str) -> None:
    data, folder = published_data(tmp_path)
    content = torch.load(GOLDEN / "published.pth", weights_only=False)
    content["model"] = [{f"other.{name}": tensor for name, tensor in part.items()} for part in content["model"]]
    content["model"][1]["bert.x"] = torch.zeros(1)
    torch.save(content, tmp_path / "renamed.pth")
    done = script(
        FOLDER,
        f"python eval.py --model_path {tmp_path}/renamed.pth --data_path {data} --bert {folder}",
        status=2,
    )
    failure(done, "renamed.pth", "lacks `image_encoder.fc.weight`")


def test_mistakes_are_one_sentence(script, root: Path) -> None:
    command = f"python train.py --data_path $DATA_PATH --data_name f30k{SMALL}"
    done = script(FOLDER, f"{command} --bert no/such", status=2, DATA_PATH=root, HF_HUB_OFFLINE=1)
    failure(done, "--bert no/such", "--text_encoder bigru")
    done = script(FOLDER, f"{command}{WORDS} --loss infonce --vse_mean_warmup_epochs 1", status=2, DATA_PATH=root)
    failure(done, "--warmup_epochs 1", "no sum over all negatives")
    done = script(FOLDER, f"{command}{WORDS} --precomp_enc_type backbone", status=2, DATA_PATH=root)
    failure(done, "id_mapping.json")
    done = script(FOLDER, "python eval.py --model_path runs/none.pth.tar", status=2)
    failure(done, "runs/none.pth.tar")
