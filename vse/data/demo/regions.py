"""Regions of a demo picture and their features, from the pixels alone."""

from __future__ import annotations

from functools import cache

import numpy as np
import scipy
from numpy.typing import NDArray

from vse.data.demo.scenes import HEIGHT, WIDTH

Array = NDArray[np.float32]

FEATURE_SIZE = 256
SALIENT = 10  # boxes found in the picture; 1 + 9 + 16 of the fixed grid make up the 36


@cache
def grid_boxes() -> Array:
    """[26, 4] boxes (x1 y1 x2 y2, pixels): the whole picture, its 3 x 3 and its 4 x 4 tiles, row by row."""
    boxes = []
    for n in (1, 3, 4):
        x, y = np.meshgrid(np.arange(n) / n, np.arange(n) / n)
        boxes.append(np.stack([x, y, x + 1 / n, y + 1 / n], axis=-1).reshape(-1, 4))
    return (np.concatenate(boxes) * [WIDTH, HEIGHT, WIDTH, HEIGHT]).astype(np.float32)


def salient_boxes(pixels: NDArray[np.uint8]) -> Array:
    """[10, 4] boxes around what stands out, largest first.

    A pixel stands out that differs from the median colour of its row (sky, sea, floor run along rows). Connected
    areas of such pixels are candidates, all together and split by colour, so that a red ball before a blue house gets
    a box of its own. Candidates that nearly repeat a larger one are dropped; what is missing is filled up with the
    picture's quarters and halves.
    """
    small = shrink(pixels, CELL)
    contrast = np.abs(small - np.median(small, axis=1, keepdims=True)).max(axis=2)
    salient = contrast > 32
    level = np.floor(small / 64).astype(int) @ [1, 4, 16]
    # One plane for all salient cells, and one for each coarse colour; areas connect within a plane only.
    values = np.unique(level[salient])
    planes = np.concatenate([salient[None], salient & (level == values[:, None, None])])
    within = np.zeros((3, 3, 3), bool)
    within[1] = True
    labels, count = scipy.ndimage.label(planes, structure=within)
    area = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    found = [
        (float(x.start), float(y.start), float(x.stop), float(y.stop))
        for (_, y, x), cells in zip(scipy.ndimage.find_objects(labels), area, strict=True)
        if cells >= 6
    ]
    found.sort(key=lambda box: (-(box[2] - box[0]) * (box[3] - box[1]), box))
    boxes = np.array([*found, *FILLERS], np.float32)
    kept: list[int] = []
    for i, box in enumerate(boxes):
        if len(kept) == SALIENT:
            break
        if not kept or np.max(intersection_over_union(box, boxes[kept])) < 0.7:
            kept.append(i)
    return boxes[kept] * np.float32(CELL)


FILLERS = [
    (16.0, 12.0, 48.0, 36.0),
    *((x, y, x + 32.0, y + 24.0) for y in (0.0, 24.0) for x in (0.0, 32.0)),
    (0.0, 0.0, 32.0, 48.0), (32.0, 0.0, 64.0, 48.0), (0.0, 0.0, 64.0, 24.0), (0.0, 24.0, 64.0, 48.0),
    (16.0, 0.0, 48.0, 48.0),
    (8.0, 6.0, 56.0, 42.0),
]  # fmt: skip


def intersection_over_union(box: Array, boxes: Array) -> Array:
    """[4] against [n, 4] -> [n]."""
    size = np.maximum(np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2]), 0)
    common = size.prod(axis=1)
    return common / ((box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) - common)


ORIENTATIONS = 8
CELL = 4  # pixels; features are summed over cells of this size


def shrink(maps: NDArray, factor: int) -> Array:
    """[H, W, C] -> [H / factor, W / factor, C], means."""
    rows = np.add.reduce([maps[i::factor] for i in range(factor)], dtype=np.float32)
    means: Array = np.add.reduce([rows[:, i::factor] for i in range(factor)], dtype=np.float32) / np.float32(factor**2)
    return means


def cell_maps(pixels: NDArray[np.uint8]) -> Array:
    """[H, W, 3] -> [H/4, W/4, 36]: soft colour histogram (27), edge strength by orientation (8), fine texture (1)."""
    half = shrink(pixels, 2) / np.float32(255)
    small = shrink(half, CELL // 2)
    levels = np.maximum(0, 1 - 2 * np.abs(small[..., None] - np.array([0, 0.5, 1], np.float32)))  # [h, w, 3, 3]
    red, green, blue = levels[..., 0, :], levels[..., 1, :], levels[..., 2, :]
    colour = red[..., :, None, None] * green[..., None, :, None] * blue[..., None, None, :]
    grey = half.mean(axis=2)
    dy, dx = np.gradient(grey)
    strength, angle = np.hypot(dx, dy), np.arctan2(dy, dx) % np.pi * (ORIENTATIONS / np.pi)
    distance = np.abs(angle[..., None] - np.arange(ORIENTATIONS, dtype=np.float32))
    weight = np.maximum(0, 1 - np.minimum(distance, ORIENTATIONS - distance))
    fine = np.abs(grey - scipy.ndimage.uniform_filter(grey, 3))
    edges = shrink(np.concatenate([strength[..., None] * weight, fine[..., None]], axis=2), CELL // 2)
    return np.concatenate([colour.reshape(*small.shape[:2], 27), 4 * edges], axis=2)


@cache
def projection(size: int) -> tuple[Array, Array]:
    """Draw fixed random weights [size, FEATURE_SIZE] and biases [FEATURE_SIZE]."""
    rng = np.random.default_rng(2022)
    weights = rng.normal(0, 1 / np.sqrt(size), (size, FEATURE_SIZE))
    return weights.astype(np.float32), rng.normal(0, 0.3, FEATURE_SIZE).astype(np.float32)


def region_features(pixels: NDArray[np.uint8], boxes: Array) -> Array:
    """Pixels [H, W, 3] and boxes [R, 4] (pixels) -> features [R, 256], each of its own region's pixels and place.

    Means of `cell_maps` over the region and its 2 x 2 and 3 x 3 cells (colour layout, shape, texture), their square
    roots, the box's place and size; then one fixed random layer with ReLU: non-negative like a detector's features.
    """
    maps = cell_maps(pixels)
    integral = np.zeros((maps.shape[0] + 1, maps.shape[1] + 1, maps.shape[2]))
    np.cumsum(maps, axis=0, out=integral[1:, 1:])
    np.cumsum(integral[1:, 1:], axis=1, out=integral[1:, 1:])

    cells = np.concatenate([grid[None] for grid in cell_grids()], axis=1)  # [1, 14, 4]
    origin, extent = boxes[:, None, [0, 1, 0, 1]], np.tile(boxes[:, None, 2:] - boxes[:, None, :2], 2)
    corners = (origin + cells * extent) / CELL
    x1, y1 = np.floor(corners[..., :2]).astype(int).transpose(2, 0, 1)
    x2, y2 = np.ceil(corners[..., 2:]).astype(int).transpose(2, 0, 1)
    x2, y2 = np.minimum(x2, maps.shape[1]), np.minimum(y2, maps.shape[0])
    sums = integral[y2, x2] - integral[y1, x2] - integral[y2, x1] + integral[y1, x1]
    means = sums / ((x2 - x1) * (y2 - y1))[..., None]
    layout = np.sqrt(np.maximum(means, 0)).reshape(len(boxes), -1)

    place = boxes / np.array([WIDTH, HEIGHT, WIDTH, HEIGHT], np.float32)
    described = np.concatenate([layout - 0.15, 2 * place - 1, 2 * (place[:, 2:] - place[:, :2]) - 1], axis=1)
    weights, bias = projection(described.shape[1])
    return np.maximum(5 * described.astype(np.float32) @ weights + bias, 0)


@cache
def cell_grids() -> tuple[Array, ...]:
    """Cells of a region in parts of its width and height: [1, 4], [4, 4], [9, 4]."""
    grids = []
    for n in (1, 2, 3):
        x, y = np.meshgrid(np.arange(n) / n, np.arange(n) / n)
        grids.append(np.stack([x, y, x + 1 / n, y + 1 / n], axis=-1).reshape(-1, 4).astype(np.float32))
    return tuple(grids)


def find_regions(pixels: NDArray[np.uint8]) -> tuple[Array, Array]:
    """Picture [H, W, 3] -> boxes [36, 4] and features [36, 256].

    Order: the 26 grid boxes (whole, 3 x 3, 4 x 4, row by row), then the 10 salient ones, largest first. A network that
    flattens the regions thus sees the same place of the picture in the same 26 slots of every picture.
    """
    boxes = np.concatenate([grid_boxes(), salient_boxes(pixels)])
    return boxes, region_features(pixels, boxes)
