"""Two processes train a tower as one process does."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from vse.data.batches import PairBatch
from vse.losses import ObjectiveOptions, build_objective, resolve
from vse.nn.towers.encoders import TowerCaptionEmbedding
from vse.nn.towers.tower import build_image_tower, build_text_tower
from vse.training.ema import WeightAverage
from vse.training.step import TrainingStep
from VSEpp_LSEH.model import VSEpp

pytest.importorskip("timm")
pytest.importorskip("transformers")


BERT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 20}
BERT |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def training_step() -> TrainingStep:
    torch.manual_seed(0)
    tower = build_image_tower("timm:test_resnet", 64, pretrained=False, trained=2, pooled=True, checkpointing=True)
    network = VSEpp(tower.shape, 20, 4, 8)
    network.image_tower = tower
    texts = build_text_tower(
        "hf:bert", trained="all", pooled=True, pretrained=False, config={"model_type": "bert", **BERT}
    )
    network.caption_encoder = TowerCaptionEmbedding(texts, 8)
    return TrainingStep(network.train(), build_objective(resolve(ObjectiveOptions(loss="sum_hinge"))))


def pairs(rows: slice) -> PairBatch:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (4, 3, 64, 64), generator=generator, dtype=torch.uint8)
    ids = torch.randint(1, 20, (4, 5), generator=generator)
    numbers = torch.arange(4)
    return PairBatch(
        images=pixels[rows],
        captions=ids[rows],
        lengths=torch.full((4,), 5)[rows],
        image_ids=numbers[rows],
        caption_ids=numbers[rows],
    )


def gradients(step: TrainingStep) -> dict[str, Tensor]:
    return {name: value.grad for name, value in step.network.named_parameters() if value.grad is not None}


def average_after(step: TrainingStep) -> dict[str, Tensor]:
    """Move the weights by their gradients -> their moving average."""
    average = WeightAverage(step.network, 0.9)
    torch.optim.SGD([value for value in step.network.parameters() if value.requires_grad], lr=1.0).step()
    average.update()
    return average.model()


def train_half(rank: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    step = training_step()
    shared = DistributedDataParallel(step)
    shared(pairs(slice(2 * rank, 2 * rank + 2))).loss.backward()
    torch.save((gradients(step), average_after(step)), folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.skipif(sys.platform != "linux", reason="gloo over loopback")
def test_gradients_and_averages_are_those_of_one_process(tmp_path: Path) -> None:
    children = []
    for rank in range(2):
        child = os.fork()
        if child == 0:
            try:
                train_half(rank, tmp_path)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    step = training_step()
    step(pairs(slice(0, 4))).loss.backward()
    whole = gradients(step)
    average = average_after(step)
    for part in ("image_tower.", "caption_encoder.tower."):
        assert any(name.startswith(part) for name in whole)
    for rank in range(2):
        half, averages = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert half.keys() == whole.keys()
        for name, gradient in whole.items():
            torch.testing.assert_close(half[name], gradient, rtol=1e-4, atol=1e-6)
        for name, value in average.items():
            torch.testing.assert_close(averages[name], value, rtol=1e-4, atol=1e-5)
