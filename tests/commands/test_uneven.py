"""Uneven captions per image in every network: training with LSEH, evaluation, folds; and evaluation writes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

COUNTS = {"train": [3, 7] * 12, "dev": [5, 5, 4, 6, 1, 9, 2, 8], "test": [4, 6, 5, 3, 7, 8, 2, 3, 1, 1]}

TRAINED = " --num_epochs 1 --batch_size 16 --embed_size 32 --word_dim 8 --device cpu --logger_name runs/runX"


@pytest.fixture
def root(tmp_path: Path, make_data_set) -> Path:
    """A data set whose images have 1 to 9 captions, each with the ids that say so or with a caption-image file."""
    folder = make_data_set(tmp_path / "data" / "mine_precomp", images=(24, 8, 10))
    captions = {split: sum(counts) for split, counts in COUNTS.items()}
    for split, counts in COUNTS.items():
        owner = np.repeat(np.arange(len(counts)), counts)
        if split == "dev":
            (folder / "dev_ids.txt").write_text("".join(f"{500 + image}\n" for image in owner))
        else:
            np.save(folder / f"{split}_caption_image.npy", owner)
        lines = (folder / f"{split}_caps.txt").read_text().splitlines()
        (folder / f"{split}_caps.txt").write_text("\n".join(lines[: captions[split]]) + "\n")
    return tmp_path / "data"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("folder", "flags", "evaluation"),
    [
        ("VSEpp_LSEH", "", "evaluation.py"),
        ("HAL", "--loss lseh", "evaluation.py"),
        ("VSEinfty_LSEH", "--text_encoder bigru --loss lseh", "eval.py"),
        ("VSRN_LSEH", "--dim_hidden 8 --dim_word 8", "evaluation.py"),
        ("SGRAF_LSEH", "--sim_dim 8 --module_name SAF", "evaluation.py"),
        ("GSMN_LSEH", "--num_block 8 --graph reference --is_sparse", "evaluation.py"),
    ],
)
def test_a_network_learns_and_is_judged_on_uneven_captions(
    script, root: Path, folder: str, flags: str, evaluation: str
) -> None:
    done = script(folder, f"python train.py --data_path $DATA_PATH --data_name mine {flags}{TRAINED}", DATA_PATH=root)
    assert "best dev score" in done.output
    before = contents(root / "mine_precomp")
    models = "--model_path runs/runX/model_best.pth.tar"
    done = script(folder, f"python {evaluation} {models} --fold5 --json metrics.json --device cpu --data_path {root}")
    metrics = json.loads((done.folder / "metrics.json").read_text())
    metrics = metrics.get("metrics", metrics)
    assert (metrics["images"], metrics["captions"]) == (10, 40)
    assert [fold["captions"] for fold in metrics["fold5"]["folds"]] == [10, 8, 15, 5, 2]
    assert contents(root / "mine_precomp") == before, "evaluation writes nothing into a data set"
