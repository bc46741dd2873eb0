"""Caption annotations in JSON: Karpathy's data sets, BLIP's and ALBEF's lists, JSON lines, MS-COCO's form."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from vse.console import say
from vse.data.pictures import SPLITS, Pictures, left_out, split_name
from vse.data.rows import CaptionRow, Draw, to_splits, whole_number
from vse.errors import InputError
from vse.files import read_bytes, read_json
from vse.formats.array_files import read_npy

IMAGE_KEYS = ("image", "file_name", "filename", "filepath", "image_path")

CAPTION_KEYS = ("caption", "captions", "text", "title", "sentences")

YEARS = ("2014", "2017")


def json_rows(file: Path, images: Path) -> tuple[list[CaptionRow], bool]:
    """Read the rows of an annotation file of any form, and whether each image has only one row.

    Raises:
        InputError: the file, or an entry of it, is of another form.
    """
    if file.suffix == ".jsonl":
        return list(_list_rows(_json_lines(file), file)), False
    content = read_json(file)
    if isinstance(content, list):
        return list(_list_rows([(f"{file}, entry {place}", entry) for place, entry in enumerate(content)], file)), False
    if isinstance(content, dict) and "annotations" in content:
        return list(_coco_rows(read_coco(file), file)), True
    if isinstance(content, dict) and isinstance(content.get("images"), list):
        return list(_karpathy_rows(content["images"], images, file)), True
    raise InputError(
        f"{file}: no list `images`; expected the form of Karpathy's dataset files, a list of images with captions, or "
        "MS-COCO's `images` and `annotations`"
    )


def _text(value: Any, what: str, where: str) -> str:
    if not isinstance(value, str):
        found = {type(None): "missing or null", list: "a list", dict: "an object"}.get(type(value), "no text")
        raise InputError(f"{where}: `{what}` is {found}; expected text, mend the entry or take it out")
    return value


def _whole(value: Any, what: str, where: str) -> int:
    if isinstance(value, str) and re.fullmatch(r"\d{1,18}", value):
        return int(value)
    if type(value) is not int or abs(value) >= 2**63:
        found = "missing or null" if value is None else repr(value)[:40]
        raise InputError(f"{where}: `{what}` is {found}; expected a whole number, mend the entry or take it out")
    return value


# Karpathy's data sets


def _karpathy_rows(entries: list[Any], images: Path, file: Path) -> Iterator[CaptionRow]:
    """Read `split`, `filename`, `sentences[].raw`; an image's id is its `cocoid`, or its place in the list."""
    form = "expected the form of Karpathy's dataset files"
    for place, entry in enumerate(entries):
        where = f"{file}: image {place} of the list"
        if not isinstance(entry, dict) or not isinstance(entry.get("sentences"), list):
            raise InputError(f"{where} lacks `sentences`, a list; {form}")
        captions = []
        for number, sentence in enumerate(entry["sentences"]):
            if not isinstance(sentence, dict):
                raise InputError(f"{where}: sentence {number} is no object with `raw`; {form}")
            captions.append(_text(sentence.get("raw"), "raw", f"{where}, sentence {number}"))
        name, folder = _text(entry.get("filename"), "filename", where), entry.get("filepath", "")
        in_folder = isinstance(folder, str) and folder and (images / folder).is_dir()
        sentence_ids = entry.get("sentids")
        coco = "cocoid" in entry
        yield CaptionRow(
            f"{folder}/{name}" if in_folder else name,
            captions,
            where,
            split_name(_text(entry.get("split"), "split", where), where),
            _whole(entry["cocoid"], "cocoid", where) if coco else place,
            [_whole(number, "sentids", where) for number in sentence_ids]
            if coco and isinstance(sentence_ids, list) and len(sentence_ids) == len(captions)
            else None,
        )


# Lists of images with captions


def _json_lines(file: Path) -> Iterator[tuple[str, Any]]:
    try:
        lines = read_bytes(file).removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as problem:
        raise InputError(f"{file}: cannot be read ({problem.strerror}); expected a line of JSON an image") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield f"{file}, line {number}", orjson.loads(line)
            except orjson.JSONDecodeError as problem:
                raise InputError(f"{file}, line {number}: not JSON ({problem.msg}); mend the line") from None


def _list_rows(entries: Any, file: Path) -> Iterator[CaptionRow]:
    """Read entries with an image (`IMAGE_KEYS`), a caption or a list of them, and perhaps `split` and `image_id`."""
    count = 0
    for where, entry in entries:
        if not isinstance(entry, dict):
            raise InputError(f"{where}: no object; expected an image with its captions")
        image = _key(entry, IMAGE_KEYS, "image", where)
        caption = _key(entry, CAPTION_KEYS, "caption", where)
        value = entry[caption]
        captions = [_text(item, caption, where) for item in (value if isinstance(value, list) else [value])]
        split = split_name(_text(entry["split"], "split", where), where) if "split" in entry else None
        count += 1
        yield CaptionRow(
            _text(entry[image], image, where), captions, where, split, whole_number(str(entry.get("image_id")))
        )
    say(f"{file}: a list of {count} images with captions")


def _key(entry: Mapping[str, Any], keys: tuple[str, ...], what: str, where: str) -> str:
    found = [key for key in keys if key in entry]
    if not found:
        raise InputError(f"{where}: lacks `{what}` (or {', '.join(keys[1:])}); expected an image with its captions")
    if len(found) > 1 and found[0] != what:
        raise InputError(f"{where}: {' and '.join(found)} may each be the {what}; name the right one `{what}`")
    return found[0]


def split_of_name(file: Path) -> str | None:
    """Read the split that a file's name tells: flickr30k_train.json, captions_val2017.json."""
    words = re.split(r"[\W_]+", file.stem.lower())
    found = {SPLITS[word] for word in (re.sub(r"\d+$", "", word) for word in words) if word in SPLITS}
    return found.pop() if len(found) == 1 else None


# MS-COCO


class Coco(NamedTuple):
    """A caption file of MS-COCO's form."""

    names: dict[int, str]  # image id -> file name
    captions: dict[int, tuple[int, str]]  # annotation id -> image id and caption


def read_coco(file: Path) -> Coco:
    """Read the images and annotations of a file of MS-COCO's form.

    Raises:
        InputError: a field that is missing or of another kind, with its entry; an id twice, or of no image.
    """
    content = read_json(file)
    lists = [content.get(name) if isinstance(content, dict) else None for name in ("images", "annotations")]
    if not all(isinstance(entries, list) for entries in lists):
        raise InputError(f"{file}: lacks the lists `images` and `annotations`; expected MS-COCO's caption annotations")
    names: dict[int, str] = {}
    captions: dict[int, tuple[int, str]] = {}
    for place, entry in enumerate(lists[0] or ()):
        where = f"{file}, image {place}"
        entry = entry if isinstance(entry, dict) else {}
        number = _whole(entry.get("id"), "id", where)
        if names.setdefault(number, _text(entry.get("file_name"), "file_name", f"{where} (id {number})")) and (
            len(names) <= place
        ):
            raise InputError(f"{where}: id {number} is there twice; expected every image once")
    for place, entry in enumerate(lists[1] or ()):
        where = f"{file}, annotation {place}"
        entry = entry if isinstance(entry, dict) else {}
        number = _whole(entry.get("id"), "id", where)
        where = f"{where} (id {number})"
        image = _whole(entry.get("image_id"), "image_id", where)
        if image not in names:
            raise InputError(f"{where}: image_id {image} is none of `images`; use another copy of the file")
        if number in captions:
            raise InputError(f"{where}: the id is there twice; expected every annotation once")
        captions[number] = image, _text(entry.get("caption"), "caption", where)
    return Coco(names, captions)


def _coco_rows(coco: Coco, file: Path) -> Iterator[CaptionRow]:
    """Give every image with its captions, in the order of the annotations."""
    of_image: dict[int, list[int]] = {image: [] for image in coco.names}
    for number, (image, _) in coco.captions.items():
        of_image[image].append(number)
    for image, numbers in of_image.items():
        captions = [coco.captions[number][1] for number in numbers]
        yield CaptionRow(coco.names[image], captions, f"{file}, image id {image}", None, image, numbers)
    say(f"{file}: {len(coco.names)} images and {len(coco.captions)} annotations of MS-COCO's form")


def coco_pictures(root: Path) -> dict[str, Pictures]:
    """Read MS-COCO 2014 or 2017: `annotations/captions_{train,val}YEAR.json`, pictures in (images/){train,val}YEAR.

    Splits are those of `annotations/coco_{train,dev,test,restval}_ids.npy` (annotation ids) or of Karpathy's
    `dataset_coco.json` in `root` or `annotations`; without either, MS-COCO's own: train, and its val as dev. Ids of
    images and captions are MS-COCO's.

    Raises:
        InputError: files missing or not belonging together.
    """
    year = _year(root)
    images = root / "images" if (root / "images").is_dir() else root
    files = {
        part: path
        for part in (f"train{year}", f"val{year}")
        if (path := root / "annotations" / f"captions_{part}.json").is_file()
    }
    parts = {part: read_coco(path) for part, path in files.items()}
    names: dict[int, str] = {}
    captions: dict[int, tuple[int, str]] = {}
    for part, coco in parts.items():
        names |= {image: f"{part}/{name}" for image, name in coco.names.items()}
        captions |= coco.captions
    split_files = _split_files(root)
    if split_files:
        splits = _coco_splits(split_files)
    else:
        splits = {split_name(part[:-4], str(root)): (files[part], list(coco.captions)) for part, coco in parts.items()}
        say(f"{root}: neither annotations/coco_train_ids.npy nor dataset_coco.json; train and dev are MS-COCO's own")
    rows = []
    for split, (source, numbers) in splits.items():
        of_image: dict[int, list[int]] = {}
        for number in numbers:
            if number not in captions:
                raise InputError(
                    f"{source}: id {number} is not in {' or '.join(path.name for path in files.values())}; use id "
                    f"lists of the {year} release"
                )
            of_image.setdefault(captions[number][0], []).append(number)
        for image, own_numbers in of_image.items():
            texts = [captions[number][1] for number in own_numbers]
            rows.append(CaptionRow(names[image], texts, f"{source}, image id {image}", split, image, own_numbers))
    listed = {row.image_id for row in rows}
    unused = [name for image, name in names.items() if image not in listed]
    if unused:
        left_out(root, "images that are in no split or have no caption", unused)
    return to_splits(rows, images, (*files.values(), *split_files), Draw(), once=True)


def _year(root: Path) -> str:
    years = [year for year in YEARS if any((root / "annotations").glob(f"captions_*{year}.json"))]
    if len(years) > 1:
        with_pictures = [
            year for year in years if any((place / f"train{year}").is_dir() for place in (root, root / "images"))
        ]
        if len(with_pictures) != 1:
            raise InputError(
                f"{root / 'annotations'}: captions of {' and of '.join(years)}; the images are the same, move the "
                "files of one release away"
            )
        years = with_pictures
        say(f"{root}: MS-COCO {years[0]}, whose pictures are there")
    return years[0]


def _split_files(root: Path) -> tuple[Path, ...]:
    annotations = root / "annotations"
    lists = [annotations / f"coco_{split}_ids.npy" for split in ("train", "restval", "dev", "test")]
    found = tuple(path for path in lists if path.is_file())
    if not found:
        found = tuple(
            path for path in (root / "dataset_coco.json", annotations / "dataset_coco.json") if path.is_file()
        )
    return found if found and found[0].suffix == ".npy" else found[:1]


def _coco_splits(files: tuple[Path, ...]) -> dict[str, tuple[Path, list[int]]]:
    """Read which annotations make each split -> split: the file that defines it, annotation ids."""
    if files[0].suffix == ".npy":
        return {path.name.split("_")[1]: (path, _annotation_ids(path)) for path in files}
    path = files[0]
    content = read_json(path)
    entries = content.get("images") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise InputError(f"{path}: no list `images`; expected Karpathy's dataset file")
    splits: dict[str, tuple[Path, list[int]]] = {}
    for place, entry in enumerate(entries):
        where = f"{path}: image {place} of the list"
        entry = entry if isinstance(entry, dict) else {}
        numbers = entry.get("sentids")
        if not isinstance(numbers, list):
            raise InputError(f"{where} lacks `split` or `sentids`; expected Karpathy's dataset file")
        split = split_name(_text(entry.get("split"), "split", where), where)
        splits.setdefault(split, (path, []))[1].extend(_whole(number, "sentids", where) for number in numbers)
    return splits


def _annotation_ids(path: Path) -> list[int]:
    try:
        ids = read_npy(path)
    except (ValueError, OSError):
        raise InputError(f"{path}: not a whole .npy file of numbers; expected annotation ids") from None
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise InputError(f"{path}: {ids.dtype} of shape {ids.shape}; expected a list of annotation ids")
    return [int(annotation_id) for annotation_id in ids]
