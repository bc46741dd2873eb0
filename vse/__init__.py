"""Visual-semantic embeddings for image-text retrieval: the library behind the networks of this repository.

Folders, each of which imports only from those before it: `formats`, `published` (formats of the original code), `text`,
`descriptions`, `data`, `losses` and `nn`, `evaluation`, then `training`, `inference` (trained networks), `search` and
`tools`.

Terms, each with one meaning:

image               the item that is retrieved or described; its input is features or a picture
picture             an image file, or its pixels
region              a part of an image with a feature vector, as an object detector finds it
patch               a part of a picture, cut by a regular grid
caption             a sentence that describes an image
pair                an image and a caption; a matching pair if the caption describes the image, else a negative
score               how well an image and a caption match; larger is better
rank                the position of an item among all candidates sorted by score, from 0
encoding            what a network computes for an image or a caption alone; scores are computed from encodings
embedding           an encoding that is one vector in the joint space of images and captions
objective           the loss that training minimises, computed from the scores of a batch
margin              the amount by which an objective wants a matching pair to outscore a negative
hard negative       a negative with a high score; the hardest has the highest of its row or column
description vector  a vector of a caption's word statistics or meaning, from which LSEH derives its margins
split               a part of a data set: train, dev or test
fold                a part of a test split, evaluated by itself
the original code   the authors' released code; for LSEH, the fork that its paper released

Axis letters of shapes:

B  items of a batch: images, captions or pairs
N  images of a split or an encoding; n, those of a block
M  captions of a split or an encoding; m, those of a block
R  regions of an image
T  tokens (words, word pieces) of a caption, padding included
D  size of the input features
E  size of the joint space
K  components of a description vector
S  size of a similarity vector (SGRAF)
"""

from importlib import import_module
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

REPOSITORY = Path(__file__).resolve().parent.parent
"""Folder of the checkout: holds `data/` (data sets), `output/` (description vectors) and the network folders."""

PUBLIC = {"load": "vse.inference.model", "Model": "vse.inference.model"}
"""Public name -> its module, imported when the name is first used: torch takes a second."""


def __getattr__(name: str) -> Any:
    """Import a public name."""
    if name not in PUBLIC:
        raise AttributeError(f"module 'vse' has no attribute {name!r}")
    return getattr(import_module(PUBLIC[name]), name)
