"""Captions that a trained VSRN generates, beside the true ones."""

from __future__ import annotations

import warnings
from typing import cast

import numpy as np
import torch
from nltk.translate.bleu_score import corpus_bleu

from vse.console import say
from vse.data.batches import image_batch
from vse.data.datasets import Split
from vse.evaluation.scoring import evaluating
from vse.evaluation.script import EvaluatedModel
from vse.text.tokens import tokenise
from vse.text.vocabulary import Vocabulary
from VSRN_LSEH.model import VSRN


def show_captions(model: EvaluatedModel, count: int, beam_size: int, batch_size: int) -> dict[str, float]:
    """Print generated and true captions of some images, and return BLEU-4 over them, in percent.

    BLEU is NLTK's corpus BLEU (Papineni et al., ACL 2002), without smoothing, against all true captions of an image, on
    the tokens that the vocabulary's tokeniser makes of them.

    Args:
        count: number of images, spread evenly over the split.
        beam_size: beam of the captions that are printed beside the greedy ones.
        batch_size: images at a time.
    """
    network, split = cast(VSRN, model.network), model.data.split
    vocabulary = model.text.vocabulary  # type: ignore[attr-defined]
    count = min(count, len(split.images))
    images = np.linspace(0, len(split.images) - 1, count).round().astype(int)
    true = [[split.captions[k] for k in np.flatnonzero(split.caption_image == image)] for image in images]
    references = [[tokenise(caption, vocabulary.tokeniser) for caption in captions] for captions in true]
    beams = {"greedy": 1, "beam": beam_size}
    written = {name: generate(network, vocabulary, split, images, beam, batch_size) for name, beam in beams.items()}

    for row, image in enumerate(images):
        lines = [(name, " ".join(captions[row])) for name, captions in written.items()]
        lines += [("true" if number == 0 else "", caption) for number, caption in enumerate(true[row])]
        say("\n".join([f"\nimage {image}", *(f"  {label:8}{text}" for label, text in lines)]))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "\\s*The hypothesis contains 0 counts")  # a BLEU of 0 says as much
        bleu = {f"bleu4_{name}": 100 * corpus_bleu(references, captions) for name, captions in written.items()}
    say(
        f"\nBLEU-4 over {count} images: greedy {bleu['bleu4_greedy']:.1f}, beam of {beam_size} {bleu['bleu4_beam']:.1f}"
    )
    return bleu


def generate(
    network: VSRN, vocabulary: Vocabulary, split: Split, images: np.ndarray, beam_size: int, batch_size: int
) -> list[list[str]]:
    """Return the words that the network generates for each of these images."""
    if network.captioner is None:
        raise ValueError("the network has no caption-generation branch")
    device = next(network.parameters()).device
    captions = []
    with evaluating(network):
        for chosen in torch.from_numpy(images).split(batch_size):
            batch = image_batch(split, chosen.numpy()).to(device)
            regions = network.image_encoder(batch.images, batch.region_lengths).regions
            words, _ = network.captioner.generate(regions, beam_size, batch.region_lengths)
            captions += [vocabulary.decode(ids).split(" ") for ids in words.tolist()]
    return captions
