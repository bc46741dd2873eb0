"""From checkpoints to scores, tables and files: the work of every evaluation script."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import Tensor
from tqdm import tqdm

from vse import networks
from vse.console import say
from vse.data.batches import EvaluationData
from vse.data.datasets import holds_splits, locate_data_set
from vse.data.digests import describe_split
from vse.data.loading import Text, open_evaluation_data
from vse.distributed import choose_device, leave, start
from vse.evaluation.judgments import Judgments, graded_relevance, read_split_judgments
from vse.evaluation.ranking import evaluate
from vse.evaluation.reports import evaluation_record, recall_table, save_evaluation
from vse.evaluation.scoring import Block, ensemble, save_similarities, score_split
from vse.files import check_writable
from vse.memory import keep_freed
from vse.networks import NetworkFolder, Trained
from vse.nn.network import Network
from vse.options import DataOptions, EvaluationOptions

Adapt = Callable[[Trained], Trained]
"""Changes a checkpoint's options before its network is built."""


@dataclass
class EvaluatedModel:
    """A network with its weights, and the split to evaluate, as the network reads it."""

    trained: Trained
    network: Network
    text: Text
    data: EvaluationData
    judgments: Judgments | None = None


def open_models(
    folder: NetworkFolder | None, options: EvaluationOptions, adapt: Adapt = lambda trained: trained
) -> list[EvaluatedModel]:
    """Open `--model_path` and the checkpoints of `--ensemble`, all on the split that the first one is evaluated on.

    Args:
        folder: the network that they must be of; None takes any network of ours.
        adapt: changes each checkpoint's options before its network is built.

    Raises:
        InputError: checkpoints or data are missing, damaged or do not belong together, or results cannot be written.
    """
    check_writable(options.save_similarities, options.json)
    first = open_model(options.model_path, folder, options, adapt)
    split = first.data.split
    folder_of_split = str(split.captions_file.parent)
    same = replace(options, data_path=folder_of_split, data_name=None, split=split.name, annotations=None)
    return [first, *(open_model(path, folder, same, adapt) for path in options.ensemble)]


def open_model(path: str, folder: NetworkFolder | None, options: EvaluationOptions, adapt: Adapt) -> EvaluatedModel:
    """Open one checkpoint and the split that the options ask for; see `open_models`."""
    trained = adapt(networks.load(path, folder))
    reader = trained.reader
    data_folder = evaluation_folder(options, trained.data)
    split = reader.open_split(data_folder, split_name(options, data_folder))
    # The words of a checkpoint are those of the data it was trained on, whatever it is evaluated on.
    words = DataOptions(data_name=trained.data.data_name or options.data_name, vocab_path=options.vocab_path)
    text = trained.locate_text(words, data_folder)
    data = open_evaluation_data(split, reader, text, options.batch_size, options.max_words)
    judgments = None
    if options.annotations is not None:
        images = len(split.images)
        judgments = read_split_judgments(options.annotations, data_folder, split.name, images, split.caption_image)
    return EvaluatedModel(trained, trained.network(split.images.shape, text), text, data, judgments)


def evaluation_folder(options: EvaluationOptions, trained_on: DataOptions) -> Path:
    """Find the data set folder that the options name; default: that of the training data."""
    data_path, data_name = options.data_path, options.data_name
    if data_path is None and data_name is None:
        data_path, data_name = trained_on.data_path, trained_on.data_name
    elif data_name is None and not holds_splits(Path(str(data_path))):
        data_name = trained_on.data_name
    return locate_data_set(data_path, data_name)


def split_name(options: EvaluationOptions, folder: Path) -> str:
    """Return the split of the options; default: test, with `--fold5` testall where there is one."""
    if options.split is not None:
        return options.split
    return "testall" if options.fold5 and (folder / "testall_caps.txt").exists() else "test"


def progress_bar(blocks: Sequence[Block]) -> Any:
    """Show a bar over the blocks of scores, on a terminal."""
    return tqdm(blocks, desc="scoring", unit="block", leave=False, disable=not sys.stderr.isatty())


@contextmanager
def joined(device: str | None) -> Iterator[bool]:
    """Join the processes that torchrun started, for the work inside -> whether this is the first, which reports."""
    rank, _, place = start(choose_device(device))
    keep_freed(place.type)
    yield rank == 0
    leave()


def score(model: EvaluatedModel, options: EvaluationOptions) -> Tensor:
    """Score a model's split on the device of the options -> float32 [images, captions] on the CPU.

    Processes that have `joined` share the work.
    """
    device = choose_device(options.device)
    budget = int(options.memory_budget * 2**30)
    network = model.network.to(device)
    return score_split(network, model.data, device, memory_budget=budget, progress=progress_bar, share=True)


def title(models: Sequence[EvaluatedModel]) -> str:
    """Name the checkpoints and the split that they are evaluated on."""
    paths = " and ".join(str(model.trained.path) for model in models)
    split = models[0].data.split
    mean = "mean of " if len(models) > 1 else ""
    return f"{mean}{paths} on {split.captions_file.parent.name} {split.name}"


def report(
    scores: Tensor,
    models: Sequence[EvaluatedModel],
    options: EvaluationOptions,
    more: Mapping[str, Any] = MappingProxyType({}),
    protocol: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Print the table of recalls, write what the options ask for, and return all metrics.

    Args:
        scores: [images, captions] of the models' split.
        more: further metrics for `--json`.
        protocol: what makes the result unlike others besides the data, such as reranking.
    """
    split = models[0].data.split
    metrics: dict[str, Any] = {**evaluate(scores, split.caption_image), **more}
    say(recall_table(metrics, title(models)))
    if (judgments := models[0].judgments) is not None:
        graded = graded_relevance(scores[judgments.image, judgments.caption].numpy(), judgments, split.caption_image)
        shown = ", ".join(f"{name} {value:.3f}" for name, value in graded.items())
        say(f"foreign pairs that people graded: {shown or 'none'}")
        metrics |= graded
    if options.fold5:
        metrics["fold5"] = evaluate(scores, split.caption_image, fold5=True)
        say(recall_table(metrics["fold5"], f"{title(models)}, mean of five folds"))
    if options.save_similarities is not None:
        save_similarities(options.save_similarities, scores)
        say(f"scores {list(scores.shape)}: {options.save_similarities}")
    if options.json is not None:
        described = [model.trained.describe() for model in models]
        record = evaluation_record(described, describe_split(split), choose_device(options.device), protocol)
        save_evaluation(options.json, metrics, scores, split.caption_image, record)
        say(f"metrics, ranks and record: {options.json}")
    return metrics


def run_evaluation(
    folder: NetworkFolder, options: EvaluationOptions, adapt: Adapt = lambda trained: trained
) -> dict[str, Any]:
    """Evaluate a checkpoint, or the mean of several, and report.

    Under torchrun the processes share the scores; the first one reports.
    """
    with joined(options.device) as first:
        models = open_models(folder, options, adapt)
        scores = ensemble([score(model, options) for model in models])
        return report(scores, models, options) if first else {}
