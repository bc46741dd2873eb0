"""Pictures for towers: how many one core reads in a second, by decoder, and the share of training that waits for them.

    python benchmarks/pictures.py                     JPEGs made here, a tower of 224 pixels: about two minutes
    python benchmarks/pictures.py --pictures FOLDER   JPEGs of a folder, the first --count of them

Rows are read as training reads them: decoded, cropped at random, squeezed into the tower's square. Times are CPU
seconds of this process on one thread, the fastest of several runs; on a machine that is shared, the ratios repeat. The
share of waiting is what `train.py` logs as `data_share`, by wall clock, for VSE++ behind a frozen EfficientNet-Lite0
(extra [features]) on this CPU. A faster device needs a loader that is faster by as much.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg, read_file

from vse import REPOSITORY
from vse.data.decoding import RandomCrop, TowerPictures, TowerTransform, cache_pictures
from vse.data.images import open_picture
from vse.data.index_writer import write_index
from vse.data.pictures import Pictures
from vse.nn.towers.tower import picture_input

CACHE = 256
BATCH = 16
CAPTIONS = 5


def draw_jpegs(folder: Path, count: int, width: int, height: int) -> list[Path]:
    """Write JPEGs of quality 90 with coarse shapes and fine grain, about as many bytes a pixel as photos have."""
    paths = []
    for number in range(count):
        generator = np.random.default_rng(number)
        coarse = Image.fromarray(generator.integers(0, 256, (24, 32, 3), dtype=np.uint8)).resize((width, height))
        grain = generator.normal(0, 8, (height, width, 1))
        pixels = (np.asarray(coarse) + grain).clip(0, 255).astype(np.uint8)
        paths.append(folder / f"{width}_{number}.jpg")
        Image.fromarray(pixels).save(paths[-1], quality=90)
    return paths


def pillow(paths: list[Path], transform: TowerTransform, rows: np.ndarray) -> Tensor:
    """Read rows with Pillow's decoder, each picture at its full size."""
    generators = (np.random.default_rng(int(row)) for row in rows)
    return torch.stack(
        [
            transform(open_picture(paths[row], upright=True), generator)
            for row, generator in zip(rows, generators, strict=True)
        ]
    )


def torchvision_at_full_size(paths: list[Path], transform: TowerTransform, rows: np.ndarray) -> Tensor:
    """Read rows with torchvision's decoder, each picture at its full size."""
    crop, squeeze = transform.crop, transform.input.squeeze
    pictures = (decode_jpeg(read_file(str(paths[row])), ImageReadMode.RGB) for row in rows)
    return torch.stack([squeeze(crop(picture, np.random.default_rng(0))) for picture in pictures])


def augmented(pictures: TowerPictures, rows: np.ndarray) -> Tensor:
    """Read rows as training does."""
    return pictures.read(rows, np.random.default_rng(0))


def rate(read: Callable[[np.ndarray], Tensor], count: int, runs: int = 3) -> float:
    """Pictures per CPU second of the fastest run, after a batch to warm up."""
    batches = np.array_split(np.arange(count), max(1, count // BATCH))
    read(batches[0])
    best = float("inf")
    for _ in range(runs):
        start = time.process_time()
        for batch in batches:
            read(batch)
        best = min(best, time.process_time() - start)
    return count / best


def compare(title: str, paths: list[Path], transform: TowerTransform, ways: dict[str, TowerPictures]) -> None:
    """Print the rate of each way to read these pictures, and how many times Pillow's it is."""
    size = sum(path.stat().st_size for path in paths) / len(paths) / 1000
    print(f"{title}, {len(paths)} JPEGs of {size:.0f} kB, tower of {transform.size} pixels: pictures/s of one core")
    readers: dict[str, Callable[[np.ndarray], Tensor]] = {
        "Pillow's decoder": partial(pillow, paths, transform),
        "torchvision's decoder": partial(torchvision_at_full_size, paths, transform),
    }
    readers |= {name: partial(augmented, pictures) for name, pictures in ways.items()}
    slowest = 0.0
    for name, read in readers.items():
        found = rate(read, len(paths))
        slowest = slowest or found
        print(f"  {name:<36}{found:>8,.0f}  {found / slowest:>5.1f} times Pillow's", flush=True)


def waiting(folder: Path, workers: int, run: str) -> tuple[float, float]:
    """Train two epochs -> share of waiting and pairs a second, in the second epoch."""
    command = [sys.executable, "train.py", "--data_path", str(folder), "--loss", "infonce", "--embed_size", "64"]
    command += ["--image_tower", "efficientnet_lite0", "--batch_size", "32", "--num_epochs", "2", "--log_step", "1"]
    command += ["--device", "cpu", "--workers", str(workers), "--logger_name", str(folder / run)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=REPOSITORY / "VSEpp_LSEH", env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    lines = (json.loads(line) for line in (folder / run / "metrics.jsonl").read_text().splitlines())
    rows = [row for row in lines if row["kind"] == "train" and row["epoch"] == 2]
    seconds = [1 / row["pairs_per_second"] for row in rows]
    share = sum(row["data_share"] * time for row, time in zip(rows, seconds, strict=True)) / sum(seconds)
    return share, len(rows) / sum(seconds)


def main() -> None:
    """Print the tables of reading pictures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--pictures", type=Path, help="folder of JPEGs, instead of ones made here")
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--size", type=int, default=224, help="pixels a side that the tower reads")
    parser.add_argument("--no_training", action="store_true", help="leave the share of waiting out")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    transform = TowerTransform(picture_input("torchvision:vit_b_16", arguments.size), RandomCrop())
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        images = folder / "images"
        images.mkdir()
        if arguments.pictures is not None:
            found = sorted(arguments.pictures.glob("*.jpg"))[: arguments.count]
            paths = [Path(shutil.copy(path, images)) for path in found]
        else:
            paths = draw_jpegs(images, arguments.count, 640, 480)
        captions = [f"picture {number} is number {k}" for number in range(len(paths)) for k in range(CAPTIONS)]
        rows = np.repeat(np.arange(len(paths)), CAPTIONS)
        split = Pictures(images, [path.name for path in paths], np.arange(len(paths)), captions, rows)
        with redirect_stdout(StringIO()):
            trained = np.arange(len(paths)) < len(paths) - len(paths) // 8
            write_index({"train": split.keep(trained), "dev": split.keep(~trained)}, folder)
            paths = split.keep(trained).paths
            cache = np.load(cache_pictures(paths, folder / "train_caps.txt", CACHE), mmap_mode="r")
        decoded = TowerPictures(paths, transform)
        ways = {
            "vse, from JPEGs": decoded,
            f"vse, from a cache of {CACHE} pixels": TowerPictures(paths, transform, cache),
        }
        compare("ordinary pictures", paths, transform, ways)
        if arguments.pictures is None:
            large = draw_jpegs(folder, 4, 3072, 2304)
            compare(
                "pictures of 7 megapixels", large, transform, {"vse, reduced scale": TowerPictures(large, transform)}
            )
        if arguments.no_training:
            return
        print("training on one thread: share of waiting for pictures")
        for cached in (True, False):
            if not cached:
                (folder / "train_pixels.npy").unlink()
            for workers in (0, 1):
                share, speed = waiting(folder, workers, f"run_{cached}_{workers}")
                kind = f"cache of {CACHE} pixels" if cached else "JPEGs"
                print(f"  {kind}, --workers {workers}: {share:.1%} waiting, {speed:.0f} pairs/s", flush=True)


if __name__ == "__main__":
    main()
