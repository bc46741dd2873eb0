"""`python -m vse index MODEL DATA --out INDEX`: encode images and captions once, for search."""

from __future__ import annotations

from vse.console import say, warn
from vse.data.pictures import first_of
from vse.errors import InputError
from vse.files import writable_folder
from vse.inference.extraction import of_index
from vse.inference.model import Model, load
from vse.search import approximate
from vse.search.sources import open_sources
from vse.search.store import SIDES, Index
from vse.tools.options import IndexOptions


def main(options: IndexOptions) -> None:
    """Encode new and changed items, and report the numbers of added, replaced and unchanged ones.

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
    model.extraction = of_index(
        index.head.get("extraction"), model.extraction, options.features is not None, index.folder
    )
    index.head |= head_of(model)
    for source in sources:
        gone = index.remove_gone(source.side, source.place, {item.key for item in source.items})
        if gone:
            warn(f"{options.data}: {len(gone)} {source.side} are no longer there and are removed: {first_of(gone)}")
        changes = index.update(source.side, source.items, source.encode, source.chunk)
        say(
            f"{source.side}: {changes.added} added, {changes.replaced} replaced, {len(gone)} removed, "
            f"{changes.unchanged} unchanged; {index.rows(source.side)} in {options.out}"
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
