"""What the objectives cost, in one run: against per-element loops, against each other, against a training step.

    python benchmarks/objectives.py                # one thread, about one minute
    python benchmarks/objectives.py --rounds 20
    python benchmarks/objectives.py --one HAL original    # CPU seconds of one call, as JSON

CPU seconds of one thread, the best of several rounds in which the competitors take turns, so that a busy machine slows
all of them alike. The loops are written here from the description of what the original code does:

- HAL without its bank: plain exponentials and sums, as in the paper.
- LUWM: for every query, boolean selections and Python's min and max over the elements of tensors, in both directions.
- The bank of HAL, per step: a list comprehension over the bank that looks every caption up in the batch's tuple, and
  copies of the rows that stay. Per epoch: a pass over all training pairs that reads and tokenises each of them to keep
  one in twenty; ours draws the rows and reads those, words being ids already. Both are timed on a sample and spread
  over the steps of an MS-COCO epoch. NLTK's sentence splitting, which the published pass does too, is left out of it.

What neither can avoid is listed apart: the products of a batch with the bank, the nearest rows, the weights, and
encoding the rows to remember.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from measuring import PROCEDURES, adam_of, memory_of, random_words, with_grus_of
from nltk.tokenize import NLTKWordTokenizer
from tabulate import tabulate
from torch import Tensor

from vse.data.batches import PairBatch
from vse.losses import HAL, LSEH, LUWM, OBJECTIVES, MaxHinge, MemoryBank, Objective, Pairs
from vse.nn.encoders import l2norm
from VSEpp_LSEH.model import VSEpp

BATCH, EMBED, FEATURES, DESCRIPTION, VOCABULARY = 128, 1024, 2048, 400, 8481
BANK, BANK_BATCH = 28_000, 512
TURNS = 10
COCO_CAPTIONS = 566_435
COCO_STEPS = -(-COCO_CAPTIONS // BANK_BATCH)


def race(rounds: int, repeat: int, **competitors: Callable[[], object]) -> dict[str, float]:
    """CPU seconds of each competitor: the best round's mean over `repeat` calls."""
    best = dict.fromkeys(competitors, float("inf"))
    for work in competitors.values():
        work()
    for _ in range(rounds):
        for name, work in competitors.items():
            start = time.process_time()
            for _ in range(repeat):
                work()
            best[name] = min(best[name], (time.process_time() - start) / repeat)
    return best


def random_pairs(size: int) -> Pairs:
    """Pairs of distinct captions of about as many images as in a batch of MS-COCO."""
    caption_ids = torch.randperm(COCO_CAPTIONS)[:size]
    return Pairs(caption_ids // 5, caption_ids, torch.randn(size, DESCRIPTION) / DESCRIPTION**0.5)


def unit(rows: int, size: int = EMBED) -> Tensor:
    """Draw unit vectors [rows, size]."""
    return l2norm(torch.randn(rows, size))


def backward_from_scores(objective: Objective, scores: Tensor, pairs: Pairs) -> Callable[[], None]:
    """Return a function that runs the objective forward and back to the scores."""

    def work() -> None:
        scores.grad = None
        objective(scores, pairs).backward()

    return work


def backward_from_embeddings(objective: Objective, size: int, pairs: Pairs) -> Callable[[], None]:
    """Return a function that runs the objective forward and back to embeddings of `size` pairs."""
    images, captions = unit(size).requires_grad_(), unit(size).requires_grad_()

    def work() -> None:
        images.grad = captions.grad = None
        objective(images @ captions.T, pairs).backward()

    return work


# --- what the original code does, element by element -----------------------------------------------------------------


def luwm_by_elements(scores: Tensor, margin: float = 0.2) -> Tensor:
    """LUWM query by query."""
    labels = torch.arange(len(scores))
    costs = []
    for similarities in (scores, scores.T):
        for query in range(len(scores)):
            positives = similarities[query][labels == query]
            positives = positives[positives < 1 - 1e-5]
            negatives = similarities[query][labels != query]
            if len(positives) == 0:
                continue
            negatives = negatives[negatives + margin > min(positives)]
            if len(negatives) == 0:
                continue
            positives = positives[positives - margin < max(negatives)]
            if len(positives) == 0:
                continue
            nearest, furthest = max(negatives), min(positives)
            costs.append((0.2 * furthest**2 - 0.7 * furthest + 0.5).clamp(min=0))
            costs.append((0.9 * nearest**2 - 0.4 * nearest + 0.03).clamp(min=0))
    return torch.stack(costs).sum() / len(scores)


def hal_by_sums(scores: Tensor, alpha: float = 30.0, epsilon: float = 0.3) -> Tensor:
    """HAL's local weighting, exponentials and all; the diagonal's leak is published."""
    own = scores.diagonal()
    exponentials = torch.exp(alpha * (scores - torch.diag(own) - epsilon))
    rivals = (torch.log(1 + exponentials.sum(0)) + torch.log(1 + exponentials.sum(1))) / alpha
    return (rivals - torch.log(1 + own.relu())).mean()


ORIGINALS: dict[str, Callable[[Tensor], Tensor]] = {"LUWM": luwm_by_elements, "HAL": hal_by_sums}


def seconds_of(name: str, procedure: str) -> float:
    """CPU seconds of an objective, forward and backward from scores, or of a training step of VSE++.

    An objective's are the mean of some calls in the best of ten rounds, a step's the best of two.
    """
    memory_of(procedure)
    if name == "VSE++":
        return race(2, 1, step=vsepp_step(procedure, random_pairs(BATCH), 36, FEATURES))["step"]
    scores = (torch.randn(BATCH, BATCH) / 5 + 0.3 * torch.eye(BATCH)).clamp(-1, 0.99).requires_grad_()
    pairs = random_pairs(BATCH)
    ours, original = {"LUWM": LUWM, "HAL": HAL}[name](), ORIGINALS[name]
    torch.testing.assert_close(ours(scores, pairs), original(scores))

    def loop() -> None:
        scores.grad = None
        original(scores).backward()

    work = loop if procedure == "original" else backward_from_scores(ours, scores, pairs)
    return race(10, 2 if work is loop and name == "LUWM" else 50, work=work)["work"]


def rows_that_stay(bank_ids: tuple[int, ...], batch_ids: tuple[int, ...]) -> list[int]:
    """Membership by looking every row of the bank up in the batch."""
    return [row for row, caption in enumerate(bank_ids) if caption not in batch_ids]


# --- the three tables ------------------------------------------------------------------------------------------------


def against_loops_and_each_other(rounds: int) -> list[list[object]]:
    """Time objectives beside plain loops and beside each other."""
    scores = (torch.randn(BATCH, BATCH) / 5 + 0.3 * torch.eye(BATCH)).clamp(-1, 0.99).requires_grad_()
    pairs = random_pairs(BATCH)
    ours, published = LUWM()(scores, pairs), luwm_by_elements(scores)
    torch.testing.assert_close(ours, published)

    def loop() -> None:
        scores.grad = None
        luwm_by_elements(scores).backward()

    slow = race(max(2, rounds // 10), 1, loop=loop)["loop"]
    lseh, lmh = LSEH(max_violation=True), MaxHinge()
    fast = race(
        rounds,
        20,
        luwm=backward_from_scores(LUWM(), scores, pairs),
        lseh_scores=backward_from_scores(lseh, scores, pairs),
        lmh_scores=backward_from_scores(lmh, scores, pairs),
        lseh=backward_from_embeddings(lseh, BATCH, pairs),
        lmh=backward_from_embeddings(lmh, BATCH, pairs),
    )
    return [
        ["LUWM, element by element / ours", 1e3 * slow, 1e3 * fast["luwm"], slow / fast["luwm"], ">= 100"],
        [
            "LSEH / LMH, embeddings to their gradients",
            1e3 * fast["lseh"],
            1e3 * fast["lmh"],
            fast["lseh"] / fast["lmh"],
            "<= 1.5",
        ],
        [
            "LSEH / LMH, scores to their gradient",
            1e3 * fast["lseh_scores"],
            1e3 * fast["lmh_scores"],
            fast["lseh_scores"] / fast["lmh_scores"],
            "",
        ],
    ]


def bank(rounds: int, folder: Path) -> list[list[object]]:
    """Time HAL's memory bank."""
    network = VSEpp((FEATURES,), VOCABULARY).eval()
    memory = MemoryBank(rate=BANK / COCO_CAPTIONS)
    caption_ids = torch.from_numpy(memory.draw(seed=0, epoch=1, n_captions=COCO_CAPTIONS))
    memory.remember(unit(BANK), unit(BANK), caption_ids // 5, caption_ids)
    images, captions, pairs = unit(BANK_BATCH), unit(BANK_BATCH), random_pairs(BANK_BATCH)
    pairs.caption_ids[:25] = caption_ids[::1000][:25]
    bank_ids, batch_ids = tuple(caption_ids.tolist()), tuple(pairs.caption_ids.tolist())
    scores = torch.empty(BANK_BATCH, BANK)
    excluded = torch.isin(memory.caption_ids, pairs.caption_ids)
    assert rows_that_stay(bank_ids, batch_ids) == (~excluded).nonzero()[:, 0].tolist()
    objective = HAL()
    positives = torch.rand(BANK_BATCH)

    def published_membership() -> None:
        stay = rows_that_stay(bank_ids, batch_ids)
        _ = memory.images[stay], memory.captions[stay]

    def our_membership() -> None:
        mask = torch.isin(memory.caption_ids, pairs.caption_ids)
        scores.masked_fill_(mask, -torch.inf)
        scores.masked_fill_(mask, -torch.inf)

    def products() -> None:
        _ = images @ memory.captions.T, captions @ memory.images.T

    bank_scores = memory.scores(images, captions, pairs)
    assert bank_scores is not None

    # The refresh, on a sample of rows: a caption of ordinary length and a row of features read from a mapped file.
    sample = 2048
    np.save(folder / "features.npy", np.random.default_rng(0).random((sample, FEATURES), dtype=np.float32))
    features = np.load(folder / "features.npy", mmap_mode="r")
    words = [f"word{number}" for number in range(200)]
    choose = np.random.default_rng(1)
    texts = [f"A {' '.join(choose.choice(words, 9))}, near {words[row % 200]}." for row in range(sample)]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = NLTKWordTokenizer()
    lengths = torch.full((sample,), 13)
    token_ids = torch.randint(4, VOCABULARY, (sample, 13))

    def published_pass() -> None:
        loaded = [
            (
                torch.tensor(features[row]),
                torch.tensor([vocabulary.get(w, 3) for w in tokenizer.tokenize(text.lower())]),
            )
            for row, text in enumerate(texts)
        ]
        torch.stack([image for image, _ in loaded])

    def our_reading() -> None:
        torch.from_numpy(features[np.arange(sample)])
        token_ids[torch.arange(sample)]

    def drawing() -> None:
        memory.draw(seed=0, epoch=1, n_captions=COCO_CAPTIONS)

    @torch.no_grad()
    def encoding() -> None:
        rows = torch.arange(256)
        batch = PairBatch(
            images=torch.tensor(features[:256]),
            captions=token_ids[:256],
            lengths=lengths[:256],
            image_ids=rows,
            caption_ids=rows,
        )
        network.encode_images(batch)
        network.encode_captions(batch)

    few = max(3, rounds // 10)
    seconds = race(
        few,
        1,
        published_membership=published_membership,
        our_membership=our_membership,
        products=products,
        weights=lambda: objective.global_weights(positives, bank_scores),
        published_pass=published_pass,
        our_reading=our_reading,
        drawing=drawing,
        encoding=encoding,
    )
    published_refresh = seconds["published_pass"] / sample * COCO_CAPTIONS / COCO_STEPS
    our_refresh = (seconds["our_reading"] / sample * BANK + seconds["drawing"]) / COCO_STEPS
    encode = seconds["encoding"] / 256 * BANK / COCO_STEPS
    both = seconds["products"] + seconds["weights"] + encode
    published = seconds["published_membership"] + published_refresh
    ours = seconds["our_membership"] + our_refresh

    def row(name: str, theirs: float, mine: float, asked: str = "") -> list[object]:
        return [name, 1e3 * theirs, 1e3 * mine, theirs / mine, asked]

    return [
        row("rows that stay, per step", seconds["published_membership"], seconds["our_membership"]),
        row("reading for the refresh, per step", published_refresh, our_refresh),
        row("membership and refresh together", published, ours, ">= 5"),
        row("  products, batch x bank", seconds["products"], seconds["products"]),
        row("  nearest rows and weights", seconds["weights"], seconds["weights"]),
        row("  encoding the drawn rows, per step", encode, encode),
        row("everything the bank adds to a step", published + both, ours + both),
    ]


def vsepp_step(procedure: str, pairs: Pairs, *image_shape: int) -> Callable[[], None]:
    """Make a VSE++ network and return its training step on a batch of images [BATCH, *image_shape]."""
    network = VSEpp(image_shape, VOCABULARY)
    optimizer = adam_of(procedure, network.parameter_groups(1e-4))
    lengths = torch.randint(9, 17, (BATCH,)).sort(descending=True).values
    tokens = random_words(BATCH, int(lengths[0]), vocabulary=VOCABULARY)
    batch = PairBatch(
        images=torch.rand(BATCH, *image_shape),
        captions=tokens,
        lengths=lengths,
        image_ids=pairs.image_ids,
        caption_ids=pairs.caption_ids,
        descriptions=pairs.descriptions,
    )
    objective = MaxHinge()

    def step() -> None:
        with with_grus_of(procedure):
            optimizer.zero_grad()
            images, captions = network.encode_images(batch), network.encode_captions(batch)
            objective(network.similarity(images, captions), pairs).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 2.0)
            optimizer.step()

    return step


def shares_of_a_step(rounds: int) -> list[list[object]]:
    """Measure the share of a VSE++ step that each objective takes."""
    pairs = random_pairs(BATCH)
    step = vsepp_step("ours", pairs, FEATURES)
    pairs.images, pairs.captions = unit(BATCH), unit(BATCH)
    scores = (pairs.images @ pairs.captions.T).requires_grad_()
    objectives = {name: backward_from_scores(kind(), scores, pairs) for name, kind in OBJECTIVES.items()}
    # The step takes its turn among the objectives, so that a busy machine slows both.
    seconds = race(rounds, 1, step=step, **{name: partial(times, TURNS, work) for name, work in objectives.items()})
    whole = seconds.pop("step")
    costs = {name: total / TURNS for name, total in seconds.items()}
    return [[name, 1e3 * cost, 1e3 * whole, 100 * cost / whole, "<= 3"] for name, cost in costs.items()]


def times(count: int, work: Callable[[], object]) -> None:
    """Work so many times."""
    for _ in range(count):
        work()


def main() -> None:
    """Print the tables of objectives."""
    parser = argparse.ArgumentParser(description="CPU time of the objectives.")
    parser.add_argument("--rounds", type=int, default=60, help="rounds of the short measurements")
    parser.add_argument("--one", nargs=2, metavar=("WHAT", "PROCEDURE"), help=f"LUWM, HAL or VSE++; {PROCEDURES}")
    given = parser.parse_args()
    rounds = given.rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if given.one:
        print(json.dumps({"cpu_s": seconds_of(*given.one)}))
        return

    def show(title: str, heads: list[str], rows: list[list[object]]) -> None:
        print(f"\n{title}")
        print(tabulate(rows, headers=heads, floatfmt=("", ".2f", ".2f", ".2f", "")), flush=True)

    show(
        f"Objectives, forward and backward, B = {BATCH} (CPU ms, one thread)",
        ["", "first", "second", "ratio", "asked"],
        against_loops_and_each_other(rounds),
    )
    with TemporaryDirectory() as folder:
        rows = bank(rounds, Path(folder))
    show(
        f"HAL's bank of {BANK:,} rows, D = {EMBED}, B = {BANK_BATCH}, {COCO_STEPS:,} steps an epoch (CPU ms a step)",
        ["", "published", "ours", "ratio", "asked"],
        rows,
    )
    show(
        f"Share of a VSE++ training step, B = {BATCH}, global features of {FEATURES}, E = {EMBED} (CPU ms)",
        ["objective", "objective", "step", "percent", "asked"],
        shares_of_a_step(rounds),
    )


if __name__ == "__main__":
    main()
