"""Training with every objective, and going on with what some of them remember."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.losses.variants import VARIANTS
from vse.losses import Pairs
from vse.nn.encoders import l2norm

DEAD_POSITIVES = {"hal_coco", "hal_f30k"}
"""As published they give no pull to pairs that begin below 0 (tests/losses/test_hal.py)."""


@pytest.mark.parametrize("name", sorted(VARIANTS.keys() - DEAD_POSITIVES))
def test_it_brings_the_right_answer_of_every_query_to_the_top(name: str):
    generator = torch.Generator().manual_seed(0)
    images, captions = torch.randn(2, 12, 6, generator=generator).unbind()
    images, captions = images.requires_grad_(), captions.requires_grad_()
    objective, ids = VARIANTS[name](), torch.arange(12)
    objective.start(12)
    optimizer = torch.optim.Adam([images, captions, *objective.parameters()], lr=0.05)
    for step in range(120):
        objective.begin(step // 30, step % 30, 30)
        rows, columns = l2norm(images), l2norm(captions)
        scores = rows @ columns.T
        optimizer.zero_grad()
        objective(scores, Pairs(ids, ids, torch.eye(12), images=rows, captions=columns)).backward()
        optimizer.step()
    assert torch.equal(scores.argmax(dim=0), ids)
    assert torch.equal(scores.argmax(dim=1), ids)


@pytest.mark.parametrize("flags", ["--loss crcl --belief_epochs 1", "--loss neighbor_retr --neighbors 3"])
def test_a_resumed_run_ends_with_the_same_weights(script, data_root: Path, flags: str):
    small = "--embed_size 16 --word_dim 8 --batch_size 16 --learning_rate 0.01"
    command = f"python train.py --data_path {data_root} --data_name small {flags} {small}"
    script("VSEpp_LSEH", f"{command} --num_epochs 3 --logger_name runs/whole")
    script("VSEpp_LSEH", f"{command} --num_epochs 2 --logger_name runs/parts")
    done = script("VSEpp_LSEH", f"{command} --num_epochs 3 --logger_name runs/parts --resume auto")
    whole, parts = (
        torch.load(done.folder / "runs" / run / "checkpoint.pth.tar", weights_only=True) for run in ("whole", "parts")
    )
    assert all(torch.equal(tensor, parts["model"][name]) for name, tensor in whole["model"].items())
    (remembered,) = (state for key, state in whole["objective"].items() if key.endswith("_extra_state"))
    (again,) = (state for key, state in parts["objective"].items() if key.endswith("_extra_state"))
    assert all(torch.equal(tensor, again[name]) for name, tensor in remembered.items())
