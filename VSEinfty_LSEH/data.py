"""What a batch of VSE-infinity holds: regions or a picture, and a caption's words or word pieces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from vse.data.batches import EvaluationData, PairDataset
from vse.data.datasets import DEV_IMAGES, Split, find_data_set, open_split
from vse.data.images import SquareTransform, picture_splits
from vse.data.loading import TrainingData
from vse.descriptions.prepare import find_or_make
from vse.distributed import first_process_first
from VSEinfty_LSEH.text import Words
from VSEinfty_LSEH.wordpieces import WordPieces


@dataclass
class InputOptions:
    """Which images and which text."""

    precomp_enc_type: Literal["basic", "backbone"] = "basic"
    """basic: precomputed regions; backbone: pictures, read by a CNN."""
    backbone_source: Literal["detector", "imagenet", "imagenet_res50", "imagenet_res152", "imagenet_resnext", "wsl"] = (
        "detector"
    )
    """Grids: the CNN and what it was trained on (see README.md)."""
    backbone_path: str = ""
    """Grids: file of the CNN's weights; without it the detector starts at random, the others are fetched."""
    input_scale_factor: float = 1.0
    """Grids: pictures are squeezed into a square of 256 times so many pixels."""
    skip_broken: bool = False
    """Grids: decode every picture before the start and leave out those that fail."""
    text_encoder: Literal["bert", "bigru"] = "bert"
    """bert: word pieces; bigru: words and a GRU in both directions."""
    bert: str = "bert-base-uncased"
    """BERT: a folder as transformers writes it, or a name on the Hugging Face hub or in its cache."""


def split_opener(options: InputOptions) -> Callable[..., Split]:
    """(folder, split, img_dim, first_images) -> Split, with regions or with pictures."""
    if options.precomp_enc_type == "basic":
        return open_split
    transform = SquareTransform(options.backbone_source, options.input_scale_factor)
    return picture_splits(transform, skip_broken=options.skip_broken)


def training_data(options: Any, needs_descriptions: bool) -> TrainingData[Words | WordPieces]:
    """Train and dev split, text, and description vectors if the objective reads them; captions are augmented.

    Raises:
        InputError: something is missing, damaged or does not belong together.
    """
    with first_process_first():
        folder = find_data_set(options.data_path, options.data_name)
        opener = split_opener(options)
        split = opener(folder, "train", options.img_dim)
        dev = opener(folder, "dev", options.img_dim, DEV_IMAGES)
        text: Words | WordPieces
        if options.text_encoder == "bert":
            text = WordPieces.find(options.bert)
        else:
            text = Words.find(options.vocab_path, options.data_name, folder)
        descriptions = None
        if needs_descriptions:
            descriptions = find_or_make(folder, split.captions_file, len(split.captions))
    pairs = PairDataset(split, text.captions(split.captions_file), descriptions, options.seed, augment=True)
    return TrainingData(pairs, EvaluationData(dev, text.captions(dev.captions_file), options.batch_size), text)
