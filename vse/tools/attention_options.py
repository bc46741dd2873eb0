"""The options of the networks' visualize.py, in a module that --help imports without torch."""

from __future__ import annotations

from dataclasses import dataclass

from vse.ranges import AtLeast0


@dataclass
class AttentionOptions:
    """What to draw."""

    model_path: str = "runs/runX/model_best.pth.tar"
    """Checkpoint of the network, ours or of the original code."""
    data_path: str | None = None
    """Folder that holds the data set folders; default: where the checkpoint's training data was."""
    data_name: str | None = None
    """Data set; default: the one the checkpoint was trained on."""
    vocab_path: str | None = None
    """Folder of the vocabulary, for a checkpoint of the original code, which carries none; default: the data set's."""
    split: str | None = None
    """Split; default: test."""
    image: AtLeast0 = 0
    """Image, counted from 0 in the split."""
    caption: AtLeast0 | None = None
    """Caption, its line in the caption file counted from 0; default: the image's first."""
    text: str | None = None
    """A caption of your own in place of one of the split's."""
    pictures: str | None = None
    """Folder of the picture files; default: where the data set says."""
    out: str | None = None
    """Folder of the PNG and the HTML page; default: attention/ beside the checkpoint."""
    device: str | None = None
    """cuda, mps or cpu; default: the first of them that is available."""
