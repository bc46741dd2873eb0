"""SGRAF's cost against a loop over captions: time and peak memory of a training step and of evaluation, on the CPU.

    python benchmarks/sgraf.py                                  # B = 128, 100 x 500, both modules: ~12 minutes, 10 GB
    python benchmarks/sgraf.py --batch 16 --images 20 --captions 100
    python benchmarks/sgraf.py --modules SGR --tasks train --procedures ours --losses lseh tal   # memory by objective

Every measurement is a process of its own. The loop scores one caption after the other against all images, with the
published sequence of operations and this repository's parameters; it is written for this benchmark. Memory is the
process's peak resident size less what it was before the measured work (network, optimizer and data in place), and the
whole process's. The GEMM floor is the time that the matrix products of the faster procedure would take at this
machine's best measured rate.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping

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
from torch.nn.functional import leaky_relu, relu, softmax

from SGRAF_LSEH.loss import DEFAULTS
from SGRAF_LSEH.model import SGRAF, TextualRepresentations, VisualRepresentations
from vse.data.batches import PairBatch
from vse.losses import ObjectiveOptions, Pairs, build_objective, resolve
from vse.nn.encoders import NORM_EPSILON
from vse.training.selected_pairs import training_scores

REGIONS, IMAGE_DIM, WORD_DIM, EMBED, SIM, VOCABULARY = 36, 2048, 300, 1024, 256, 8481


def loop_similarity(network: SGRAF, images: Tensor, words: Tensor, lengths: Tensor) -> Tensor:
    """Scores [n, m], one caption after the other, in the published sequence of operations."""
    encoder = network.similarity_encoder

    def normalised(x: Tensor, dim: int) -> Tensor:
        return x / (x.pow(2).sum(dim=dim, keepdim=True).sqrt() + NORM_EPSILON)

    image_vectors = encoder.v_global_w(images)
    columns = []
    for caption, length in zip(words, lengths.tolist(), strict=True):
        own = caption[None, :length]
        caption_vector = encoder.t_global_w(own)
        repeated = own.repeat(len(images), 1, 1)
        attention = normalised(leaky_relu(images @ repeated.mT, 0.1), 2).mT.contiguous()
        attention = softmax(attention * 9.0, dim=2)
        context = normalised((images.mT @ attention.mT.contiguous()).mT, -1)
        local = normalised(encoder.sim_tranloc_w((context - repeated).pow(2)), -1)
        overall = normalised(encoder.sim_tranglo_w((image_vectors - caption_vector).pow(2)), -1)
        nodes = torch.cat([overall[:, None], local], dim=1)
        if encoder.filters:
            filtration = encoder.SAF_module
            gates = torch.sigmoid(filtration.bn(filtration.attn_sim_w(nodes).mT))
            gates = gates / (gates.abs().sum(dim=-1, keepdim=True) + NORM_EPSILON)
            vector = normalised((gates @ nodes).squeeze(1), -1)
        else:
            for step in encoder.SGR_module:
                edges = torch.softmax(step.graph_query_w(nodes) @ step.graph_key_w(nodes).mT, dim=-1)
                nodes = relu(step.sim_graph_w(edges @ nodes))
            vector = nodes[:, 0]
        columns.append(torch.sigmoid(encoder.sim_eval_w(vector)))
    return torch.cat(columns, dim=1)


def pair_gflop(module: str, words: int, captions: int, images: int, steps: int = 3) -> float:
    """GFLOP of the matrix products that scoring all pairs needs, forward; `words` over all captions."""
    nodes = words + captions
    per_image = float(words * 2 * (2 * REGIONS * EMBED) + nodes * 2 * EMBED * SIM)
    if module == "SGR":
        length = nodes / captions
        per_image += (steps - 1) * nodes * (2 * 2 * SIM * SIM + 4 * length * SIM)
        per_image += captions * (2 * 2 * SIM * SIM + 4 * length * SIM)
    return images * per_image / 1e9


def step_gflop(module: str, words: int, batch: int) -> float:
    """GFLOP of the matrix products that a training step needs: backward passes take twice their forward passes.

    Both encoders and global vectors; of the pairs, SGR scores all once and 3 B with gradient, SAF all with gradient.
    """
    encoders = 2 * batch * REGIONS * (IMAGE_DIM * EMBED + EMBED * EMBED)
    encoders += 2 * words * (2 * 3 * EMBED * (WORD_DIM + EMBED) + EMBED * EMBED)
    pairs = pair_gflop(module, words, batch, batch)
    return 3 * encoders / 1e9 + pairs * (1 + 9 / batch if module == "SGR" else 3)


def synthetic(images: int, captions: int) -> PairBatch:
    """Random features and captions of 14 words on average, longest first."""
    ids, lengths = random_captions(captions, VOCABULARY)
    return PairBatch(
        images=torch.randn(images, REGIONS, IMAGE_DIM).relu_(),
        captions=ids,
        lengths=lengths,
        image_ids=torch.arange(captions),
        caption_ids=torch.arange(captions),
        descriptions=torch.randn(captions, 400),
    )


def measure(module: str, procedure: str, task: str, loss: str, options: argparse.Namespace) -> dict[str, float]:
    """CPU and wall seconds and peak memory of one training step or one evaluation."""
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    memory_of(procedure)
    network = SGRAF(module, VOCABULARY)
    objective = build_objective(resolve(ObjectiveOptions(loss=loss), DEFAULTS))
    optimizer = adam_of(procedure, network.parameter_groups(2e-4))

    def similarity(images: VisualRepresentations, captions: TextualRepresentations) -> Tensor:
        if procedure == "original":
            return loop_similarity(network, images.features, captions.features, captions.lengths)
        return network.similarity(images, captions)

    def step(batch: PairBatch) -> None:
        optimizer.zero_grad()
        images, captions = network.encode_images(batch), network.encode_captions(batch)
        pairs = Pairs(batch.image_ids, batch.caption_ids, batch.descriptions)
        if procedure == "original":
            scores = similarity(images, captions)
        else:
            scores = training_scores(network, images, captions, objective, pairs)
        objective(scores, pairs).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimizer.step()

    step(synthetic(2, 2))  # optimizer state and libraries in place
    if task == "train":
        batch = synthetic(options.batch, options.batch)
    else:
        batch = synthetic(options.images, options.captions)
        network.eval()
        with torch.no_grad():
            images, captions = network.encode_images(batch), network.encode_captions(batch)
            similarity(images.rows(slice(2)), captions.rows(slice(2)))
    rate = product_rate(4096, EMBED, SIM)
    before = reset_peak_memory()
    cpu = wall = float("inf")
    for _ in range(options.rounds):
        cpu_start, wall_start = time.process_time(), time.perf_counter()
        if task == "train":
            with with_grus_of(procedure):
                step(batch)
        else:
            with torch.no_grad():
                similarity(images, captions)
        cpu, wall = min(cpu, time.process_time() - cpu_start), min(wall, time.perf_counter() - wall_start)
    words, count = int(batch.lengths.sum()), len(batch.lengths)
    gflop = step_gflop(module, words, count) if task == "train" else pair_gflop(module, words, count, len(batch.images))
    return {
        "cpu_s": cpu,
        "wall_s": wall,
        "memory_mb": peak_memory_since(before),
        "process_mb": peak_memory_since(0),
        "floor_s": gflop / rate,
    }


def main() -> None:
    """Print the table of SGR and SAF."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128, help="pairs of the training step")
    parser.add_argument("--images", type=int, default=100, help="images of the evaluation")
    parser.add_argument("--captions", type=int, default=500, help="captions of the evaluation")
    parser.add_argument(
        "--threads", type=int, default=1, help="CPU threads; on a shared machine more than one measures waiting"
    )
    parser.add_argument("--rounds", type=int, default=2, help="times each measurement is taken; the best one counts")
    parser.add_argument("--modules", nargs="+", default=["SGR", "SAF"])
    parser.add_argument("--tasks", nargs="+", default=["train", "evaluate"])
    parser.add_argument("--procedures", nargs="+", default=PROCEDURES)
    parser.add_argument("--losses", nargs="+", default=["lseh"], help="objectives of the training step")
    parser.add_argument("--one", nargs=4, metavar=("MODULE", "PROCEDURE", "TASK", "LOSS"), help="this, in this process")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(*options.one, options)))
        return
    sizes = [f"--{name}={getattr(options, name)}" for name in ("batch", "images", "captions", "threads", "rounds")]
    print(f"training step B = {options.batch}; evaluation {options.images} x {options.captions}")
    print("module task            procedure CPU s   wall s  peak MB  process  GEMM floor s, its share of the CPU time")
    for module in options.modules:
        for task in options.tasks:
            for loss in options.losses if task == "train" else options.losses[:1]:
                results = {}
                for procedure in options.procedures:
                    command = [sys.executable, __file__, "--one", module, procedure, task, loss, *sizes]
                    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                    results[procedure] = result
                    show(module, task, procedure, loss, result)
                if len(results) == 2:
                    original, ours = results.values()
                    ratios = {key: original[key] / max(ours[key], 1e-9) for key in ("cpu_s", "wall_s", "memory_mb")}
                    print(f"       {task}: " + ", ".join(f"{key} {ratio:.1f} x less" for key, ratio in ratios.items()))


def show(module: str, task: str, procedure: str, loss: str, result: Mapping[str, float]) -> None:
    """Print a row of the table."""
    floor = result["floor_s"]
    name = f"{task} {loss}" if task == "train" else task
    print(
        f"{module:6} {name:15} {procedure:8} {result['cpu_s']:6.2f} {result['wall_s']:8.2f} {result['memory_mb']:8.0f}"
        f" {result['process_mb']:8.0f}  {floor:6.2f} {floor / result['cpu_s']:5.0%}",
        flush=True,
    )


if __name__ == "__main__":
    main()
