"""What the evaluation scripts share: a checkpoint, a split, the table of recalls, files of scores and metrics."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor
from tqdm import tqdm

from vse import checkpoints
from vse.console import say
from vse.data.batches import EvaluationData
from vse.data.datasets import Split, find_data_set, find_vocabulary, holds_splits, open_split
from vse.distributed import choose_device
from vse.evaluation.ranking import evaluate
from vse.evaluation.reports import recall_table, save_json
from vse.evaluation.scoring import Block, save_similarities, score_split
from vse.nn.network import Network
from vse.options import EvaluationOptions
from vse.text.captions import token_ids
from vse.text.vocabulary import Vocabulary

Options = TypeVar("Options", bound=EvaluationOptions)


@dataclass
class Trained:
    """A checkpoint's content, ready to be built into a network."""

    path: Path
    options: Any  # the training script's options, as the network was trained
    vocabulary: dict[str, Any] | None  # None in a published checkpoint
    state: Any  # state dict; of a published checkpoint its list of state dicts
    published: bool


def load_trained(path: str | Path, network: str, options_type: type[Any]) -> Trained:
    """Read a checkpoint for evaluation; options that the training script does not know (any more) are left out.

    Raises:
        InputError: missing, damaged or of another network.
    """
    content = checkpoints.load(Path(path), network)
    known = {field.name for field in fields(options_type)}
    options = replace(options_type(), **{key: value for key, value in content["options"].items() if key in known})
    return Trained(
        Path(path), options, content.get("vocabulary"), content["model"], bool(content.get("published", False))
    )


def restore(network: Network, trained: Trained) -> Network:
    """Load a checkpoint's weights into a network built from its options."""
    state = trained.state
    if trained.published:
        state = network.import_published(state, vars(trained.options))
    checkpoints.load_state(network, state, trained.path)
    return network


def evaluation_split(
    options: EvaluationOptions, trained: Trained, open_named_split: Callable[..., Split] = open_split
) -> tuple[Split, Path]:
    """The split that the options ask for, by default of the data the model was trained on, and its folder."""
    data_path, data_name = options.data_path, options.data_name
    if data_path is None and data_name is None:
        data_path, data_name = trained.options.data_path, trained.options.data_name
    elif data_name is None and not holds_splits(Path(str(data_path))):
        data_name = trained.options.data_name
    folder = find_data_set(data_path, data_name)
    name = options.split
    if name is None:
        name = "testall" if options.fold5 and (folder / "testall_caps.txt").exists() else "test"
    return open_named_split(folder, name), folder


def on_iaprtc12(options: Options) -> Options:
    """The options with IAPR TC-12 as the data set under `--data_path`; published checkpoints call it f30k_precomp."""
    if options.data_path is not None and options.data_name is None:
        return replace(options, data_name="iaprtc12")
    return options


def words_of(
    split: Split, folder: Path, options: EvaluationOptions, trained: Trained, tokeniser: str = "punkt"
) -> tuple[Vocabulary, EvaluationData]:
    """The vocabulary of a checkpoint (a published one: of `--vocab_path`) and the split's captions read with it.

    Args:
        tokeniser: what the captions of a published checkpoint were read with; ours carries its own.
    """
    if trained.vocabulary is not None:
        vocabulary, location = Vocabulary.from_state(trained.vocabulary), None
    else:
        data_name = options.data_name or trained.options.data_name
        vocabulary, location = find_vocabulary(options.vocab_path, data_name, folder, tokeniser=tokeniser)
    return vocabulary, EvaluationData(split, token_ids(split.captions_file, vocabulary, location), options.batch_size)


def progress_bar(blocks: Sequence[Block]) -> Any:
    """A bar over the blocks of scores, on a terminal."""
    return tqdm(blocks, desc="scoring", unit="block", leave=False, disable=not sys.stderr.isatty())


def score(network: Network, data: EvaluationData, options: EvaluationOptions) -> Tensor:
    """Scores [images, captions] of a network on a split, on the device of the options."""
    device = choose_device(options.device)
    budget = int(options.memory_budget * 2**30)
    return score_split(network.to(device), data, device, memory_budget=budget, progress=progress_bar)


def report(scores: Tensor, split: Split, options: EvaluationOptions, title: str) -> dict[str, Any]:
    """Print the table of recalls of a split's scores and write what the options ask for -> all metrics."""
    metrics: dict[str, Any] = evaluate(scores, split.caption_image)
    say(recall_table(metrics, title))
    if options.fold5:
        metrics = {**metrics, "fold5": evaluate(scores, split.caption_image, fold5=True)}
        say(recall_table(metrics["fold5"], f"{title}, mean of five folds"))
    if options.save_similarities is not None:
        save_similarities(options.save_similarities, scores)
        say(f"similarities {list(scores.shape)}: {options.save_similarities}")
    if options.json is not None:
        save_json(options.json, metrics)
    return metrics
