"""Recognise the form in which a file or a raw data set lists pictures and captions, and read it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vse.console import say
from vse.data.annotations import coco_pictures, json_rows, split_of_name
from vse.data.index import folder_pictures, splits_of
from vse.data.pictures import Pictures, join, picture_folder
from vse.data.rows import CaptionRow, Draw, to_splits
from vse.data.tables import read_table, split_lists
from vse.errors import InputError
from vse.published.sets import KARPATHY_FILES, canonical_name

RAW_SOURCES = (
    ("annotations/captions_*2014.json", "annotations/captions_*2017.json"),
    ("dataset*.json",),
    ("*_train.json", "*_val.json", "*_test.json", "*_dev.json", "captions_*.json", "captions.json"),
    ("*/metadata.jsonl", "metadata.jsonl"),
    ("*/metadata.csv", "metadata.csv"),
    ("captions.csv", "captions.tsv", "captions.txt", "results.csv", "*.token", "*.token.txt"),
)
"""By these files a raw data set is recognised; of several kinds the first is read."""


def read_pictures(
    captions: Path, images: Path, dev: int | None = None, test: int | None = None, seed: int = 0
) -> dict[str, Pictures]:
    """Read the splits that a caption file or a folder describes, in any form that `docs/data.md` lists.

    Args:
        captions: an annotation file, a caption table, a data set folder, or the folder of a raw data set.
        images: folder of the pictures, which need not be there.
        dev, test, seed: how many images to draw for these splits where the source names none.

    Raises:
        InputError: none of these, or damaged; see the readers.
    """
    if captions.is_dir():
        if splits_of(captions):
            return folder_pictures(captions, images, need_names=False)
        return raw_pictures(captions, images=images)
    return _read([captions], images, Draw(dev, test, seed))


def raw_source(folder: Path, data_name: str | None = None) -> list[Path]:
    """Find the caption files of a raw data set; [] where there are none.

    Args:
        data_name: decides between several `dataset*.json`.

    Raises:
        InputError: several files of one kind, and nothing that decides between them.
    """
    files = next((found for patterns in RAW_SOURCES if (found := _matching(folder, patterns))), [])
    if files and all(path.name.startswith("dataset") for path in files):
        files = [_karpathy_file(files, folder, data_name)]
    elif len(files) > 1 and not _belong_together(files):
        names = ", ".join(str(path.relative_to(folder)) for path in files)
        raise InputError(
            f"{folder}: several caption files, {names}; move all but one away, or make a data set folder of the one "
            "you mean: python -m vse features PICTURES --captions FILE --model none --out FOLDER"
        )
    return files


def _matching(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """Find files, each once, without Flickr8k's lemmatised copy of its captions."""
    found = dict.fromkeys(path for pattern in patterns for path in sorted(folder.glob(pattern)))
    return [path for path in found if "lemma" not in path.name]


def _belong_together(files: Sequence[Path]) -> bool:
    """Whether each file holds another split of one data set."""
    if len({path.parent for path in files}) == 1 and files[0].parent.name == "annotations":
        return True
    splits = [_split_of(path) for path in files]
    stems = {re.sub(r"(train|val|dev|test)\w*", "", path.stem.lower()) for path in files}
    return None not in splits and len(set(splits)) == len(files) and len(stems) == 1


def _split_of(path: Path) -> str | None:
    """Read the split from the name of a JSON file or, of a `metadata` file, of its folder."""
    return split_of_name(path.parent if path.stem == "metadata" else path)


def karpathy_name(file: Path) -> str:
    """Read the data set's name from that of a Karpathy file: dataset_flickr30k.json -> f30k."""
    name = file.stem.removeprefix("dataset").lstrip("_")
    return KARPATHY_FILES.get(name, name)


def _karpathy_file(files: list[Path], folder: Path, data_name: str | None) -> Path:
    wanted = None if data_name is None else canonical_name(data_name)
    fitting = [path for path in files if karpathy_name(path) == wanted]
    if len(fitting) == 1:
        return fitting[0]
    if len(files) > 1:
        raise InputError(
            f"{folder}: {', '.join(path.name for path in files)}; name the data set that is meant with --data_name "
            f"({', '.join(karpathy_name(path) for path in files)})"
        )
    if wanted in KARPATHY_FILES.values() and karpathy_name(files[0]) in KARPATHY_FILES.values():
        raise InputError(f"{files[0]}: not the data set {data_name}; give the folder that holds it")
    return files[0]


def raw_pictures(folder: Path, data_name: str | None = None, images: Path | None = None) -> dict[str, Pictures]:
    """Read the splits of a raw data set: MS-COCO, Karpathy's files, lists of images, or a caption table.

    Where the source has a `restval` split there will also be a `trainrestval`.

    Raises:
        InputError: nothing is recognised, or several things are; see `raw_source`.
    """
    files = raw_source(folder, data_name)
    if not files:
        patterns = ", ".join(pattern for kind in RAW_SOURCES for pattern in kind)
        raise InputError(f"{folder}: no raw data set; looked for {patterns}")
    say(f"{folder}: captions are read from {', '.join(str(path.relative_to(folder)) for path in files)}")
    others = [path for patterns in RAW_SOURCES for path in _matching(folder, patterns) if path not in files]
    if files[0].parent.name == "annotations":
        others = [path for path in others if path.name != "dataset_coco.json"]  # tells the splits
    if others:
        say(f"{folder}: {', '.join(str(path.relative_to(folder)) for path in others)} is not read")
    if files[0].parent.name == "annotations":
        splits = coco_pictures(folder)
    else:
        if images is None:
            images = folder if files[0].name.startswith("metadata") else picture_folder(folder)
        splits = _read(files, images, Draw())
    if "restval" in splits and "train" in splits:
        splits["trainrestval"] = join(splits["train"], splits["restval"])
    return splits


def _read(files: Sequence[Path], images: Path, draw: Draw) -> dict[str, Pictures]:
    """Read files of one data set, one for each split where there are several."""
    rows: list[CaptionRow] = []
    once = False
    sources: tuple[Path, ...] = tuple(files)
    split_of = None
    for file in files:
        if file.suffix in (".json", ".jsonl"):
            own, once = json_rows(file, images)
        else:
            own, has_splits = read_table(file)
            if not has_splits:
                split_of, lists = split_lists(file, own)
                sources += lists
        if file.stem == "metadata" and file.parent != images and file.parent.is_relative_to(images):
            before = file.parent.relative_to(images)
            own = [replace(row, name=f"{before}/{row.name}") for row in own]
        split = _split_of(file)
        if split is not None and split_of is None and all(row.split is None for row in own):
            say(f"{file}: the {split} split, by its name")
            own = [replace(row, split=split) for row in own]
        rows += own
    return to_splits(rows, images, sources, draw, split_of, once)
