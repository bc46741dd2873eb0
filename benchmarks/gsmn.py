"""GSMN against a loop over captions: time and peak memory of scoring, a training step and evaluation, on the CPU.

    python benchmarks/gsmn.py                                  # B = 64, 100 x 500: a few minutes, 6 GB
    python benchmarks/gsmn.py --batch 16 --images 20 --captions 100
    python benchmarks/gsmn.py --graph propagate --procedures ours

Every measurement is a process of its own. The loop scores one caption after the other against all images, with the
published sequence of operations (dense graphs, tensors for pairs of nodes included) and this repository's parameters;
it is written for this benchmark. `similarity` is forward and backward of the scores alone, under the objective; `train`
adds encoders and optimizer. Memory is the process's peak resident size less what it was before the measured work. The
GEMM floor is the time that the inner products of all pairs alone would take at this machine's best measured rate.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace

import torch
from measuring import (
    PROCEDURES,
    adam_of,
    memory_of,
    peak_memory_since,
    product_rate,
    random_captions,
    reset_peak_memory,
    with_grus_of,
)
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, softmax

from GSMN_LSEH.graphs import KERNELS, polar
from GSMN_LSEH.model import GSMN, TextualGraphs, VisualGraphs
from vse.data.batches import PairBatch
from vse.losses.lseh import LSEH
from vse.losses.objective import Pairs
from vse.nn.encoders import NORM_EPSILON
from vse.training.selected_pairs import training_scores

REGIONS, IMAGE_DIM, EMBED, VOCABULARY = 36, 2048, 1024, 8481


def loop_similarity(network: GSMN, images: Tensor, boxes: Tensor, words: Tensor, lengths: Tensor) -> Tensor:
    """Scores [n, m], one caption after the other, in the published sequence of operations (reference, dense)."""
    blocks, temperature, count = network.blocks, network.temperature, len(images)

    def normalised(x: Tensor, dim: int) -> Tensor:
        return x / (x.pow(2).sum(dim=dim, keepdim=True).sqrt() + NORM_EPSILON)

    def context(query: Tensor, source: Tensor) -> Tensor:
        attention = normalised(leaky_relu(source @ query.mT, 0.1), 2).mT.contiguous()
        return softmax(attention * temperature, dim=2) @ source

    def cosines(query: Tensor, attended: Tensor) -> Tensor:
        query, attended = (x.unflatten(-1, (blocks, -1)) for x in (query, attended))
        return (query * attended).sum(-1) / (query.norm(dim=-1) * attended.norm(dim=-1)).clamp(min=NORM_EPSILON)

    def gaussians() -> Tensor:
        weights = network.kernels.exponents(polar(boxes)).exp()
        weights = torch.where(torch.isnan(weights), torch.zeros_like(weights), weights)
        return weights / weights.sum(-1, keepdim=True)

    def convolved(part: nn.Module, matching: Tensor, weights: Tensor) -> Tensor:
        size = matching.shape[1]
        neighbours = matching.unsqueeze(2).repeat(1, 1, size, 1).flatten(0, 1)  # [n N, N, K]
        mixed = weights.flatten(0, 1).mT @ neighbours  # [n N, 8, K]
        heads = part.convolution.weight.unflatten(0, (KERNELS, -1))
        hidden = torch.cat([mixed[:, kernel] @ heads[kernel].T for kernel in range(KERNELS)], dim=-1)
        if part.convolution.bias is not None:
            hidden = hidden + part.convolution.bias
        return part.out_2(torch.tanh(part.out_1(hidden))).view(count, -1).mean(dim=1)

    columns = []
    for caption, length in zip(words, lengths.tolist(), strict=True):
        own = caption[None, :length].repeat(count, 1, 1)
        from_regions = convolved(network.region_matching, cosines(images, context(images, own)), gaussians())
        agreement = torch.softmax(temperature * (own @ own.mT), dim=-1)
        weights = agreement[..., None].repeat(1, 1, 1, KERNELS)
        weights = weights / weights.sum(dim=2, keepdim=True)
        columns.append(from_regions + convolved(network.word_matching, cosines(own, context(own, images)), weights))
    return torch.stack(columns, dim=1)


def synthetic(images: int, captions: int) -> PairBatch:
    """Random features, boxes, and captions of 14 words on average, longest first."""
    ids, lengths = random_captions(captions, VOCABULARY)
    corner = torch.rand(images, REGIONS, 2) * 0.6
    return PairBatch(
        images=torch.randn(images, REGIONS, IMAGE_DIM).relu_(),
        captions=ids,
        lengths=lengths,
        image_ids=torch.arange(captions),
        caption_ids=torch.arange(captions),
        descriptions=torch.randn(captions, 400),
        extras={"boxes": torch.cat([corner, corner + 0.3], dim=-1)},
    )


def measure(procedure: str, task: str, options: argparse.Namespace) -> dict[str, float]:
    """CPU and wall seconds and peak memory of one task."""
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    memory_of(procedure)
    network = GSMN(VOCABULARY, bi_gru=True, lambda_softmax=20.0, graph=options.graph)
    objective = LSEH(max_violation=True, margin=0.07, semantic_weight=0.05)
    optimizer = adam_of(procedure, network.parameter_groups(6e-4))

    def scores_of(batch: PairBatch, images: VisualGraphs, captions: TextualGraphs, pairs: Pairs) -> Tensor:
        if procedure == "original":
            return loop_similarity(network, images.features, batch.extras["boxes"], captions.features, captions.lengths)
        return training_scores(network, images, captions, objective, pairs)

    def pairs_of(batch: PairBatch) -> Pairs:
        return Pairs(batch.image_ids, batch.caption_ids, batch.descriptions)

    def step(batch: PairBatch) -> None:
        optimizer.zero_grad()
        pairs = pairs_of(batch)
        scores = scores_of(batch, network.encode_images(batch), network.encode_captions(batch), pairs)
        objective(scores, pairs).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimizer.step()

    step(synthetic(2, 2))  # optimizer state and libraries in place
    rate = product_rate(1024, EMBED, 1024)
    batch = (
        synthetic(options.images, options.captions) if task == "evaluate" else synthetic(options.batch, options.batch)
    )
    if task != "train":
        with torch.no_grad():
            images, captions = network.encode_images(batch), network.encode_captions(batch)
        if task == "similarity":
            images = images.map(lambda tensor: tensor.detach().requires_grad_())
            captions = replace(captions, features=captions.features.detach().requires_grad_())
    before = reset_peak_memory()
    cpu = wall = float("inf")
    for _ in range(options.rounds):
        cpu_start, wall_start = time.process_time(), time.perf_counter()
        if task == "train":
            with with_grus_of(procedure):
                step(batch)
        elif task == "similarity":
            objective(scores_of(batch, images, captions, pairs_of(batch)), pairs_of(batch)).backward()
        else:
            with torch.no_grad():
                scores_of(batch, images, captions, pairs_of(batch))
        cpu, wall = min(cpu, time.process_time() - cpu_start), min(wall, time.perf_counter() - wall_start)
    return {
        "cpu_s": cpu,
        "wall_s": wall,
        "memory_mb": peak_memory_since(before),
        "floor_s": 2 * len(batch.images) * int(batch.lengths.sum()) * REGIONS * EMBED / 1e9 / rate,
    }


def main() -> None:
    """Print the table of GSMN."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64, help="pairs of the training step")
    parser.add_argument("--images", type=int, default=100, help="images of the evaluation")
    parser.add_argument("--captions", type=int, default=500, help="captions of the evaluation")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2, help="times each measurement is taken; the best one counts")
    parser.add_argument("--graph", choices=["reference", "propagate"], default="reference")
    parser.add_argument("--tasks", nargs="+", default=["similarity", "train", "evaluate"])
    parser.add_argument("--procedures", nargs="+", default=PROCEDURES)
    parser.add_argument("--one", nargs=2, metavar=("PROCEDURE", "TASK"), help="this one, in this process")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(*options.one, options)))
        return
    names = ("batch", "images", "captions", "threads", "rounds", "graph")
    same = [f"--{name}={getattr(options, name)}" for name in names]
    print(f"B = {options.batch}; evaluation {options.images} x {options.captions}; {options.threads} threads")
    print("task       procedure CPU s   wall s  peak MB  inner products at the best rate: s, share of CPU time")
    for task in options.tasks:
        results = {}
        for procedure in options.procedures:
            command = [sys.executable, __file__, "--one", procedure, task, *same]
            result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            results[procedure] = result
            print(
                f"{task:10} {procedure:9} {result['cpu_s']:6.2f} {result['wall_s']:8.2f} {result['memory_mb']:8.0f}  "
                f"{result['floor_s']:6.2f} {result['floor_s'] / result['cpu_s']:5.0%}",
                flush=True,
            )
        if len(results) == 2:
            original, ours = results.values()
            ratios = {key: original[key] / max(ours[key], 1e-9) for key in ("cpu_s", "wall_s", "memory_mb")}
            print(f"  {task}: " + ", ".join(f"{key} {ratio:.1f} x less" for key, ratio in ratios.items()), flush=True)


if __name__ == "__main__":
    main()
