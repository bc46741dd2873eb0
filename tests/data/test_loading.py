"""Data sets as networks read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vse.data.loading import Reader, open_training_data
from vse.errors import InputError
from vse.options import DataOptions


def test_a_file_of_descriptions_is_read_in_place_of_svd(make_data_set, tmp_path: Path) -> None:
    make_data_set(tmp_path / "small")
    np.save(tmp_path / "mine.npy", np.arange(360, dtype=np.float32).reshape(120, 3))
    data = DataOptions(str(tmp_path), "small", descriptions=str(tmp_path / "mine.npy"))
    read = open_training_data(data, Reader(), 0, needs_descriptions=True).pairs.descriptions
    assert read[5].tolist() == [15, 16, 17]


def test_descriptions_that_no_objective_reads_are_refused(make_data_set, tmp_path: Path) -> None:
    make_data_set(tmp_path / "small")
    data = DataOptions(str(tmp_path), "small", descriptions="sentence")
    with pytest.raises(InputError, match="--descriptions and --sentence_encoder do nothing"):
        open_training_data(data, Reader(), 0, needs_descriptions=False)
