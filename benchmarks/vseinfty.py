"""VSE-infinity: pooling against its direct formulation, caption augmentation and batching, a training step.

    python benchmarks/vseinfty.py                            about a minute on one core
    python benchmarks/vseinfty.py --captions train_caps.txt  the text of a caption file instead of drawn lengths
    python benchmarks/vseinfty.py --one original             a training step with direct pooling, as JSON

Direct pooling is how the operator is usually written: the GRU over ranks runs for every sample, torch.sort sorts along
the regions' axis. Times are CPU seconds of this process on one thread, the fastest of several runs: on a machine that
is shared, that is what repeats.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from measuring import PROCEDURES, adam_of, memory_of, random_words, with_grus_of
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from vse.data.batches import PairBatch
from vse.losses import ObjectiveOptions, build_objective, resolve
from vse.text.augmented import AugmentedCaptions
from vse.text.captions import read_captions
from vse.text.token_ids import TokenIds, encode
from vse.text.vocabulary import Vocabulary
from vse.training.step import TrainingStep
from VSEinfty_LSEH.loss import DEFAULTS
from VSEinfty_LSEH.model import RegionEncoder, VSEinfty, WordEncoder
from VSEinfty_LSEH.pooling import PADDING, TEMPERATURE, GeneralisedPooling, rank_encoding

PAIRS, REGIONS, CHANNELS, VOCABULARY = 128, 36, 1024, 30522


def cpu_seconds(work: Callable[[], object], runs: int = 5) -> float:
    """CPU time of the fastest run, after one to warm up."""
    work()
    times = []
    for _ in range(runs):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def direct(pooling: GeneralisedPooling, features: Tensor, lengths: Tensor) -> Tensor:
    """[B, N, E], [B] -> [B, E] sample by sample."""
    longest = int(lengths.max())
    ranks = rank_encoding(longest, pooling.position_size).repeat(len(features), 1, 1)
    packed = pack_padded_sequence(ranks, lengths, batch_first=True, enforce_sorted=False)
    states, _ = pad_packed_sequence(torch.nn.GRU.forward(pooling.gru, packed)[0], batch_first=True)
    forward, backward = states.chunk(2, dim=2)
    outside = (torch.arange(longest) >= lengths[:, None])[:, :, None]
    scores = pooling.linear((forward + backward) / 2).masked_fill(outside, PADDING)
    weights = torch.softmax(scores / TEMPERATURE, dim=1)
    ranked = features[:, :longest].masked_fill(outside, PADDING).sort(dim=1, descending=True).values
    return (ranked.masked_fill(outside, 0) * weights).sum(dim=1)


def pool(dropping: bool) -> None:
    """Print the table of pooling."""
    torch.manual_seed(0)
    pooling = GeneralisedPooling()
    features = torch.randn(PAIRS, REGIONS, CHANNELS, requires_grad=True)
    lengths = torch.full((PAIRS,), REGIONS)
    if dropping:
        lengths = (torch.rand(PAIRS, REGIONS) > 0.2).sum(dim=1)
        features = features[:, : int(lengths.max())].detach().requires_grad_()
    upstream = torch.randn(PAIRS, CHANNELS)
    results = {}
    for name, operator in (("direct", direct), ("ours", GeneralisedPooling.forward)):

        def work(operator: Callable[..., Tensor] = operator) -> Tensor:
            pooled = operator(pooling, features, lengths)
            (pooled * upstream).sum().backward()
            return pooled

        results[name] = (cpu_seconds(work), work().detach())
    (slow, wanted), (fast, found) = results["direct"], results["ours"]
    print(
        f"pooling forward and backward, {PAIRS} x {features.shape[1]} x {CHANNELS}, "
        f"{lengths.unique().numel()} distinct lengths: direct {slow * 1e3:.0f} ms, ours {fast * 1e3:.0f} ms, "
        f"{slow / fast:.1f} times faster; largest difference {(wanted - found).abs().max():.1e}"
    )


def cached_ids(file: Path | None) -> AugmentedCaptions:
    """Captions as their cache holds them: of a file, or with lengths like Flickr30K's (14 words on average)."""
    if file is not None:
        captions = read_captions(file)
        vocabulary = Vocabulary.build(captions)
        tokens, size = encode(captions, vocabulary), len(vocabulary) + 1
    else:
        generator, size = np.random.default_rng(0), VOCABULARY
        lengths = generator.lognormal(2.58, 0.38, 20_000).round().astype(int).clip(4, 80)
        offsets = np.concatenate([[0], lengths.cumsum()])
        tokens = TokenIds(generator.integers(5, size, offsets[-1]).astype(np.int32), offsets)
    return AugmentedCaptions(tokens, np.ones(len(tokens.values), bool), size - 1, size, keep_ends=True)


def loop(captions: AugmentedCaptions, chosen: np.ndarray, source: random.Random) -> Tensor:
    """Apply the same rule caption by caption and word by word, with ids already looked up."""
    rows = []
    for caption in chosen.tolist():
        first, *words, last = captions.tokens[caption].tolist()
        row = [first]
        for word in words:
            draw = source.random()
            if draw >= 0.2:
                row.append(word)
            elif draw < 0.1:
                row.append(captions.mask)
            elif draw < 0.12:
                row.append(source.randrange(captions.vocabulary))
        rows.append(torch.tensor([*row, last]))
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def augment(file: Path | None) -> None:
    """Print the table of caption augmentation."""
    captions = cached_ids(file)
    order = np.random.default_rng(1).permutation(len(captions.tokens))
    batches = [order[first : first + PAIRS] for first in range(0, len(order) - PAIRS, PAIRS)][:150]
    generator, source = np.random.default_rng(2), random.Random(2)
    count = sum(map(len, batches))
    fast = cpu_seconds(lambda: [captions.batch(batch, generator) for batch in batches])
    slow = cpu_seconds(lambda: [loop(captions, batch, source) for batch in batches], runs=2)
    print(
        f"augmentation and batching of cached ids, batches of {PAIRS}: {count / fast:,.0f} captions/s of one core; "
        f"word by word {count / slow:,.0f}"
    )


def training_step(procedure: str) -> tuple[Callable[[], None], int]:
    """Regions and words at the published sizes: forward, LSEH, backward, Adam; and the words of the batch."""
    torch.manual_seed(0)
    network = VSEinfty(RegionEncoder(2048, CHANNELS), WordEncoder(8482, 300, CHANNELS))
    generator = torch.Generator().manual_seed(0)
    lengths = torch.empty(PAIRS).log_normal_(2.58, 0.38, generator=generator).round().long().clamp(4, 60)
    lengths = lengths.sort(descending=True).values
    captions = random_words(PAIRS, int(lengths[0]), vocabulary=8482, generator=generator)
    images = torch.rand(PAIRS, REGIONS, 2048, generator=generator)
    rows = torch.arange(PAIRS)
    batch = PairBatch(
        images=images,
        captions=captions,
        lengths=lengths,
        image_ids=rows,
        caption_ids=rows,
        descriptions=torch.randn(PAIRS, 400, generator=generator),
    )
    step = TrainingStep(network, build_objective(resolve(ObjectiveOptions(), DEFAULTS)))
    optimizer = adam_of(procedure, network.parameter_groups(8e-4))

    def train() -> None:
        optimizer.zero_grad()
        step(batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimizer.step()

    return train, int(lengths.sum())


def measure(procedure: str) -> float:
    """CPU seconds of a training step after one to warm up; the original procedure pools directly."""
    memory_of(procedure)
    train, _ = training_step(procedure)
    pooling = direct if procedure == "original" else GeneralisedPooling.forward
    with with_grus_of(procedure), mock.patch.object(GeneralisedPooling, "forward", pooling):
        return cpu_seconds(train, runs=1)


def show_step() -> None:
    """Print our training step beside its matrix products."""
    memory_of("ours")
    train, words = training_step("ours")
    # Multiplications with weights, forward and twice backward; the regions have no gradient of their own.
    layers = REGIONS * PAIRS * (2048 * CHANNELS * 2 + 2048 * 512 * 2 + 512 * CHANNELS * 3)
    products = 2 * (layers + words * 2 * 3 * CHANNELS * (300 + CHANNELS) * 3)
    seconds = cpu_seconds(train, runs=2)
    left, right = torch.randn(PAIRS * REGIONS, 2048), torch.randn(2048, CHANNELS)
    rate = 2 * left.numel() * CHANNELS / cpu_seconds(lambda: left @ right)
    print(
        f"training step, {PAIRS} pairs, {REGIONS} x 2048 regions, words, embedding {CHANNELS}: {seconds:.2f} CPU-s; "
        f"its matrix products alone at the rate of one large product {products / rate:.2f}"
    )


def main() -> None:
    """Print the tables of VSE-infinity."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--captions", type=Path, help="caption file to augment")
    parser.add_argument("--one", choices=PROCEDURES, help="training step of this procedure, as JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.one:
        print(json.dumps({"cpu_s": measure(arguments.one)}))
        return
    pool(dropping=False)
    pool(dropping=True)
    augment(arguments.captions)
    show_step()


if __name__ == "__main__":
    main()
