"""`python -m vse features`: a data set folder from your own pictures and captions."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from vse.console import say
from vse.data.feature_writer import SplitFiles, part_of, to_dtype
from vse.data.images import find_sound, require_pictures
from vse.data.index_writer import require_no_other_features, write_index
from vse.data.listings import read_pictures
from vse.data.pictures import Pictures, evenly, merge_restval
from vse.distributed import choose_device, first_process_first, leave, start, wait_for_all
from vse.errors import InputError
from vse.files import read_json, writable_folder, write_atomically
from vse.nn.extractors import Extractor, build_extractor
from vse.tools.options import FeaturesOptions

RECORD = "features.json"
"""What the features of a folder are; written last, so that a folder that has it is complete."""

PROGRESS = ".features.{}.json"
"""What a process of an extraction that is not finished has done: the same record and the numbers of its batches."""

SAVE_SECONDS = 20.0
"""A killed extraction repeats at most so much work."""


def main(options: FeaturesOptions) -> None:
    """List, extract, write captions and ids; killed at any moment, it goes on where it was when it is called again.

    Several processes under torchrun share the batches; the result has the same bits.

    Raises:
        InputError: pictures, captions or weights that cannot be used, or other features in the folder.
    """
    rank, world_size, device = start(choose_device(options.device))
    splits = _splits(options)
    folder = writable_folder(options.out, "--out")
    if options.model == "none":
        if rank == 0:
            require_no_other_features(splits, folder)
            write_index(splits, folder)
        _report(splits, "captions and ids", folder)
        return
    plan = _plan(splits, options)
    if (folder / RECORD).exists() and _same(read_json(folder / RECORD), plan, folder / RECORD):
        say(f"{folder}: complete already, nothing to do")
        return
    done = _batches_done(folder, splits, plan)
    extractor = build_extractor(
        options.model, options.weights, options.regions, options.grid, options.image_size, device, options.pooled
    )
    wait_for_all()  # everyone has read what was done before
    with first_process_first():
        if rank == 0 and not done:
            for stale in folder.glob(PROGRESS.format("*")):
                stale.unlink()
            _save_progress(folder, plan, 0, [])
        files = {
            split: SplitFiles(
                folder,
                split,
                extractor.shape,
                options.dtype,
                True,
                True,
                len(pictures.names),
                resume=rank > 0 or bool(done),
            )
            for split, pictures in splits.items()
        }
    _extract(splits, files, extractor, options, _Share(folder, plan, done, rank, world_size))
    leave()
    if rank > 0:
        return
    for writers in files.values():
        writers.finish()
    write_index(splits, folder)
    record = {**plan, "regions": math.prod(extractor.shape[:-1]), "dimensions": extractor.shape[-1]}
    write_atomically(folder / RECORD, lambda file: file.write(json.dumps(record, indent=1).encode()))
    for progress in folder.glob(PROGRESS.format("*")):
        progress.unlink()
    _report(splits, f"{list(extractor.shape)} {options.dtype} features of {options.model}", folder)
    say("these are not bottom-up-attention features: recall will differ from the published tables")


def _splits(options: FeaturesOptions) -> dict[str, Pictures]:
    if not options.images.is_dir():
        raise InputError(f"{options.images}: no such folder; expected the pictures that --captions describes")
    listed = merge_restval(read_pictures(options.captions, options.images, options.dev, options.test, options.seed))
    splits = {}
    for split, pictures in listed.items():
        if options.skip_broken:
            pictures = pictures.keep(find_sound(pictures))
        else:
            require_pictures(pictures)
        splits[split] = evenly(pictures, options.captions_per_image)
        if not splits[split].names:
            raise InputError(
                f"{options.captions}: no {split} image has --captions_per_image {options.captions_per_image}"
            )
        dropped = len(pictures.captions) - len(splits[split].captions)
        if dropped:
            say(f"{split}: {dropped} captions left out by --captions_per_image {options.captions_per_image}")
    return splits


def _plan(splits: dict[str, Pictures], options: FeaturesOptions) -> dict[str, Any]:
    """Collect what decides the features; an extraction goes on only where all of it is the same."""
    listing = {}
    for split, pictures in splits.items():
        listing[split] = {"images": len(pictures.names), "sha256": pictures.digest}
    asked = {name: getattr(options, name) for name in ("regions", "grid", "image_size", "dtype", "batch_size")}
    return {
        "model": options.model,
        "weights": _weights(options),
        "asked": {**asked, "pooled": True} if options.pooled else asked,
        "splits": listing,
        "versions": {"torch": torch.__version__, "torchvision": torchvision.__version__},
        "note": "not bottom-up-attention features: recall will differ from published tables",
    }


def _weights(options: FeaturesOptions) -> str:
    """Return the SHA-256 of the file that the weights come from, if it is known."""
    file = options.weights
    if file is None and options.model.startswith("hf:"):
        own = Path(options.model.removeprefix("hf:")) / "model.safetensors"
        file = own if own.exists() else None
    if file is None:
        return "by name"
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as problem:
        raise InputError(f"--weights {file}: cannot be read ({problem.strerror}); give a file") from None


def _same(record: Any, plan: dict[str, Any], path: Path) -> bool:
    different = [name for name, value in plan.items() if not isinstance(record, dict) or record.get(name) != value]
    if different:
        raise InputError(
            f"{path}: the folder holds features that differ in {', '.join(different)}; give another --out, or delete "
            "the folder"
        )
    return True


def _batches_done(folder: Path, splits: dict[str, Pictures], plan: dict[str, Any]) -> set[int]:
    """Batches that an interrupted extraction of the same plan has done; none if its files are gone."""
    records = sorted(folder.glob(PROGRESS.format("*")))
    if records:
        done: set[int] = set()
        for path in records:
            record = read_json(path)
            done.update(record.pop("done", []) if isinstance(record, dict) else [])
            _same(record, plan, path)
        files = [folder / f"{split}_{name}.npy" for split in splits for name in ("ims", "ims_bbx", "ims_size")]
        there = all(file.exists() or part_of(file).exists() for file in files)
        return done if there else set()
    existing = [path for split in splits if (path := folder / f"{split}_ims.npy").exists()]
    if existing:
        raise InputError(f"{existing[0]}: is there already, made by something else; give another --out, or delete it")
    return set()


def _save_progress(folder: Path, plan: dict[str, Any], rank: int, done: list[int]) -> None:
    content = json.dumps({**plan, "done": done}).encode()
    write_atomically(folder / PROGRESS.format(rank), lambda file: file.write(content))


@dataclass
class _Share:
    """Part of an extraction that one process does."""

    folder: Path
    plan: dict[str, Any]
    done: set[int]  # batches that were done before, by any process
    rank: int
    world_size: int


class _Inputs(Dataset[Any]):
    """Pictures as the network reads them, with their size; a broken one is represented by its error."""

    def __init__(self, paths: list[Path], extractor: Extractor) -> None:
        self.paths, self.read = paths, extractor.read

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, place: int) -> tuple[Tensor, tuple[int, int]] | InputError:
        try:
            return self.read(self.paths[place])
        except InputError as problem:
            return problem


def _extract(
    splits: dict[str, Pictures],
    files: dict[str, SplitFiles],
    extractor: Extractor,
    options: FeaturesOptions,
    share: _Share,
) -> None:
    """Compute this share of the batches that are left; they are always cut alike, so that the bits are equal."""
    paths = [path for pictures in splits.values() for path in pictures.paths]
    rows = [(files[split], row) for split, pictures in splits.items() for row in range(len(pictures.names))]
    step = options.batch_size
    batches = [list(range(first, min(first + step, len(paths)))) for first in range(0, len(paths), step)]
    left = [number for number in range(len(batches)) if number not in share.done]
    own = left[share.rank :: share.world_size]
    # What this process did before an interruption; others keep record of theirs.
    done = sorted(share.done) if share.rank == 0 else []
    saved = time.monotonic()
    quiet = True if share.rank > 0 else None
    with tqdm(total=sum(len(batches[number]) for number in own), desc="features", unit="image", disable=quiet) as bar:
        for number, inputs, sizes in _batches(paths, batches, own, extractor, options.workers):
            found = extractor(inputs, sizes)
            for place, features, boxes, size in zip(batches[number], *found, sizes, strict=True):
                writers, row = rows[place]
                features = to_dtype(features, options.dtype, f"{paths[place]}, seen by {options.model}")
                writers.write(row, features[None], boxes[None], np.array([size], dtype=np.float32))
            bar.update(len(sizes))
            done.append(number)
            if number == own[-1] or time.monotonic() - saved > SAVE_SECONDS:
                for every in files.values():
                    every.sync()
                _save_progress(share.folder, share.plan, share.rank, done)
                saved = time.monotonic()


def _batches(
    paths: list[Path], batches: list[list[int]], numbers: list[int], extractor: Extractor, workers: int
) -> Iterator[tuple[int, list[Tensor], list[tuple[int, int]]]]:
    chosen = [batches[number] for number in numbers]
    loader = DataLoader(_Inputs(paths, extractor), batch_sampler=chosen, num_workers=workers, collate_fn=list)
    for number, items in zip(numbers, loader, strict=True):
        for item in items:
            if isinstance(item, InputError):
                raise item
        yield number, [item[0] for item in items], [item[1] for item in items]


def _report(splits: dict[str, Pictures], what: str, folder: Path) -> None:
    for split, pictures in splits.items():
        say(f"{split}: {len(pictures.names)} images, {len(pictures.captions)} captions")
    say(f"{what}: {folder}")
