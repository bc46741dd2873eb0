"""The networks in small, and training runs of them on a GPU or the pretend one."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from tests.commands.test_gsmn import add_boxes, add_parses
from tests.conftest import ROOT, write_data_set
from vse.cli import parse
from vse.options import EvaluationOptions

__all__ = ["NETWORKS", "ROOT", "evaluate", "train", "write_data"]

_SMALL = "--embed_size 16 --word_dim 8"
NETWORKS = {
    "vsepp": ("VSEpp_LSEH", _SMALL),
    "vsepp-order": ("VSEpp_LSEH", f"{_SMALL} --measure order --use_abs --num_layers 2"),
    "hal": ("HAL", _SMALL),
    "hal-bank": ("HAL", f"{_SMALL} --memory_bank --mb_rate 0.3"),
    "hal-bank-repaired": ("HAL", f"{_SMALL} --memory_bank --mb_rate 0.3 --global_weighting repaired"),
    "vsrn": ("VSRN_LSEH", f"{_SMALL} --dim_hidden 8 --dim_word 8"),
    "vsrn-bn": ("VSRN_LSEH", f"{_SMALL} --dim_hidden 8 --dim_word 8 --final_batchnorm always --bidirectional 1"),
    "vsrn-plain": ("VSRN_LSEH", f"{_SMALL} --no_captioning --captioner_updates 1"),
    "vseinfty-bigru": ("VSEinfty_LSEH", f"{_SMALL} --text_encoder bigru"),
    "vseinfty-masked": ("VSEinfty_LSEH", f"{_SMALL} --text_encoder bigru --masked_batchnorm --optim sgd"),
    "vseinfty-bert": ("VSEinfty_LSEH", "--embed_size 16 --text_encoder bert --bert $BERT"),
    "sgr": ("SGRAF_LSEH", f"{_SMALL} --sim_dim 8 --module_name SGR"),
    "saf": ("SGRAF_LSEH", f"{_SMALL} --sim_dim 8 --module_name SAF"),
    "gsmn": ("GSMN_LSEH", "--embed_size 32 --word_dim 8"),
    "gsmn-sparse": ("GSMN_LSEH", "--embed_size 32 --word_dim 8 --is_sparse --bi_gru"),
    "gsmn-propagate": ("GSMN_LSEH", "--embed_size 32 --word_dim 8 --graph propagate"),
    "gsmn-propagate-sparse": (
        "GSMN_LSEH",
        "--embed_size 32 --word_dim 8 --graph propagate --is_sparse --legacy_boxes",
    ),
}
"""Name -> its folder and flags; one for each path through the six networks."""


def write_data(root: Path) -> Path:
    """Write the data set small_precomp with boxes and parses, and return the folder that holds it."""
    write_data_set(root / "small_precomp", images=(16, 6, 6))
    add_boxes(root / "small_precomp")
    add_parses(root / "small_precomp")
    return root


def train(network: str, data: Path, run: Path, more: str = "", bert: Path | str = "", device: str = "cuda") -> str:
    """Run a network's training script in this process and return the name of its folder."""
    folder, own = NETWORKS[network]
    script = importlib.import_module(f"{folder}.train")
    command = (
        f"--data_path {data} --data_name small_precomp --logger_name {run} --model_name {run} --batch_size 20 "
        f"--num_epochs 2 --log_step 2 --val_step 3 --device {device} {own} {more}"
    ).replace("$BERT", str(bert))
    script.main(parse(script.Options, arguments=command.split(), description=""))
    return folder


def evaluate(folder: str, model: Path, more: str = "", script: str = "evaluation", device: str = "cuda") -> None:
    """Run a network's evaluation script, or another of its scripts."""
    module: Any = importlib.import_module(f"{folder}.{script}")
    command = f"--model_path {model} --device {device} {more}"
    options = getattr(module, "Options", EvaluationOptions)
    module.main(parse(options, arguments=command.split(), description=""))
