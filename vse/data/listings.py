"""The forms in which public data sets list their pictures: MS-COCO, Karpathy's JSON, a table; indexing a raw set."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vse import REPOSITORY
from vse.data.pictures import (
    SPLITS,
    Pictures,
    folder_pictures,
    inside,
    join,
    picture_folder,
    read_json,
    seeded_splits,
    write_index,
)
from vse.errors import InputError

Entry = tuple[str, int, str, list[str]]
"""Split, id, file name and captions of one picture."""

RAW_SOURCES = ("annotations/captions_*2014.json", "dataset*.json", "captions.csv")
"""By these files the folder of a raw data set is recognised."""

COCO_SPLITS = {"train": "train2014", "restval": "val2014", "dev": "val2014", "test": "val2014"}
"""Split of the field -> the part of MS-COCO 2014 that holds its images."""


def index_named_set(data_path: str | Path | None, data_name: str | None) -> None:
    """Before `vse.data.datasets.find_data_set`: index the raw data set that is meant, if it is raw.

    Looked at are `data_path`/`data_name` and `data_path` itself (default: the repository's `data/`).

    Raises:
        InputError: as `index_raw_set`.
    """
    root = REPOSITORY / "data" if data_path is None else Path(data_path)
    for folder in ([root / data_name] if data_name else []) + [root]:
        if any(next(folder.glob(pattern), None) for pattern in RAW_SOURCES):
            index_raw_set(folder)
            return


def index_raw_set(root: Path) -> None:
    """Make the folder of a raw data set a data set folder: write captions, ids and names beside its pictures.

    Recognised are MS-COCO (`annotations/captions_*2014.json`), a Karpathy `dataset*.json` and a `captions.csv`. Where
    the source has a `restval` split there will also be a `trainrestval`. A folder with caption files is left alone.

    Raises:
        InputError: nothing is recognised, or the folder cannot be written.
    """
    if any(root.glob("*_caps.txt")):
        return
    coco, karpathy, table = (sorted(root.glob(pattern)) for pattern in RAW_SOURCES)
    if coco:
        splits = coco_pictures(root)
    elif karpathy:
        splits = karpathy_pictures(karpathy[0], picture_folder(root))
    elif table:
        splits = csv_pictures(table[0], picture_folder(root))
    else:
        raise InputError(f"{root}: no raw data set; looked for {', '.join(RAW_SOURCES)}")
    if "restval" in splits and "train" in splits:
        splits["trainrestval"] = join(splits["train"], splits["restval"])
    write_index(splits, root)


def read_pictures(
    captions: Path, images: Path, dev: int | None = None, test: int | None = None, seed: int = 0
) -> dict[str, Pictures]:
    """The splits that a caption file describes: a Karpathy JSON file, a table (.csv, .tsv) or a data set folder.

    Args:
        dev, test, seed: how many images to draw for these splits where the file names none.

    Raises:
        InputError: none of these, or damaged; see the readers.
    """
    if captions.is_dir():
        return folder_pictures(captions, images)
    if captions.suffix == ".json":
        return karpathy_pictures(captions, images)
    if captions.suffix in (".csv", ".tsv"):
        return csv_pictures(captions, images, dev, test, seed)
    raise InputError(f"{captions}: expected a Karpathy .json file, a .csv or .tsv table, or a data set folder")


def karpathy_pictures(file: Path, images: Path) -> dict[str, Pictures]:
    """Karpathy's `dataset.json`: entries with `split`, `filename` and `sentences[].raw`, all sentences in use.

    An image's id is its `cocoid`, or its place in the list.

    Raises:
        InputError: the file is of another form, names an image twice or one that leads out of `images`.
    """
    content = read_json(file)

    def entries() -> Iterator[Entry]:
        for place, entry in enumerate(content["images"]):
            try:
                name, split = entry["filename"], split_name(entry["split"], file)
                captions = [sentence["raw"] for sentence in entry["sentences"]]
                image_id = int(entry.get("cocoid", place))
                if not all(isinstance(text, str) for text in (name, *captions)):
                    raise TypeError
            except (KeyError, TypeError, ValueError):
                raise InputError(
                    f"{file}: image {place} of the list lacks `split`, `filename` or `sentences` with `raw`; "
                    "expected the form of Karpathy's dataset files"
                ) from None
            folder = entry.get("filepath", "")
            yield split, image_id, f"{folder}/{name}" if folder and (images / folder).is_dir() else name, captions

    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise InputError(f"{file}: no list `images`; expected the form of Karpathy's dataset files")
    return _by_split(entries(), images, file)


def csv_pictures(
    file: Path, images: Path, dev: int | None = None, test: int | None = None, seed: int = 0
) -> dict[str, Pictures]:
    """A table with the columns image, caption and, if you like, split (.csv with commas, .tsv with tabs), UTF-8.

    Without the column, `dev` and `test` images are drawn at random (default: a tenth each, at most 1,000).
    An image's id is the place of its first row among the images.

    Raises:
        InputError: the line that cannot be used.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as problem:
        raise InputError(f"{file}: cannot be read ({problem.strerror}); expected a caption table") from None
    except UnicodeDecodeError as problem:
        raise InputError(f"{file}: byte {problem.start} is not valid UTF-8; convert the file to UTF-8") from None
    captions: dict[str, list[str]] = {}
    splits: dict[str, str] = {}
    table = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if file.suffix == ".tsv" else ",")
    try:
        columns = set(table.fieldnames or ())
        if not {"image", "caption"} <= columns:
            raise InputError(f"{file}, line 1: columns {sorted(columns)}; expected image, caption and perhaps split")
        for row in table:
            if row["image"] is None or row["caption"] is None or None in row:
                raise InputError(
                    f"{file}, line {table.line_num}: not {len(columns)} fields; put captions with separators in quotes"
                )
            captions.setdefault(row["image"], []).append(row["caption"])
            if "split" in columns:
                split = split_name(row["split"] or "", file)
                if splits.setdefault(row["image"], split) != split:
                    raise InputError(f"{file}, line {table.line_num}: {row['image']} is in two splits; choose one")
    except csv.Error as problem:
        raise InputError(f"{file}, line {table.line_num}: {problem}; expected a plain table") from None
    if not splits:
        tenth = min(1000, max(1, len(captions) // 10))
        drawn = seeded_splits(len(captions), tenth if dev is None else dev, tenth if test is None else test, seed)
        splits = dict(zip(captions, drawn.tolist(), strict=True))
    entries = ((splits[name], place, name, texts) for place, (name, texts) in enumerate(captions.items()))
    return _by_split(entries, images, file)


def coco_pictures(root: Path) -> dict[str, Pictures]:
    """MS-COCO: `annotations/captions_{train,val}2014.json`, `images/{train,val}2014/`, read with pycocotools.

    Which captions make a split say `annotations/coco_{train,dev,test,restval}_ids.npy` (annotation ids) or, if they
    are not there, the `sentids` of `dataset_coco.json` in `root` or `annotations`. An image's id is COCO's.

    Raises:
        InputError: files missing or not belonging together.
    """
    parts: dict[str, Any] = {}
    found: dict[str, Pictures] = {}
    images = root / "images" if (root / "images").is_dir() else root
    for split, (source, annotation_ids) in _coco_splits(root).items():
        part = COCO_SPLITS[split]
        if part not in parts:
            parts[part] = _read_coco(root / "annotations" / f"captions_{part}.json")
        coco = parts[part]
        captions: dict[int, list[str]] = {}
        try:
            for annotation in coco.loadAnns(annotation_ids):
                captions.setdefault(annotation["image_id"], []).append(annotation["caption"])
            entries = [
                (split, int(image_id), f"{part}/{coco.imgs[image_id]['file_name']}", texts)
                for image_id, texts in captions.items()
            ]
        except KeyError as problem:
            raise InputError(
                f"{source}: id {problem} is not in captions_{part}.json; use id lists of the 2014 release"
            ) from None
        found |= _by_split(entries, images, source)
    return found


def _coco_splits(root: Path) -> dict[str, tuple[Path, list[int]]]:
    """Split -> the file that defines it, and annotation ids."""
    annotations = root / "annotations"
    lists = {split: annotations / f"coco_{split}_ids.npy" for split in COCO_SPLITS}
    lists = {split: path for split, path in lists.items() if path.is_file()}
    if lists:
        return {split: (path, _annotation_ids(path)) for split, path in lists.items()}
    for path in (root / "dataset_coco.json", annotations / "dataset_coco.json"):
        if path.is_file():
            ids: dict[str, list[int]] = {}
            try:
                for entry in read_json(path)["images"]:
                    ids.setdefault(split_name(entry["split"], path), []).extend(entry["sentids"])
            except (KeyError, TypeError):
                raise InputError(
                    f"{path}: entries lack `split` or `sentids`; expected Karpathy's dataset file"
                ) from None
            return {split: (path, sentids) for split, sentids in ids.items() if split in COCO_SPLITS}
    raise InputError(
        f"{root}: neither annotations/coco_train_ids.npy nor dataset_coco.json; data/README.md says where the splits "
        "of MS-COCO come from"
    )


def _annotation_ids(path: Path) -> list[int]:
    try:
        ids = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError):
        raise InputError(f"{path}: not a whole .npy file of numbers; expected annotation ids") from None
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise InputError(f"{path}: {ids.dtype} of shape {ids.shape}; expected a list of annotation ids")
    return [int(annotation_id) for annotation_id in ids]


def _read_coco(path: Path) -> Any:
    from pycocotools.coco import COCO  # only raw MS-COCO needs it

    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it reports its progress with print
            return COCO(str(path))
    except OSError as problem:
        raise InputError(
            f"{path}: cannot be read ({problem.strerror}); expected MS-COCO's caption annotations"
        ) from None
    except (ValueError, KeyError, TypeError, AssertionError):
        raise InputError(f"{path}: not MS-COCO's caption annotations; use another copy of it") from None


def _by_split(entries: Iterable[Entry], folder: Path, source: Path) -> dict[str, Pictures]:
    listed: dict[str, list[tuple[int, str, list[str]]]] = {}
    ids: set[int] = set()
    names: set[str] = set()
    for split, image_id, name, captions in entries:
        name = inside(name, source)
        if image_id in ids or name in names:
            raise InputError(f"{source}: image {image_id} ({name}) is listed twice; expected every image once")
        ids.add(image_id)
        names.add(name)
        if captions:
            listed.setdefault(split, []).append((image_id, name, [_one_line(text, source) for text in captions]))
    if not listed:
        raise InputError(f"{source}: lists no image with a caption; expected captions for the pictures in {folder}")
    return {
        split: Pictures(
            folder,
            [name for _, name, _ in images],
            np.array([image_id for image_id, _, _ in images], dtype=np.int64),
            [caption for _, _, captions in images for caption in captions],
            np.repeat(np.arange(len(images)), [len(captions) for _, _, captions in images]),
        )
        for split, images in listed.items()
    }


def _one_line(caption: str, source: Path) -> str:
    try:
        caption.encode()
    except UnicodeEncodeError:
        raise InputError(f"{source}: the caption {caption[:40]!r} holds half a character; mend the file") from None
    if "\0" in caption:
        raise InputError(f"{source}: the caption {caption[:40]!r} holds a NUL; mend the file")
    return " ".join(caption.split())


def split_name(name: str, source: Path) -> str:
    """Our name of a source's split.

    Raises:
        InputError: not one of the names that the field uses.
    """
    if name not in SPLITS:
        raise InputError(f"{source}: unknown split {name!r}; expected one of {', '.join(SPLITS)}")
    return SPLITS[name]
