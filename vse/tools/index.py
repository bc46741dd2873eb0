"""`python -m vse index MODEL DATA --out INDEX`: encode images and captions once, to be searched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from vse.console import say
from vse.errors import InputError
from vse.files import writable_folder
from vse.inference.model import Model, load
from vse.options import Switch
from vse.ranges import AtLeast1
from vse.search import approximate
from vse.search.sources import open_sources
from vse.search.store import SIDES, Index


@dataclass
class Options:
    """Make an index of pictures or of a data set, to be searched by sentences and pictures."""

    model: Annotated[str, tyro.conf.Positional]
    """Checkpoint, folder of python -m vse export, or hf:owner/name."""
    data: Annotated[str, tyro.conf.Positional]
    """Folder of pictures, which need no captions; a picture; a data set folder, or its name under data/; or features
    [images, ...] in a .npy file."""
    out: str
    """Folder of the index; one that is there gets what is new, and what has changed is replaced."""
    split: str = "test"
    """Split of a data set."""
    features: str | None = None
    """Data set folder, or its features.json, that says how the features that the network reads are made of pictures;
    default: the training data's."""
    faiss: approximate.Kind | None = None
    """Add a FAISS index (extra [search]): flat, ivfpq for tens of thousands or more, or hnsw."""
    skip_broken: Switch = False
    """Leave out pictures that cannot be decoded, and name them."""
    batch_size: AtLeast1 = 128
    """Items encoded at a time."""
    device: str | None = None
    """cuda, mps or cpu; default: the first of them that is available."""


def main(options: Options) -> None:
    """Encode what is new and say how many items were added, replaced and left as they were.

    Raises:
        InputError: the network does not read the data, a picture cannot be decoded, or the index is of another model.
    """
    model = load(options.model, options.device, options.batch_size, options.features)
    if options.faiss is not None and not has_inner_products(model):
        raise InputError(
            f"--faiss {options.faiss}: the scores of this network are no inner products of vectors; leave it out, "
            "search chooses what it can"
        )
    sources = open_sources(model, options.data, options.split, options.skip_broken)
    index = Index(writable_folder(options.out, "--out"), head_of(model))
    for source in sources:
        changes = index.update(source.side, source.items, source.encode, source.chunk)
        say(
            f"{source.side}: {changes.added} added, {changes.replaced} replaced, {changes.unchanged} unchanged; "
            f"{index.rows(source.side)} in {options.out}"
        )
    index.save()
    for side in SIDES:
        if options.faiss is not None and index.rows(side):
            recall = approximate.build(index, side, options.faiss)
            say(f"{side}: FAISS {options.faiss}, recall@10 against exact search {recall:.1f} %")


def has_inner_products(model: Model) -> bool:
    """Return whether scores are inner products of vectors, by which FAISS searches."""
    return not model.pairwise and getattr(model.network, "measure", "cosine") == "cosine"


def head_of(model: Model) -> dict[str, object]:
    """Return what an index says of its network."""
    path = str(model.trained.path) if str(model.trained.path).startswith("hf:") else str(model.trained.path.resolve())
    return {
        "weights_sha256": model.digest,
        "network": model.trained.folder.name,
        "model": path,
        "extraction": None if model.extraction is None else dict(model.extraction),
    }
