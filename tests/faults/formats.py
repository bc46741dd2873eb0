"""Hostile files of every format that is read besides checkpoints: made by hand, and sound ones that were damaged."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.data.sources import examples
from tests.faults.by_hand import (
    EVERY,
    HDF5,
    JSON,
    LMDB,
    LMDB_VALUES,
    NPY,
    NPZ,
    PICTURES,
    SAFETENSORS,
    TOML,
    TSV,
    VOCABULARY,
    Content,
    picture,
    sound_hdf5,
    write_array,
    write_hdf5,
    write_lmdb,
)
from tests.faults.rows import damaged
from tests.search.indexed import build
from tests.trained import write_checkpoint
from vse.data.annotations import json_rows
from vse.data.datasets import open_split
from vse.data.features import open_features
from vse.data.ids import read_caption_image
from vse.data.images import open_picture
from vse.data.listings import read_pictures
from vse.data.sources.open import open_source
from vse.data.tables import read_table
from vse.descriptions import kinds, store
from vse.evaluation.arrays import read_arrays
from vse.evaluation.reports import load_evaluation
from vse.inference.extraction import read_extraction
from vse.networks import load as load_network
from vse.published.sizes import read_sizes
from vse.published.vocabularies import read_vocabulary, words_in_order
from vse.search import approximate
from vse.search.store import Index
from vse.text.captions import read_captions
from vse.text.vocabulary import Vocabulary
from vse.tools.plans import read_plan, tasks_of


@dataclass(frozen=True)
class Format:
    """A kind of file: how a sound one is written and how it is read."""

    name: str
    write: Callable[[Path], object]
    """Writes a sound file, and what belongs beside it."""
    read: Callable[[Path], object]
    by_hand: Mapping[str, Content] = field(default_factory=dict)


def read_source(path: Path) -> None:
    """Read all features of a file, as `convert` does."""
    source = open_source(path)
    try:
        images = examples.collected(source, axes="auto")
        for place in range(len(images.entries)):
            images.read(place)
            images.boxes(place)
    finally:
        source.close()


def beside(write: Callable[[Path], object], **files: str) -> Callable[[Path], None]:
    """Write text files beside a file."""

    def write_all(path: Path) -> None:
        write(path)
        for name, content in files.items():
            path.with_name(name.replace("__", ".")).write_text(content)

    return write_all


def write_index(path: Path) -> None:
    """Write an index beside a file that it is, `images.faiss` of a flat or another kind included."""
    path.parent.rmdir()  # where `build` makes it
    _, index, _ = build(path.parent.parent)
    approximate.build(index, "images", "hnsw" if path.suffix == ".faiss" else "flat")


CAPTIONS = "a dog\n" * 30
LINES = "".join(f"{number}.jpg,a dog {number}\n" for number in range(30))
KARPATHY = {
    "images": [
        {"filename": f"{n}.jpg", "split": ("train", "val", "test")[n % 3], "imgid": n, "sentids": [n],
         "sentences": [{"raw": "a dog", "sentid": n, "tokens": ["a", "dog"]}]}
        for n in range(9)
    ],
    "dataset": "mine",
}  # fmt: skip
COCO = {
    "images": [{"id": n, "file_name": f"{n}.jpg"} for n in range(9)],
    "annotations": [{"id": n, "image_id": n, "caption": "a dog"} for n in range(9)],
}
RECORD = {"model": "resnet18", "weights": "by name", "asked": {"regions": 3, "grid": None, "image_size": None,
          "dtype": "float16", "batch_size": 2}}  # fmt: skip
PLAN = '[networks]\nA = "VSEpp_LSEH/train.py --embed_size 8"\n[objectives]\nlseh = ""\nlmh = "--loss lmh"\n'


def as_json(value: Any) -> Callable[[Path], None]:
    return lambda path: path.write_text(json.dumps(value)) and None


def as_text(text: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(text) and None


def write_exported(path: Path) -> None:
    """Export a model into the folder of a file that belongs to it."""
    from vse.tools import export
    from vse.tools.options import ExportOptions

    write_checkpoint(path.parent / "model.pth.tar")
    export.main(ExportOptions(str(path.parent / "model.pth.tar"), str(path.parent / "made")))
    for file in (path.parent / "made").iterdir():
        file.rename(path.with_name(file.name))


def split_file(path: Path) -> None:
    """Write a split that a file belongs to."""
    np.save(
        path.with_name("test_ims.npy"), np.ones((30, 300), np.float32) * np.arange(1, 31, dtype=np.float32)[:, None]
    )
    path.with_name("test_caps.txt").write_text(CAPTIONS)
    if path.name == "test_ims_len.npy":
        np.save(path.with_name("test_ims.npy"), np.random.default_rng(0).random((30, 4, 300), np.float32))
        np.save(path, np.full(30, 4))


def table_and_draw(path: Path) -> None:
    read_pictures(path, path.parent, 1, 1)


def files(form: Format, path: Path, count: int) -> Iterator[str]:
    """Write hostile files of a format, one after the other, to a path -> what it is."""
    sound = path.read_bytes()
    by_hand = {**EVERY, **form.by_hand}
    rest = {f"damaged {number}": content for number, content in enumerate(damaged(sound, max(0, count - len(by_hand))))}
    for name, content in {**by_hand, **rest}.items():
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        content(path) if callable(content) else path.write_bytes(content)
        yield name


ROWS, REGIONS = np.ones((30, 300), np.float32), np.ones((6, 3, 300), np.float32)

FORMATS = (
    Format("features.npy", write_array(ROWS), lambda path: open_features(path)[:].sum(), NPY),
    Format("table.npy", beside(write_array(REGIONS), table_ids__txt="0\n1\n2\n3\n4\n5\n"), read_source, NPY),
    Format("test_ims_len.npy", split_file, lambda path: open_split(path.parent, "test").images.lengths, NPY),
    Format("image_sizes.npy", write_array(np.ones((30, 2), np.float32)), read_sizes, {**NPY, **VOCABULARY}),
    Format("owner.npy", write_array(np.arange(30)), lambda path: read_caption_image(path, 30, 30), NPY),
    Format("descriptions.npy", write_array(ROWS[:, :4]), lambda path: kinds.read_vectors(path, 30), NPY),
    Format("scores.npy", write_array(np.ones((6, 30), np.float32)), read_arrays, NPY),
    Format("table.npz", lambda path: np.savez(path, features=REGIONS, ids=np.arange(6)), read_source, NPZ),
    Format("scores.npz", lambda path: np.savez(path, images=ROWS[:6], captions=ROWS), read_arrays, NPZ),
    Format("table.h5", write_hdf5(sound_hdf5), read_source, HDF5),
    Format("table.lmdb", write_lmdb(LMDB_VALUES), read_source, LMDB),
    Format("table.tsv", lambda path: examples.write_tsv(path), read_source, TSV),
    Format("vocabulary.json", lambda path: Vocabulary.build(["a dog"], 1).save(path),
           lambda path: words_in_order(read_vocabulary(path), path), JSON),
    Format("vocabulary.pkl", lambda path: path.write_bytes(pickle.dumps({"word2idx": {"a": 0, "<pad>": 1}})),
           lambda path: words_in_order(read_vocabulary(path), path), VOCABULARY),
    Format("dataset.json", as_json(KARPATHY), table_and_draw, JSON),
    Format("captions_train.json", as_json(COCO), lambda path: list(json_rows(path, path.parent)[0]), JSON),
    Format("captions.csv", as_text("image,caption\n" + LINES), lambda path: list(read_table(path).rows)),
    Format("train_caps.txt", as_text(CAPTIONS), read_captions),
    Format("train_svd.txt", beside(as_text("0.5,0.25\n" * 30), captions__txt=CAPTIONS),
           lambda path: store.load(path.parent, path.with_name("captions.txt"), 30)),
    Format("features.json", as_json(RECORD), read_extraction, JSON),
    Format("result.json", as_json({"rsum": 1.0, "record": {"data": {"captions": 2}}, "ranks": {"image_to_text": "0",
           "text_to_image": "0 1", "caption_image": "0 0"}}), load_evaluation, JSON),
    Format("plan.toml", as_text("seeds = [0]\n" + PLAN), lambda path: tasks_of(read_plan(path)), TOML),
    Format("scores.safetensors", lambda path: _save_tensors(path), read_arrays, SAFETENSORS),
    Format("model.safetensors", write_exported, lambda path: load_network(path.parent), SAFETENSORS),
    Format("config.json", write_exported, lambda path: load_network(path.parent), JSON),
    Format("index.json", write_index, lambda path: Index(path.parent), JSON),
    Format("images.faiss", write_index, lambda path: _search(path)),
    Format("checkpoint.pth.tar", write_checkpoint, load_network),
    Format("picture.jpg", picture("JPEG"), open_picture, PICTURES),
    Format("picture.png", picture("PNG"), open_picture, PICTURES),
)  # fmt: skip


def _save_tensors(path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"images": torch.ones(6, 4), "captions": torch.ones(30, 4)}, path)


def _search(path: Path) -> None:
    import torch

    index = Index(path.parent)
    vectors = approximate.vectors_of(index, "images")
    approximate.candidates(index, "images", torch.ones(vectors.shape[1]), 10)
