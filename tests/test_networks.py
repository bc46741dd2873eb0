"""Networks by name, checkpoints made into networks, and the seventh network of docs/extending.md."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trained import SHAPE, write_checkpoint
from vse import checkpoints, networks
from vse.errors import InputError
from vse.formats.exported import write_exported
from vse.options import DataOptions

ROOT = Path(__file__).resolve().parents[1]
TRAIN = "python train.py --data_path $DATA_PATH --data_name small --num_epochs 1 --batch_size 8 --embed_size 16"


@pytest.mark.parametrize("name", networks.FOLDERS)
def test_every_folder_describes_its_network(name: str) -> None:
    folder = networks.folder(name)
    assert folder.name == name
    assert folder.options() == folder.options()


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(InputError, match=r"expected one of VSEpp, .*HAL"):
        networks.folder("VSE3")


def test_a_checkpoint_names_its_network(script, data_root: Path) -> None:
    done = script("VSEpp_LSEH", f"{TRAIN} --word_dim 8", DATA_PATH=data_root)
    trained = networks.load(done.folder / "runs/runX/model_best.pth.tar")
    assert trained.folder.name == "VSEpp"
    assert trained.options.embed_size == 16
    assert trained.data.data_name == "small"
    assert trained.image_shape == (4, 6)


def test_a_checkpoint_of_another_network_is_refused(script, data_root: Path) -> None:
    done = script("VSEpp_LSEH", f"{TRAIN} --word_dim 8", DATA_PATH=data_root)
    with pytest.raises(InputError, match="a checkpoint of VSEpp; expected one of VSRN"):
        networks.load(done.folder / "runs/runX/model_best.pth.tar", networks.folder("VSRN"))


def test_the_documented_network_trains_and_evaluates(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "docs/extending.md").read_text(encoding="utf-8").split("\n## A network\n")[1]
    for file, code in re.findall(r"```python\n# (\S+)\n(.*?)```", text, re.DOTALL):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(code, encoding="utf-8")
    (tmp_path / "MeanVSE/__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path / "MeanVSE")
    monkeypatch.setitem(networks.FOLDERS, "MeanVSE", "MeanVSE")
    from MeanVSE import evaluation, train

    from vse.cli import parse
    from vse.options import EvaluationOptions

    arguments = shlex.split(TRAIN.replace("$DATA_PATH", str(data_root)))[2:]
    train.main(parse(train.Options, arguments=arguments))
    scores = tmp_path / "scores.npy"
    evaluation.main(EvaluationOptions(evaluation.MODEL_PATH, save_similarities=str(scores)))
    assert np.load(scores).shape == (8, 40)
    assert "objective: LSEH(" in capsys.readouterr().out
    for name in [name for name in sys.modules if name.startswith("MeanVSE")]:
        del sys.modules[name]


@pytest.mark.parametrize("name", networks.FOLDERS)
def test_a_loaded_network_draws_no_initial_weights(name: str, tmp_path: Path) -> None:
    trained = networks.load(write_checkpoint(tmp_path / "model.pth.tar", name))
    before = torch.get_rng_state()
    network = trained.network(SHAPE, trained.reader.text_of_state(trained.text))
    assert torch.equal(torch.get_rng_state(), before)
    for key, tensor in trained.checkpoint.parts[0].items():
        assert torch.equal(network.state_dict()[key], tensor), key


def test_a_network_of_features_is_loaded_without_torchvision(tmp_path: Path) -> None:
    paths = [str(write_checkpoint(tmp_path / f"{name}.pth.tar", name)) for name in networks.FOLDERS]
    program = (
        "import sys, vse.evaluation.script\n"
        "for path in sys.argv[1:]:\n"
        "    trained = vse.networks.load(path)\n"
        f"    trained.network({SHAPE}, trained.reader.text_of_state(trained.text))\n"
        "sys.exit('torchvision' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", program, *paths], cwd=ROOT).returncode == 0


def test_an_exported_folder_is_read_as_its_checkpoint(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    trained = networks.load(write_checkpoint(tmp_path / "model.pth.tar"))
    (tmp_path / "exported").mkdir()
    write_exported(trained.checkpoint, tmp_path / "exported", None, "a card", None)
    exported = networks.load(tmp_path / "exported", networks.folder("VSEpp"))
    assert (exported.digest, exported.options, exported.text) == (trained.digest, trained.options, trained.text)
    with pytest.raises(InputError, match="a checkpoint of VSEpp; expected one of VSRN"):
        networks.load(tmp_path / "exported", networks.folder("VSRN"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"embed_size": 10**9}, "no network has its options"),
        ({"num_layers": 10**6}, "--num_layers 1000000: expected a whole number, at least 1 and at most 100"),
        ({"text_tower": "hf:x"}, "its text is not what its options read"),
    ],
)
def test_options_that_no_weights_fit_are_refused(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "model.pth.tar")
    checkpoint = checkpoints.load(path)
    checkpoints.save_model(path, replace(checkpoint, options={**checkpoint.options, **change}))

    def build() -> None:
        trained = networks.load(path)
        trained.network((4, 6), trained.locate_text(DataOptions(), tmp_path))

    with pytest.raises(InputError, match=f"{re.escape(str(path))}.*{words}"):
        build()
