"""Turn the rows of any caption source into splits: grouped by image, checked, counted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from vse.console import say, warn
from vse.data.pictures import Pictures, first_of, inside, left_out, one_line, seeded_splits
from vse.errors import InputError

DRAWN = 1000
"""Most images that are drawn for dev and for test where a source names no splits and no numbers are asked for."""


@dataclass
class CaptionRow:
    """An image with one of its captions, or several, as a source holds them."""

    name: str
    captions: list[str]
    where: str
    """File and line, or entry, for messages."""
    split: str | None = None
    """Split, by our name."""
    image_id: int | None = None
    caption_ids: list[int] | None = None


@dataclass(frozen=True)
class Draw:
    """Number of images to draw for dev and test if a source names no splits; None: a tenth, at most 1,000."""

    dev: int | None = None
    test: int | None = None
    seed: int = 0


SplitOf = Callable[[str], "str | None"]
"""Name of an image -> its split, or None: it is in no split."""


def to_splits(
    rows: Iterable[CaptionRow],
    images: Path,
    sources: tuple[Path, ...],
    draw: Draw,
    split_of: SplitOf | None = None,
    once: bool = False,
) -> dict[str, Pictures]:
    """Group rows by image and split.

    An image's id is the source's where every image has one, else its place among the images. Captions without
    text and images without captions or split are left out and named.

    Args:
        images: folder of the pictures, which the names of the rows are relative to. A folder that stands before all
            names is dropped if the pictures are found without it.
        sources: the files that the rows come from, the main one first.
        draw: used where neither the rows nor `split_of` name splits.
        once: an image may have only one row.

    Raises:
        InputError: a row contradicts another, a name leads out of the folder, or no caption remains.
    """
    grouped = _grouped(rows, sources[0], once)
    known = [image for image in grouped.values() if image.captions]
    if len(known) < len(grouped):
        left_out(sources[0], "images without captions", [name for name, row in grouped.items() if not row.captions])
    if not known:
        raise InputError(f"{sources[0]}: lists no image with a caption; expected captions for the pictures in {images}")
    _give_ids(grouped, sources[0])
    by: Mapping[str, Any] = {}
    if split_of is not None:
        for image in known:
            image.split = split_of(image.name)
    elif all(image.split is None for image in known):
        by = _draw(known, draw, sources[0])
    homeless = [image.name for image in known if image.split is None]
    if homeless:
        left_out(sources[0], "images that are in no split", homeless)
    for image, name in zip(known, relative_names([image.name for image in known], images, sources[0]), strict=True):
        image.name = name
    splits: dict[str, list[CaptionRow]] = {}
    for image in known:
        if image.split is not None:
            splits.setdefault(image.split, []).append(image)
    if not splits:
        raise InputError(f"{sources[0]}: none of its images is in a split; give the split lists that belong to it")
    return {split: _pictures(chosen, images, sources, by) for split, chosen in splits.items()}


def _grouped(rows: Iterable[CaptionRow], source: Path, once: bool) -> dict[str, CaptionRow]:
    """Join the rows of each image, by its name; captions without text are left out and named."""
    images: dict[str, CaptionRow] = {}
    empty = []
    for row in rows:
        name = inside(row.name, row.where)
        texts = [one_line(caption, row.where) for caption in row.captions]
        empty += [f"{name} ({row.where.removeprefix(str(source)).lstrip(', ')})"] * texts.count("")
        kept = [place for place, text in enumerate(texts) if text]
        row.captions = [texts[place] for place in kept]
        row.caption_ids = None if row.caption_ids is None else [row.caption_ids[place] for place in kept]
        known = images.setdefault(name, row)
        row.name = name
        if known is row:
            continue
        if once:
            raise InputError(f"{row.where}: {name} is listed twice, first in {known.where}; expected every image once")
        if row.split != known.split:
            raise InputError(f"{row.where}: {name} is in two splits, {known.split} in {known.where}; choose one")
        if row.image_id != known.image_id:
            raise InputError(
                f"{row.where}: {name} has the id {row.image_id}, but {known.image_id} in {known.where}; give an image "
                "one id, or rename the column or field of ids"
            )
        known.captions += row.captions
        if known.caption_ids is not None and row.caption_ids is not None:
            known.caption_ids += row.caption_ids
    if empty:
        left_out(source, "captions without text", empty)
    return images


def whole_number(text: str) -> int | None:
    """Read a whole number, as tables write it: 7, 0007, 7.0; None for other text."""
    found = re.fullmatch(r"\s*(\d{1,18})(\.0*)?\s*", text)
    return None if found is None else int(found[1])


def _give_ids(images: Mapping[str, CaptionRow], source: Path) -> None:
    """Make the place of each image its id, unless the source has a whole number for each.

    Raises:
        InputError: two images have one.
    """
    of: dict[int, str] = {}
    for name, image in images.items():
        if image.image_id is not None and of.setdefault(image.image_id, name) != name:
            raise InputError(
                f"{image.where}: {name} has the id {image.image_id}, as {of[image.image_id]} has; give each image "
                "another one, or rename the column or field of ids"
            )
    if len(of) == len(images):
        return
    if of:
        without = [name for name, image in images.items() if image.image_id is None]
        warn(
            f"{source}: {len(without)} images have no whole number as id, so that ids are places in the list instead: "
            f"{first_of(without)}"
        )
    for place, image in enumerate(images.values()):
        image.image_id = place


def _draw(images: list[CaptionRow], draw: Draw, source: Path) -> Mapping[str, Any]:
    tenth = min(DRAWN, max(1, len(images) // 10))
    dev, test = tenth if draw.dev is None else draw.dev, tenth if draw.test is None else draw.test
    for image, split in zip(images, seeded_splits(len(images), dev, test, draw.seed).tolist(), strict=True):
        image.split = split
    say(f"{source}: names no splits; {dev} dev and {test} test images drawn with seed {draw.seed}")
    return {"dev": dev, "test": test, "seed": draw.seed}


def _pictures(rows: list[CaptionRow], images: Path, sources: tuple[Path, ...], by: Mapping[str, Any]) -> Pictures:
    caption_ids = None
    if all(row.caption_ids is not None for row in rows):
        caption_ids = np.array([number for row in rows for number in row.caption_ids or ()], dtype=np.int64)
    return Pictures(
        images,
        [row.name for row in rows],
        np.array([row.image_id for row in rows], dtype=np.int64),
        [caption for row in rows for caption in row.captions],
        np.repeat(np.arange(len(rows)), [len(row.captions) for row in rows]),
        caption_ids,
        sources,
        by,
    )


def relative_names(names: list[str], images: Path, source: Path) -> list[str]:
    """Drop the folders that stand before all names, as far as that makes more pictures found.

    Where no picture is found either way, the folder of the pictures itself is dropped.
    """
    folders = [PurePosixPath(name).parts[:-1] for name in names]
    common = 0
    while all(len(parts) > common and parts[common] == folders[0][common] for parts in folders):
        common += 1
    if not common:
        return names
    parts_of = [PurePosixPath(name).parts for name in names]
    found = [
        sum(images.joinpath(*parts[dropped:]).is_file() for parts in parts_of) if images.is_dir() else 0
        for dropped in range(common + 1)
    ]
    dropped = found.index(max(found))
    if not any(found) and images.name in folders[0][:common]:
        dropped = folders[0].index(images.name) + 1
    if dropped:
        say(f"{source}: {'/'.join(folders[0][:dropped])}/ dropped before every file name; pictures in {images}")
    return [str(PurePosixPath(*parts[dropped:])) for parts in parts_of]
