"""Evaluate a trained HAL network: recall of caption and image retrieval on a test split, and how many hubs it has."""

# What `python train.py` saves; any checkpoint of ours or the published code.
MODEL_PATH = "runs/runX/model_best.pth.tar"
# Folder of the data sets; None: the data that the model was trained on.
DATA_PATH = None

from dataclasses import dataclass

from HAL import train
from HAL.data import Tokeniser, split_opener
from vse.cli import run
from vse.data.batches import EvaluationData
from vse.errors import InputError
from vse.evaluation.script import Trained, evaluation_split, load_trained, report, restore, score, words_of
from vse.nn.network import Network
from vse.options import EvaluationOptions


@dataclass
class Options(EvaluationOptions):
    """What to evaluate."""

    tokeniser: Tokeniser | None = None
    """How a published checkpoint reads captions; default: bytes-repr for HAL's, punkt for others. Ours know theirs."""


def main(options: Options) -> None:
    """Print the recall table; write similarities and metrics if asked."""
    _, network, data, title = opened(options)
    report(score(network, data, options), data.split, options, title)


def opened(options: Options) -> tuple[Trained, Network, EvaluationData, str]:
    """The checkpoint, its network, the split read as the network reads it, and a title that says which they are.

    Raises:
        InputError: something is missing or does not fit, or `--tokeniser` contradicts the checkpoint.
    """
    trained = load_trained(options.model_path, train.NAME, train.Options)
    split, folder = evaluation_split(options, trained, split_opener(trained.options))
    # Only HAL's published options hold its constants: a checkpoint without them is VSE++'s, made with clean captions.
    own_words = "bytes-repr" if trained.options.local_alpha is not None else "punkt"
    vocabulary, data = words_of(split, folder, options, trained, options.tokeniser or own_words)
    if options.tokeniser not in (None, vocabulary.tokeniser):
        raise InputError(
            f"--tokeniser {options.tokeniser}: {trained.path} was trained with {vocabulary.tokeniser}; leave it out"
        )
    network = restore(train.build(trained.options, split.images, len(vocabulary), pretrained=False), trained)
    return trained, network, data, f"{options.model_path} on {folder.name} {split.name}"


if __name__ == "__main__":
    run(main, Options, defaults={"model_path": MODEL_PATH, "data_path": DATA_PATH})
