"""Where data sets keep pictures and captions: MS-COCO, Karpathy's JSON, a CSV file, a data set folder."""

from __future__ import annotations

import contextlib
import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import orjson

from vse import REPOSITORY
from vse.errors import InputError
from vse.files import write_atomically

SPLITS = {"train": "train", "dev": "dev", "val": "dev", "test": "test", "testall": "testall", "restval": "restval"}
"""Split names of the sources -> ours; the Karpathy files say `val` where precomputed features say `dev`."""

PICTURE_FOLDERS = ("images", "flickr30k-images", "flickr30k_images", "Flicker8k_Dataset", "Images")
"""Where the public distributions unpack their pictures."""


@dataclass(frozen=True)
class Pictures:
    """The pictures of one split and their captions, as a source lists them; no picture is opened.

    The captions of an image are neighbours, and images stand in the order of their captions.
    """

    folder: Path
    names: list[str]  # n file names, relative to `folder`
    ids: np.ndarray  # [n] int64, the source's own ids
    captions: list[str]  # M
    caption_image: np.ndarray  # [M] int64

    @property
    def paths(self) -> list[Path]:
        return [self.folder / name for name in self.names]

    @property
    def even(self) -> bool:
        """Every image has as many captions as the next."""
        return len(np.unique(self.captions_per_image)) == 1

    @property
    def captions_per_image(self) -> np.ndarray:
        return np.bincount(self.caption_image, minlength=len(self.names))

    def keep(self, wanted: np.ndarray) -> Pictures:
        """The images where `wanted` [n] is true, with their captions."""
        new_index = np.cumsum(wanted) - 1
        captions = wanted[self.caption_image]
        return Pictures(
            self.folder,
            [name for name, kept in zip(self.names, wanted, strict=True) if kept],
            self.ids[wanted],
            [caption for caption, kept in zip(self.captions, captions, strict=True) if kept],
            new_index[self.caption_image[captions]],
        )

    def keep_captions(self, per_image: int) -> Pictures:
        """The first `per_image` captions of each image that has so many; other images are left out."""
        enough = self.keep(self.captions_per_image >= per_image)
        first = np.searchsorted(enough.caption_image, np.arange(len(enough.names)))
        chosen = (first[:, None] + np.arange(per_image)).ravel()
        captions = [enough.captions[caption] for caption in chosen]
        return Pictures(enough.folder, enough.names, enough.ids, captions, enough.caption_image[chosen])


def join(first: Pictures, second: Pictures) -> Pictures:
    """The images of two splits of one source as one split."""
    return Pictures(
        first.folder,
        first.names + second.names,
        np.concatenate([first.ids, second.ids]),
        first.captions + second.captions,
        np.concatenate([first.caption_image, second.caption_image + len(first.names)]),
    )


MERGED = ("train", "restval", "trainrestval")


def merge_restval(splits: dict[str, Pictures]) -> dict[str, Pictures]:
    """MS-COCO's restval images belong to train, as in every published set of precomputed features."""
    if "restval" not in splits or "train" not in splits:
        return splits
    merged = join(splits["train"], splits["restval"])
    return {"train": merged, **{name: split for name, split in splits.items() if name not in MERGED}}


def evenly(pictures: Pictures, per_image: int | None = None) -> Pictures:
    """As many captions for every image, which is what the form of precomputed features says.

    Args:
        per_image: keep so many, the first ones, and leave images with fewer out; default: the smallest number.
    """
    if pictures.even and per_image is None:
        return pictures
    return pictures.keep_captions(int(pictures.captions_per_image.min()) if per_image is None else per_image)


def inside(name: str, source: Path) -> str:
    """`name` as a relative path, refused where it would lead out of the folder it is relative to.

    Args:
        source: the file that holds the name, for the message.

    Raises:
        InputError: empty, absolute, on a drive, with `..` or a NUL.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if not path.name or path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive or "\0" in name:
        raise InputError(f"{source}: the file name {name!r} leads out of the picture folder; expected a relative name")
    return str(path)


def split_name(name: str, source: Path) -> str:
    """Our name of a source's split.

    Raises:
        InputError: not one of the names that the field uses.
    """
    if name not in SPLITS:
        raise InputError(f"{source}: unknown split {name!r}; expected one of {', '.join(SPLITS)}")
    return SPLITS[name]


def seeded_splits(images: int, dev: int, test: int, seed: int) -> np.ndarray:
    """[n] split of each image: `dev` and `test` images drawn at random, the others are for training.

    Raises:
        InputError: no image would be left for training.
    """
    if dev + test >= images:
        raise InputError(f"{images} images with captions; too few for {dev} dev and {test} test images, ask for fewer")
    names = np.full(images, "train", dtype="U7")
    order = np.random.default_rng(seed).permutation(images)
    names[order[:dev]] = "dev"
    names[order[dev : dev + test]] = "test"
    return names


Entry = tuple[str, int, str, list[str]]
"""Split, id, file name and captions of one picture."""


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


def read_json(path: Path) -> Any:
    """Parse a JSON file.

    Raises:
        InputError: it cannot be read, or is not JSON.
    """
    try:
        return orjson.loads(path.read_bytes())
    except OSError as problem:
        raise InputError(f"{path}: cannot be read ({problem.strerror}); expected a JSON file") from None
    except orjson.JSONDecodeError as problem:
        raise InputError(f"{path}, line {problem.lineno}: not JSON ({problem.msg}); use another copy of it") from None


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


COCO_SPLITS = {"train": "train2014", "restval": "val2014", "dev": "val2014", "test": "val2014"}
"""Split of the field -> the part of MS-COCO 2014 that holds its images."""


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


def folder_pictures(folder: Path, images: Path | None = None) -> dict[str, Pictures]:
    """A data set folder with `{split}_caps.txt`, `{split}_ids.txt` and `id_mapping.json` (VSE-infinity's raw form).

    Captions belong to images evenly, or as `{split}_caption_image.npy` says. The mapping may also lie one folder up.

    Raises:
        InputError: files missing or not belonging together.
    """
    from vse.captions import read_captions  # brings torch along, which converting features does without

    mapping_file = next((place for place in (folder / MAPPING, folder.parent / MAPPING) if place.is_file()), None)
    if mapping_file is None:
        raise InputError(f"{folder / MAPPING}: no such file; expected the picture file of each id of {{split}}_ids.txt")
    mapping = read_json(mapping_file)
    if not isinstance(mapping, dict) or not all(isinstance(name, str) for name in mapping.values()):
        raise InputError(f'{mapping_file}: expected {{"id": "file name"}}')
    images = images or picture_folder(folder)
    found: dict[str, Pictures] = {}
    present = {path.name.removesuffix("_caps.txt") for path in folder.glob("*_caps.txt")}
    for split in [
        *(name for name in dict.fromkeys(SPLITS.values()) if name in present),
        *sorted(present - {*SPLITS.values()}),
    ]:
        captions_file = folder / f"{split}_caps.txt"
        captions = read_captions(captions_file)
        ids = read_ids(folder / f"{split}_ids.txt")
        missing = [image_id for image_id in ids.tolist() if str(image_id) not in mapping]
        if missing:
            raise InputError(
                f"{mapping_file}: {len(missing)} ids of {split}_ids.txt have no file name, first {missing[0]}; "
                "the two files belong to different data sets"
            )
        names = [inside(mapping[str(image_id)], mapping_file) for image_id in ids.tolist()]
        found[split] = Pictures(images, names, ids, captions, _caption_image(folder, split, len(ids), len(captions)))
    if not found:
        raise InputError(f"{folder}: no *_caps.txt; expected a data set folder")
    return found


def _caption_image(folder: Path, split: str, images: int, captions: int) -> np.ndarray:
    path = folder / f"{split}_caption_image.npy"
    if path.is_file():
        try:
            caption_image = np.load(path, allow_pickle=False)
        except (ValueError, OSError, EOFError):
            raise InputError(
                f"{path}: not a whole .npy file of numbers; delete it and prepare the data set again"
            ) from None
        fits = caption_image.shape == (captions,) and caption_image.dtype.kind in "iu"
        if not fits or (np.diff(caption_image) < 0).any() or caption_image[0] < 0 or caption_image[-1] >= images:
            raise InputError(
                f"{path}: {caption_image.dtype} {list(caption_image.shape)} does not give each of the {captions} "
                f"captions one of {images} images in order; prepare the data set again"
            )
        return caption_image.astype(np.int64)
    if images == 0 or captions % images:
        raise InputError(
            f"{folder / f'{split}_ids.txt'}: {images} images do not divide the {captions} captions beside it"
        )
    return np.repeat(np.arange(images), captions // images)


def read_ids(path: Path) -> np.ndarray:
    """[n] ids of a file with one integer a line.

    Raises:
        InputError: the line that is none.
    """
    try:
        lines = path.read_text(encoding="utf-8").split()
    except OSError as problem:
        raise InputError(f"{path}: cannot be read ({problem.strerror}); expected one image id a line") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not text; expected one image id a line") from None
    try:
        return np.array([int(line) for line in lines], dtype=np.int64)
    except (ValueError, OverflowError):
        number, line = next((i, line) for i, line in enumerate(lines, 1) if not re.fullmatch(r"-?\d{1,18}", line))
        raise InputError(
            f"{path}, line {number}: {line[:40]!r} is not an integer; expected one image id a line"
        ) from None


def picture_folder(folder: Path) -> Path:
    """Where the pictures of a data set folder are: in it, one folder up, or where `pictures.json` points.

    Raises:
        InputError: in none of these places.
    """
    for place in (folder, folder.parent):
        for name in PICTURE_FOLDERS:
            if (place / name).is_dir():
                return place / name
    if (folder / PLACE).is_file():
        place = read_json(folder / PLACE).get("images")
        if isinstance(place, str) and Path(place).is_dir():
            return Path(place)
    raise InputError(
        f"{folder}: no folder with pictures ({', '.join(PICTURE_FOLDERS)}); link it: ln -s PICTURES {folder}/images"
    )


MAPPING = "id_mapping.json"
PLACE = "pictures.json"


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


def write_index(splits: dict[str, Pictures], folder: Path) -> None:
    """Write captions, ids and names of the splits into a data set folder; features are not its business.

    Files: `{split}_caps.txt`, `{split}_ids.txt`, `{split}_names.txt`, `id_mapping.json`, `pictures.json` (where the
    pictures are) and, where images differ in their number of captions, `{split}_caption_image.npy`.

    Raises:
        InputError: the folder cannot be written.
    """
    mapping: dict[str, str] = {}
    for pictures in splits.values():
        mapping |= dict(zip(map(str, pictures.ids.tolist()), pictures.names, strict=True))
    write_atomically(folder / MAPPING, lambda file: file.write(orjson.dumps(mapping)))
    images = next(iter(splits.values())).folder
    if images.is_dir():
        place = orjson.dumps({"images": str(images.resolve())})
        write_atomically(folder / PLACE, lambda file: file.write(place))
    for split, pictures in splits.items():
        write_split(split, pictures, folder)


def write_split(split: str, pictures: Pictures, folder: Path) -> None:
    """Write `{split}_caps.txt` and what goes with it; the captions last, for they make a folder a data set.

    Raises:
        InputError: the folder cannot be written.
    """
    write_lines(folder / f"{split}_ids.txt", [str(image_id) for image_id in pictures.ids.tolist()])
    write_lines(folder / f"{split}_names.txt", pictures.names)
    uneven = folder / f"{split}_caption_image.npy"
    if not pictures.even:
        write_atomically(uneven, lambda file: np.save(file, pictures.caption_image))
    elif uneven.exists():
        uneven.unlink()
    write_lines(folder / f"{split}_caps.txt", pictures.captions)


def write_lines(path: Path, lines: list[str]) -> None:
    """Write a text file, a line each.

    Raises:
        InputError: the folder cannot be written.
    """
    content = "".join(f"{line}\n" for line in lines).encode()
    write_atomically(path, lambda file: file.write(content))


def holds_pictures(folder: Path) -> bool:
    """A data set folder that says which pictures its captions belong to."""
    return (folder / MAPPING).is_file() and any(folder.glob("*_ids.txt"))


def index_named_set(data_path: str | Path | None, data_name: str | None) -> None:
    """Before `vse.datasets.find_data_set`: index the raw data set that is meant, if it is raw.

    Looked at are `data_path`/`data_name` and `data_path` itself (default: the repository's `data/`).

    Raises:
        InputError: as `index_raw_set`.
    """
    root = REPOSITORY / "data" if data_path is None else Path(data_path)
    for folder in ([root / data_name] if data_name else []) + [root]:
        if any(next(folder.glob(pattern), None) for pattern in RAW_SOURCES):
            index_raw_set(folder)
            return


RAW_SOURCES = ("annotations/captions_*2014.json", "dataset*.json", "captions.csv")
"""By these files the folder of a raw data set is recognised."""


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
