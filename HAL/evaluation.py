"""Evaluate trained HAL networks: recall of caption and image retrieval, and hubness, on a test split."""

# What `python train.py` saves; any checkpoint of ours or of the original code.
MODEL_PATH = "runs/runX/model_best.pth.tar"
# Folder of the data sets; None: the data that the model was trained on.
DATA_PATH = None

from dataclasses import dataclass, replace

from HAL.network import FOLDER, Tokeniser
from vse.cli import run
from vse.errors import InputError
from vse.networks import Trained
from vse.options import EvaluationOptions, Maybe


@dataclass
class Options(EvaluationOptions):
    """What to evaluate, and what to write."""

    tokeniser: Maybe[Tokeniser] = None
    """Tokeniser for a checkpoint of the original code; default: bytes-repr for HAL's, punkt for others."""


def with_tokeniser(trained: Trained, options: Options) -> Trained:
    """Let `--tokeniser` set the tokeniser of a checkpoint of the original code; ours contain theirs.

    Raises:
        InputError: it contradicts a checkpoint of ours.
    """
    if options.tokeniser in (None, trained.options.tokeniser):
        return trained
    if not trained.published:
        raise InputError(
            f"--tokeniser {options.tokeniser}: {trained.path} was trained with {trained.options.tokeniser}; leave the "
            "flag out"
        )
    return replace(trained, options=replace(trained.options, tokeniser=options.tokeniser))


def main(options: Options) -> None:
    """Print the recall table; write scores and metrics if asked."""
    from vse.evaluation.script import run_evaluation

    run_evaluation(FOLDER, options, lambda trained: with_tokeniser(trained, options))


if __name__ == "__main__":
    run(main, Options, defaults={"model_path": MODEL_PATH, "data_path": DATA_PATH})
