"""VSRN at its published sizes: one training step and evaluation, as a share of the machine's matrix-product rate.

    python benchmarks/vsrn.py            128 pairs of 36 x 2048 regions, embedding 2048: about two minutes
    python benchmarks/vsrn.py --batch_size 16 --threads 1
    python benchmarks/vsrn.py --start    memory of a training start on data of MS-COCO's size, sparse on disk
    python benchmarks/vsrn.py --threads 1 --one original    a training step of the original procedure, as JSON

The floor is the time that the matrix products alone would take (counted from the shapes below) at the rate of one large
product, measured in the same process right before and after. Wall-clock and CPU time are both given: on a machine that
is shared, CPU time is the one to read. Peak memory is that of the process that does nothing else. In the original
procedure the captioner takes all steps up to the longest caption it allows, each with its attention over the
concatenated states and the scores of all words, and GRUs are PyTorch's.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
import torch
from measuring import PROCEDURES, adam_of, memory_of, random_words, with_grus_of
from torch import Tensor

from vse.data.batches import EpochSampler, PairBatch
from vse.data.loading import open_training_data
from vse.losses.lseh import LSEH
from vse.options import DataOptions
from vse.published.sets import PUBLISHED_SETS
from vse.training.step import TrainingStep
from VSRN_LSEH.captioning import Captioner, caption_labels
from VSRN_LSEH.model import VSRN
from VSRN_LSEH.network import FOLDER, NetworkOptions

warnings.filterwarnings("ignore", ".*duplicate parameters")  # the captioner's, on purpose

REGIONS, FEATURES, EMBED, VOCABULARY, WORD, HIDDEN, DESCRIPTION = 36, 2048, 2048, 8481, 300, 512, 400


class Measurement(NamedTuple):
    """What one measured piece of work took, next to what its matrix products alone would take."""

    wall: float  # seconds
    cpu: float  # seconds, all threads
    products: float  # floating-point operations of the matrix products
    wall_rate: float  # floating-point operations a second of one large product
    cpu_rate: float
    peak_memory: float  # bytes


def make_batch(pairs: int) -> PairBatch:
    """Pairs with caption lengths like Flickr30K's (tokens with <start> and <end>: 14 on average)."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.empty(pairs).log_normal_(2.58, 0.38, generator=generator).round().long().clamp(4, 60)
    lengths = lengths.sort(descending=True).values
    captions = random_words(pairs, int(lengths[0]), vocabulary=VOCABULARY, generator=generator)
    captions *= torch.arange(captions.shape[1]) < lengths[:, None]
    images = torch.rand(pairs, REGIONS, FEATURES, generator=generator)
    rows = torch.arange(pairs)
    return PairBatch(
        images=images,
        captions=captions,
        lengths=lengths,
        image_ids=rows,
        caption_ids=rows,
        descriptions=torch.randn(pairs, DESCRIPTION, generator=generator),
    )


def image_products(images: int) -> tuple[float, float]:
    """Operations of the image encoder forward: of its first layer, and of the rest."""
    rows = images * REGIONS
    both_maps = 2 * (rows + min(rows, EMBED)) * EMBED * EMBED  # many rows take the product of both weights
    reasoning = 4 * (2 * both_maps + 2 * 2 * rows * REGIONS * EMBED)
    return 2 * rows * FEATURES * EMBED, reasoning + 2 * rows * 2 * EMBED * 3 * EMBED


def step_products(batch: PairBatch) -> float:
    """Operations of a training step: backward costs twice forward, once where the input needs no gradient."""
    pairs, words, steps = len(batch.lengths), int(batch.lengths.sum()), int(batch.lengths.max())
    first, image = image_products(pairs)
    caption = 2 * words * (WORD + EMBED) * 3 * EMBED
    scores = 2 * pairs * pairs * EMBED
    rows = pairs * REGIONS
    read = 2 * rows * (EMBED * HIDDEN + 2 * HIDDEN * 3 * HIDDEN + HIDDEN * HIDDEN)
    attend = HIDDEN * HIDDEN + 2 * REGIONS * HIDDEN
    write = 2 * pairs * steps * (attend + (WORD + 2 * HIDDEN) * 3 * HIDDEN) + 2 * words * HIDDEN * VOCABULARY
    return 2 * first + 3 * (image + caption + scores + read + write)


def product_rate() -> tuple[float, float]:
    """Operations a second of a product as large as the network's, by wall clock and by CPU time."""
    left, right = torch.randn(128 * REGIONS, EMBED), torch.randn(EMBED, EMBED)
    out = left @ right
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(5):
        torch.mm(left, right, out=out)
    operations = 5 * 2 * len(left) * EMBED * EMBED
    return operations / (time.perf_counter() - wall), operations / (time.process_time() - cpu)


def measure(work: Callable[[], object], products: float) -> Measurement:
    """Measure a piece of work of so many products."""
    before = product_rate()
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    after = product_rate()
    wall_rate, cpu_rate = ((one + other) / 2 for one, other in zip(before, after, strict=True))
    return Measurement(wall, cpu, products, wall_rate, cpu_rate, peak_memory())


def peak_memory() -> float:
    """Bytes that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def original_captioning(captioner: Captioner, regions: Tensor, captions: Tensor, lengths: Tensor, _: None) -> Tensor:
    """`Captioner.loss` in the original sequence of operations: `max_len` - 1 steps, whatever the lengths."""
    decoder = captioner.decoder
    steps = captioner.max_len - 1
    labels, counted = caption_labels(captions, lengths, captioner.max_len)
    labels = torch.nn.functional.pad(labels, (0, steps + 1 - labels.shape[1]))
    counted = torch.nn.functional.pad(counted, (0, steps - counted.shape[1]))
    states, hidden = captioner.encoder(regions)
    written = []
    for step in range(steps):
        both = torch.cat([states, hidden[:, None].expand_as(states)], dim=2)
        weights = decoder.attention.linear2(torch.tanh(decoder.attention.linear1(both))).softmax(dim=1)
        context = (weights.mT @ states).squeeze(1)
        read = decoder.dropout(torch.cat([decoder.embedding(labels[:, step]), context], dim=1))
        hidden = decoder.rnn(read[:, None], hidden[None].contiguous())[1][0]
        written.append(decoder.out(hidden).log_softmax(dim=1))
    likelihoods = torch.stack(written, dim=1).gather(2, labels[:, 1:, None]).squeeze(2)
    return -(likelihoods * counted).sum() / len(labels)


def make_step(procedure: str) -> Callable[[PairBatch], None]:
    """Make a network and return its training step: forward, backward, clipping and Adam on a batch."""
    torch.manual_seed(0)
    network = VSRN(VOCABULARY, FEATURES, EMBED, WORD, dim_hidden=HIDDEN, final_batchnorm=True)
    step = TrainingStep(network, LSEH(max_violation=True))
    optimizer = adam_of(procedure, network.parameter_groups(2e-4))
    listed: list[Tensor] = optimizer.param_groups[0]["params"]

    def train(batch: PairBatch) -> None:
        optimizer.zero_grad()
        step(batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(listed, 2.0)
        optimizer.step()

    return train


def measure_step(pairs: int, threads: int) -> Measurement:
    """Our second training step, when its memory is in place."""
    torch.set_num_threads(threads)
    memory_of("ours")
    train = make_step("ours")
    train(make_batch(4))
    batch = make_batch(pairs)
    train(batch)
    return measure(lambda: train(batch), step_products(batch))


def seconds_of_step(procedure: str, pairs: int, threads: int) -> float:
    """CPU seconds of a training step: of the second, when the memory of ours is in place."""
    torch.set_num_threads(threads)
    memory_of(procedure)
    captioning = original_captioning if procedure == "original" else Captioner.loss
    with with_grus_of(procedure), mock.patch.object(Captioner, "loss", captioning):
        train = make_step(procedure)
        train(make_batch(4))  # the optimizer's state is in place
        batch = make_batch(pairs)
        train(batch)
        started = time.process_time()
        train(batch)
        return time.process_time() - started


def measure_evaluation(images: int, threads: int) -> Measurement:
    """Encode images in evaluation mode, after four of them."""
    torch.set_num_threads(threads)
    network = VSRN(VOCABULARY, FEATURES, EMBED, WORD, captioning=False).eval()
    batch = make_batch(images)
    with torch.no_grad():
        network.encode_images(make_batch(4))
        return measure(lambda: network.encode_images(batch), sum(image_products(images)))


def write_coco_size(folder: Path) -> None:
    """Write a data set of MS-COCO's size: 33 GB of zeros in a sparse file, and captions of made-up words."""
    words, generator = [f"word{number}" for number in range(10_000)], random.Random(0)
    for split in ("train", "dev"):
        images, captions = PUBLISHED_SETS["coco"][split]
        regions = (images, REGIONS, FEATURES)
        np.lib.format.open_memmap(folder / f"{split}_ims.npy", mode="w+", dtype=np.float32, shape=regions)
        lines = (" ".join(generator.choices(words, k=11)) for _ in range(captions))
        (folder / f"{split}_caps.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        if split == "train":
            vectors = (captions, DESCRIPTION)
            np.lib.format.open_memmap(folder / "train_svd.npy", mode="w+", dtype=np.float32, shape=vectors)


def measure_start(folder: Path) -> tuple[float, float]:
    """All that happens before the first step: data opened, network built, first batch -> CPU seconds, peak bytes."""
    torch.set_num_threads(1)
    started = time.process_time()
    data = DataOptions(data_path=str(folder), data_name="coco")
    options = FOLDER.resolve(NetworkOptions(), data)
    training = open_training_data(data, FOLDER.reader(options), seed=0, needs_descriptions=True)
    network = FOLDER.build(options, training.image_shape, training.text, True)
    torch.optim.Adam(network.parameter_groups(0.0004))
    training.pairs[next(iter(EpochSampler(len(training.pairs), data.batch_size, seed=0, epoch=0)))]
    return time.process_time() - started, peak_memory()


def report(what: str, m: Measurement) -> None:
    """Print a measurement as a row."""
    print(f"{what}: {m.wall:.1f} s, {m.cpu:.1f} CPU-s; {m.products / 1e9:,.0f} GFLOP of matrix products")
    print(
        f"  one large product: {m.wall_rate / 1e9:.0f} GFLOP/s, {m.cpu_rate / 1e9:.0f} GFLOP/CPU-s; "
        f"floor {m.products / m.wall_rate:.1f} s, {m.products / m.cpu_rate:.1f} CPU-s"
    )
    print(
        f"  share of that rate: {m.products / m.wall / m.wall_rate:.0%} by wall clock, "
        f"{m.products / m.cpu / m.cpu_rate:.0%} by CPU time; peak memory {m.peak_memory / 2**30:.2f} GiB"
    )


def main() -> None:
    """Print the table of VSRN."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--start", action="store_true", help="memory of a training start, instead of a step")
    parser.add_argument("--one", choices=PROCEDURES, help="training step of this procedure, as JSON")
    arguments = parser.parse_args()
    if arguments.one:
        seconds = seconds_of_step(arguments.one, arguments.batch_size, arguments.threads)
        print(json.dumps({"cpu_s": seconds}))
        return
    # A process each, so that its peak memory is its own.
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        if arguments.start:
            with tempfile.TemporaryDirectory() as folder:
                pool.apply(write_coco_size, [Path(folder)])
                cpu, peak = pool.apply(measure_start, [Path(folder)])
            print(f"training start, MS-COCO's size: {cpu:.1f} CPU-s, peak memory {peak / 2**30:.2f} GiB")
            return
        sizes = (arguments.batch_size, arguments.threads)
        print(f"{arguments.batch_size} pairs, {arguments.threads} threads", flush=True)
        report("training step", pool.apply(measure_step, sizes))
        evaluation = pool.apply(measure_evaluation, sizes)
        report(f"evaluation, {arguments.batch_size / evaluation.wall:.1f} images/s", evaluation)


if __name__ == "__main__":
    main()
