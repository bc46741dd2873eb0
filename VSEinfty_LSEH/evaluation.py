"""Evaluate trained VSE-infinity networks: recall of caption and image retrieval on a test split.

python eval.py
python eval.py --model_path runs/regions/model_best.pth.tar --ensemble runs/grids/model_best.pth.tar
"""

# What `python train.py` saves; any checkpoint of ours or the published code.
MODEL_PATH = "runs/runX/model_best.pth.tar"
# Folder of the data sets; None: the data that the (first) model was trained on.
DATA_PATH = None

from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from vse.cli import run
from vse.data.batches import EvaluationData
from vse.data.datasets import Split
from vse.evaluation.scoring import ensemble
from vse.evaluation.script import Trained, evaluation_split, load_trained, report, restore, score
from vse.options import EvaluationOptions
from vse.text.vocabulary import Vocabulary
from VSEinfty_LSEH import data, train
from VSEinfty_LSEH.text import Words
from VSEinfty_LSEH.wordpieces import WordPieces


@dataclass
class Options(EvaluationOptions):
    """What to evaluate."""

    ensemble: tuple[str, ...] = ()
    """Further checkpoints: evaluate the mean of all models' similarities."""
    bert: str = "bert-base-uncased"
    """Folder or hub name of the BERT whose word pieces a published checkpoint reads; ours carry their own."""


DEFAULTS = {"model_path": MODEL_PATH, "data_path": DATA_PATH}


def load(path: str) -> Trained:
    """A checkpoint; of a published one, the text encoder shows in the names of its tensors."""
    trained = load_trained(path, train.NAME, train.Options)
    if trained.published:
        bert = any(name.removeprefix("module.").startswith("bert.") for name in trained.state[1])
        trained.options = replace(trained.options, text_encoder="bert" if bert else "bigru")
    return trained


def text_of(trained: Trained, options: Options, folder: Path) -> Words | WordPieces:
    """The text of a checkpoint, or of a published one that of `--bert` or `--vocab_path`."""
    if trained.options.text_encoder == "bert":
        if trained.vocabulary is None:
            return WordPieces.find(options.bert)
        return WordPieces(trained.vocabulary["tokenizer"], trained.vocabulary["shape"])
    if trained.vocabulary is None:
        return Words.find(options.vocab_path, trained.options.data_name, folder)
    return Words(Vocabulary.from_state(trained.vocabulary))


def evaluate(path: str, options: Options) -> tuple[Tensor, Split, Path]:
    """Scores [images, captions] of a checkpoint, the split they are of, and its folder."""
    trained = load(path)
    split, folder = evaluation_split(options, trained, data.split_opener(trained.options))
    text = text_of(trained, options, folder)
    network = restore(train.build(trained.options, split.images.shape, text, pretrained=False), trained)
    captions = text.captions(split.captions_file)
    return score(network, EvaluationData(split, captions, options.batch_size), options), split, folder


def main(options: Options) -> None:
    """Print the recall table; write similarities and metrics if asked."""
    scores, split, folder = evaluate(options.model_path, options)
    # The others see the first one's data, each in its own way: regions or pictures.
    same_data = replace(options, data_path=str(folder), data_name=None)
    others = [evaluate(path, same_data)[0] for path in options.ensemble]
    models = " + ".join([options.model_path, *options.ensemble])
    report(ensemble([scores, *others]), split, options, f"{models} on {folder.name} {split.name}")


if __name__ == "__main__":
    run(main, Options, defaults=DEFAULTS)
