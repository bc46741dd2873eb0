"""Two trained towers: seconds and memory of one step on a CPU, and the memory that a larger batch needs on a device.

    python benchmarks/towers.py                  ViT-B/16 and BERT-base in VSE-infinity, random weights: a minute
    python benchmarks/towers.py --pairs 8 --batch_size 128 --device_gb 24

Needs the extras [timm] and [bert], and fetches nothing. A step is forward, LMH, backward, clipping and AdamW in
float32. What the backward pass keeps is counted tensor by tensor, for a batch and for half of it: the difference is the
memory of a pair. The need of a larger batch is weights, gradients and AdamW's two moments, that memory for each pair,
and with gradient checkpointing one block of the image tower once more. Gradients of activations, the allocator's losses
and the libraries' workspaces come on top.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vse.data.batches import PairBatch
from vse.losses import ObjectiveOptions, build_objective, resolve
from vse.nn.towers.tower import ImageTower, TextTower, build_image_tower, build_text_tower
from vse.training.step import TrainingStep
from VSEinfty_LSEH.model import RegionEncoder, TowerEncoder, VSEinfty

GB = 1e9


class Built(NamedTuple):
    """A network with two towers and what a step of it does."""

    network: VSEinfty
    step: TrainingStep
    optimizer: torch.optim.Optimizer
    image_tower: ImageTower
    text_tower: TextTower


def build(image_tower: str, checkpointing: bool) -> Built:
    """Build VSE-infinity behind an image tower and BERT-base, all trained, with random weights."""
    from transformers import BertConfig

    torch.manual_seed(0)
    images = build_image_tower(image_tower, trained="all", checkpointing=checkpointing, pretrained=False)
    texts = build_text_tower(
        "hf:bert", trained="all", checkpointing=checkpointing, pretrained=False, config=BertConfig().to_dict()
    )
    network = VSEinfty(RegionEncoder(images.dimensions, 1024), TowerEncoder(texts, 1024))
    network.image_tower = images
    step = TrainingStep(network.train(), build_objective(resolve(ObjectiveOptions(loss="lmh"))))
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=2e-4, weight_decay=1e-4)
    return Built(network, step, optimizer, images, texts)


def make_batch(built: Built, pairs: int, pieces: int) -> PairBatch:
    """Pixels of noise and captions of `pieces` pieces."""
    generator = torch.Generator().manual_seed(0)
    side, rows = built.image_tower.input.size, torch.arange(pairs)
    return PairBatch(
        images=torch.randint(0, 256, (pairs, 3, side, side), generator=generator, dtype=torch.uint8),
        captions=torch.randint(1000, 30_000, (pairs, pieces), generator=generator),
        lengths=torch.full((pairs,), pieces),
        image_ids=rows,
        caption_ids=rows,
    )


@contextlib.contextmanager
def counting(network: nn.Module) -> Iterator[Callable[[], int]]:
    """Count the bytes of the storages, parameters aside, that the forward passes inside keep for the backward pass."""
    own = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        place = tensor.untyped_storage().data_ptr()
        if place not in own:
            kept.setdefault(place, tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield lambda: sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def kept_bytes(built: Built, batch: PairBatch) -> int:
    """Bytes that the forward pass keeps for the backward pass of a batch."""
    with counting(built.network) as count:
        loss = built.step(batch).loss
        kept = count()
    del loss
    return kept


class Counted(NamedTuple):
    """Bytes of a training step: what does not depend on the batch, and what each pair adds."""

    parameters: dict[str, int]
    fixed: int  # weights, gradients, two moments
    kept: int  # for the backward pass, whatever the batch
    pair: int
    block: int  # of a pair, while a block is computed once more; 0 without gradient checkpointing


def count_memory(image_tower: str, pairs: int, pieces: int, checkpointing: bool) -> Counted:
    """Count what a step keeps, without its backward pass."""
    torch.set_num_threads(1)
    built = build(image_tower, checkpointing)
    parameters = {
        name: sum(p.numel() for p in module.parameters())
        for name, module in (
            ("image tower", built.image_tower),
            ("text tower", built.text_tower),
            ("all", built.network),
        )
    }
    whole = kept_bytes(built, make_batch(built, pairs, pieces))
    half = kept_bytes(built, make_batch(built, pairs // 2, pieces))
    pair = (whole - half) // (pairs - pairs // 2)
    block = 0
    if checkpointing:
        plain = build_image_tower(image_tower, trained="all", pretrained=False).train()
        with counting(plain) as count:
            features = plain(make_batch(built, 1, pieces).images)
            block = count() // (len(plain.layers) - 1)
        del features
    trained = sum(p.numel() for p in built.network.parameters() if p.requires_grad)
    fixed = 4 * parameters["all"] + 12 * trained
    return Counted(parameters, fixed, whole - pairs * pair, pair, block)


def measure_step(
    image_tower: str, pairs: int, pieces: int, checkpointing: bool
) -> tuple[float, float, float, bool, float]:
    """Two steps on a CPU -> CPU and wall seconds of the second, its loss, whether all is finite, peak bytes."""
    torch.set_num_threads(1)
    built = build(image_tower, checkpointing)
    batch = make_batch(built, pairs, pieces)
    trained = [p for p in built.network.parameters() if p.requires_grad]
    for _ in range(2):  # the first one allocates the moments
        wall, cpu = time.perf_counter(), time.process_time()
        built.optimizer.zero_grad()
        loss = built.step(batch).loss
        loss.backward()
        finite = all(p.grad is None or bool(torch.isfinite(p.grad).all()) for p in trained)
        nn.utils.clip_grad_norm_(trained, 2.0)
        built.optimizer.step()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    finite = finite and all(bool(torch.isfinite(p).all()) for p in (loss, *trained))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return cpu, wall, float(loss.detach()), finite, peak


def main() -> None:
    """Print the step and the memory, without and with gradient checkpointing."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--image_tower", default="timm:vit_base_patch16_224.augreg_in21k")
    parser.add_argument("--pairs", type=int, default=4, help="of the step that is run")
    parser.add_argument("--pieces", type=int, default=20, help="of each caption")
    parser.add_argument("--batch_size", type=int, default=64, help="of the batch whose need is computed")
    parser.add_argument("--device_gb", type=float, default=80.0)
    arguments = parser.parse_args()
    sizes = (arguments.image_tower, arguments.pairs, arguments.pieces)
    for checkpointing in (False, True):
        # A process each, so that its peak memory is its own.
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            counted = pool.apply(count_memory, (*sizes, checkpointing))
            cpu, wall, loss, finite, peak = pool.apply(measure_step, (*sizes, checkpointing))
        if not checkpointing:
            millions = ", ".join(f"{name} {count / 1e6:.1f}" for name, count in counted.parameters.items())
            print(f"{arguments.image_tower} and BERT-base; million parameters: {millions}")
            print(f"weights, gradients and moments: {counted.fixed / GB:.2f} GB")
        each = counted.pair + counted.block
        need = counted.fixed + counted.kept + arguments.batch_size * each
        most = int((arguments.device_gb * GB - counted.fixed - counted.kept) // each)
        print(f"{'with' if checkpointing else 'without'} gradient checkpointing")
        print(
            f"  a step of {arguments.pairs} pairs: loss {loss:.4f}, {'all finite' if finite else 'NOT FINITE'}, "
            f"{cpu:.1f} CPU-s, {wall:.1f} s, the process's peak {peak / GB:.2f} GB"
        )
        again = f", {counted.block / 1e6:.0f} MB more while a block is computed again" if checkpointing else ""
        print(f"  a pair: {counted.pair / 1e6:.0f} MB for the backward pass{again}")
        print(
            f"  a batch of {arguments.batch_size}: {need / GB:.1f} GB; {arguments.device_gb:g} GB hold {most:,} pairs",
            flush=True,
        )


if __name__ == "__main__":
    main()
