"""Evaluate a trained VSRN network: recall of caption and image retrieval on a test split, and captions it generates.

python evaluation.py
python evaluation.py --captions 20                         generated captions beside the true ones, with BLEU-4
"""

# What `python train.py` saves; any checkpoint of ours or the published code.
MODEL_PATH = "runs/runX/model_best.pth.tar"
# Folder of the data sets; None: the data that the model was trained on.
DATA_PATH = None

import warnings
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vse.cli import run
from vse.console import say
from vse.data.datasets import Split
from vse.data.loading import check_regions
from vse.distributed import choose_device
from vse.errors import InputError
from vse.evaluation.reports import save_json
from vse.evaluation.scoring import evaluating
from vse.evaluation.script import evaluation_split, load_trained, report, restore, score, words_of
from vse.options import EvaluationOptions
from vse.text.tokens import tokenise
from vse.text.vocabulary import Vocabulary
from VSRN_LSEH import train
from VSRN_LSEH.model import VSRN


@dataclass
class Options(EvaluationOptions):
    """What to evaluate."""

    captions: int = 0
    """Generate captions of so many images, spread evenly over the split."""
    beam_size: int = 5
    """Beam of the generated captions that are printed beside the greedy ones."""


class Evaluated(NamedTuple):
    """A network on a split."""

    network: VSRN
    vocabulary: Vocabulary
    split: Split
    name: str  # of data set and split
    scores: Tensor  # [images, captions]


def evaluate(options: EvaluationOptions, model_path: str) -> Evaluated:
    """Score the split that the options ask for with a checkpoint.

    Raises:
        InputError: checkpoint or data are missing, damaged or do not belong together.
    """
    trained = load_trained(model_path, train.NAME, train.Options)
    if trained.published:
        trained.options = replace(trained.options, no_captioning=True)  # published checkpoints lack that branch
    split, folder = evaluation_split(options, trained)
    check_regions(split, train.NAME)
    # A published checkpoint's words are those of the data it was trained on, whatever it is evaluated on.
    vocabulary, data = words_of(split, folder, replace(options, data_name=None), trained)
    network = train.build(trained.options, split.images.shape, len(vocabulary))
    restore(network, trained)
    return Evaluated(network, vocabulary, split, f"{folder.name} {split.name}", score(network, data, options))


def show_captions(evaluated: Evaluated, options: Options) -> dict[str, float]:
    """Print generated and true captions of some images -> BLEU-4 over them, in percent.

    BLEU is NLTK's corpus BLEU (Papineni et al., ACL 2002), without smoothing, against all true captions of an image, on
    the tokens that the vocabulary's tokeniser makes of them.
    """
    from nltk.translate.bleu_score import corpus_bleu  # only needed here, and slow to import

    network, vocabulary, split = evaluated.network, evaluated.vocabulary, evaluated.split
    count = min(options.captions, len(split.images))
    images = np.linspace(0, len(split.images) - 1, count).round().astype(int)
    true = [[split.captions[k] for k in np.flatnonzero(split.caption_image == image)] for image in images]
    references = [[tokenise(caption, vocabulary.tokeniser) for caption in captions] for captions in true]
    beams = {"greedy": 1, "beam": options.beam_size}
    written = {name: generate(network, vocabulary, split, images, beam, options) for name, beam in beams.items()}

    for row, image in enumerate(images):
        lines = [(name, " ".join(captions[row])) for name, captions in written.items()]
        lines += [("true" if number == 0 else "", caption) for number, caption in enumerate(true[row])]
        say("\n".join([f"\nimage {image}", *(f"  {label:8}{text}" for label, text in lines)]))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "\\s*The hypothesis contains 0 counts")  # a BLEU of 0 says as much
        bleu = {f"bleu4_{name}": 100 * corpus_bleu(references, captions) for name, captions in written.items()}
    say(
        f"\nBLEU-4 over {count} images: greedy {bleu['bleu4_greedy']:.1f}, beam of {options.beam_size} "
        f"{bleu['bleu4_beam']:.1f}"
    )
    return bleu


def generate(
    network: VSRN, vocabulary: Vocabulary, split: Split, images: np.ndarray, beam_size: int, options: Options
) -> list[list[str]]:
    """The words that the network writes about each of these images."""
    assert network.captioner is not None
    device = choose_device(options.device)
    captions = []
    with evaluating(network):
        for chosen in torch.from_numpy(images).split(options.batch_size):
            regions = network.image_encoder(split.images.read(chosen.numpy()).to(device)).regions
            words, _ = network.captioner.generate(regions, beam_size)
            captions += [vocabulary.decode(ids).split(" ") for ids in words.tolist()]
    return captions


def main(options: Options) -> None:
    """Print the recall table and generated captions; write similarities and metrics if asked."""
    evaluated = evaluate(options, options.model_path)
    if options.captions and evaluated.network.captioner is None:
        raise InputError(
            f"--captions: {options.model_path} holds no caption-generation branch (a published checkpoint, or "
            "--no_captioning); train one with train.py"
        )
    metrics = report(evaluated.scores, evaluated.split, options, f"{options.model_path} on {evaluated.name}")
    if options.captions:
        metrics |= show_captions(evaluated, options)
        if options.json is not None:
            save_json(options.json, metrics)


if __name__ == "__main__":
    run(main, Options, defaults={"model_path": MODEL_PATH, "data_path": DATA_PATH})
