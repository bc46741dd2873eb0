"""Arrays over all images: rows by image, or regions in a row; what does not fit together is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vse.data.sources.table import BLOCK, TableSource
from vse.errors import InputError

PATH = Path("a.npz")
IMAGES = BLOCK + 3


class Counted:
    """An array that counts how often it is read."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.ndim, self.shape, self.dtype, self.reads = array, array.ndim, array.shape, array.dtype, 0

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, rows: slice) -> np.ndarray:
        self.reads += 1
        part: np.ndarray = self.array[rows]
        return part


def table(**changes: Any) -> TableSource:
    arrays = {"features": np.ones((2, 3, 4), np.float32), "ids": np.array([7, 9]), **changes}
    return TableSource(PATH, arrays, "features")


def test_neighbouring_images_are_read_together() -> None:
    array = Counted(np.arange(IMAGES, dtype=np.float32)[:, None])
    source = table(features=array, ids=np.arange(IMAGES))
    assert [source.features(entry).item() for entry in source.entries()] == list(range(IMAGES))
    assert array.reads == 2


def test_counts_split_regions_in_a_row() -> None:
    regions = np.arange(5, dtype=np.float32)[:, None]
    source = table(features=regions, num_boxes=np.array([2, 3]), boxes=np.repeat(regions, 4, axis=1))
    first, second = source.entries()
    assert (first.shape, second.shape, source.axes) == ((2, 1), (3, 1), "rd")
    assert source.features(second).ravel().tolist() == [2, 3, 4]
    assert second.boxes is not None
    assert second.boxes[:, 0].tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"num_boxes": np.array([2, np.nan])}, "num_boxes .*expected a finite number for each image"),
        ({"num_boxes": np.ones((2, 2))}, "num_boxes .*expected a finite number for each image"),
        ({"image_w": np.ones(3)}, "3 widths for 2 images of features; expected as many"),
        ({"boxes": np.ones((3, 3, 4))}, "expected as many rows"),
        ({"image_ids": np.array([9, 7])}, "holds image_ids and ids, which differ; give the right ones with --ids FILE"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError, match=f"^a.npz: .*{complaint}"):
        table(**changes)


def test_features_without_ids_ask_for_them(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"features without ids; .*--ids FILE"):
        TableSource(tmp_path / "a.npz", {"features": np.ones((2, 4))}, "features")
