"""The embedded data set: drawn scenes, five captions each, 36 regions with features computed from the pixels.

It replaces Flickr30K without a download, with the same files and shapes and a thirtieth of the size. Scenes are
composed, drawn and described. Regions and features are then computed from the pictures alone, without the labels.
Captions of different pictures resemble each other to different degrees (the same objects elsewhere, other colours,
"animal" for "dog"), as LSEH needs.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from vse.console import say
from vse.data.demo.captions import describe
from vse.data.demo.pictures import draw_scene
from vse.data.demo.regions import find_regions
from vse.data.demo.scenes import HEIGHT, WIDTH, compose
from vse.errors import InputError

DEMO_VERSION = 2
"""Counts the changes of what is generated; a folder made by another version is made anew."""

VERSION_FILE = "demo_version.txt"
SIZES = (1000, 200, 200)
"""Pictures of train, dev and test."""

IMAGE_SIZE = np.dtype([("image_w", "<f4"), ("image_h", "<f4")])


def make_demo(folder: Path, sizes: tuple[int, int, int] = SIZES) -> None:
    """Make the data set in `folder`, unless this version of it is there already.

    The folder appears whole or not at all, also when several processes make it at once. Every picture is a function of
    its number alone; regions and features come from its pixels before they are compressed.

    Raises:
        InputError: the folder cannot be written, or holds somebody's own files.
    """
    stamp = f"version {DEMO_VERSION}, pictures {' '.join(map(str, sizes))}\n"
    version_file = folder / VERSION_FILE
    if version_file.is_file() and version_file.read_text(encoding="utf-8") == stamp:
        return
    if folder.exists() and not version_file.is_file() and any(folder.iterdir()):
        raise InputError(
            f"{folder}: holds files that are not the demo data set; move them away, or give --data_path and --data_name"
        )
    say(f"making the built-in demo data set, once: {folder}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as problem:
        raise InputError(
            f"{folder.parent}: the demo data set cannot be written there ({problem.strerror}); make the folder "
            "writable or give --data_path"
        ) from None
    try:
        with threadpool_limits(1):  # the products are small: more threads would only wait for each other
            _write(unfinished, sizes)
        (unfinished / VERSION_FILE).write_text(stamp, encoding="utf-8")
        unfinished.chmod(0o755)
        _put(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _put(unfinished: Path, folder: Path) -> None:
    outdated = folder.with_name(f".{folder.name}-outdated-{os.getpid()}")
    try:
        if folder.exists():
            folder.rename(outdated)
        unfinished.rename(folder)
    except OSError:
        if not (folder / VERSION_FILE).is_file():  # not merely another process that was faster
            raise
    finally:
        shutil.rmtree(outdated, ignore_errors=True)


def _write(folder: Path, sizes: tuple[int, int, int]) -> None:
    (folder / "images").mkdir()
    names: dict[str, str] = {}
    progress = tqdm(total=sum(sizes), desc="drawing", unit="picture", disable=not sys.stderr.isatty())
    for split, size in zip(("train", "dev", "test"), sizes, strict=True):
        first = len(names)
        captions, boxes, features = [], [], []
        for number in range(first, first + size):
            rng = random.Random(number)
            scene = compose(rng)
            picture = draw_scene(scene, rng)
            captions += describe(scene, rng)
            names[str(number)] = f"scene_{number:04d}.jpg"
            picture.save(folder / "images" / names[str(number)], quality=92)
            found = find_regions(np.asarray(picture))
            boxes.append(found[0])
            features.append(found[1])
            progress.update()
        ids = [str(number) for number in range(first, first + size)]
        for kind, lines in (("caps", captions), ("ids", ids), ("names", [names[key] for key in ids])):
            (folder / f"{split}_{kind}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        np.save(folder / f"{split}_ims.npy", np.stack(features).astype(np.float32))
        np.save(folder / f"{split}_ims_bbx.npy", np.stack(boxes).astype(np.float32))
        np.save(folder / f"{split}_ims_size.npy", np.array([(WIDTH, HEIGHT)] * size, dtype=IMAGE_SIZE))
    (folder / "id_mapping.json").write_text(json.dumps(names, indent=0), encoding="utf-8")
    progress.close()
