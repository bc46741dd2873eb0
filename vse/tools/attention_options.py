"""The options of the networks' visualize.py, in a module that --help imports without torch."""

from __future__ import annotations

from dataclasses import dataclass

from vse.options import Maybe
from vse.ranges import AtLeast0


@dataclass
class AttentionOptions:
    """What to draw."""

    model_path: str = "runs/runX/model_best.pth.tar"
    """Checkpoint of the network, ours or the original code's."""
    data_path: Maybe[str] = None
    """Folder that holds the data set folders; default: where the checkpoint's training data was."""
    data_name: Maybe[str] = None
    """Data set; default: the one the checkpoint was trained on."""
    vocab_path: Maybe[str] = None
    """Folder of the vocabulary for a checkpoint of the original code, which has none; default: the data set's."""
    split: Maybe[str] = None
    """Split; default: test."""
    image: AtLeast0 = 0
    """Index of the image in the split, from 0."""
    caption: Maybe[AtLeast0] = None
    """Line of the caption in the caption file, from 0; default: the image's first caption."""
    text: Maybe[str] = None
    """A caption of your own instead of one of the split's."""
    pictures: Maybe[str] = None
    """Folder of the picture files; default: that of the data set."""
    out: Maybe[str] = None
    """Folder of the PNG and the HTML page; default: attention/ beside the checkpoint."""
    device: Maybe[str] = None
    """cuda, mps or cpu; default: the first that is available."""
