"""The precision of bare numbers follows from their bytes, or is asked for."""

from __future__ import annotations

import numpy as np
import pytest

from vse.data.sources.payload import DTYPES, decide_dtype
from vse.errors import InputError


def decide(arrays: list[np.ndarray], expected: str = "float32") -> str:
    payloads = [np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8) for array in arrays]
    return decide_dtype(payloads, [len(array) for array in arrays], expected, "a.tsv")


def real(kind: str, images: int = 6, regions: int = 4, size: int = 32) -> np.ndarray:
    generator = np.random.default_rng(3)
    values = generator.normal(size=(images, regions, size))
    return {
        "dense": values,
        "rectified": np.maximum(values, 0) * 5,
        "pooled": generator.exponential(size=values.shape),
    }[kind]


@pytest.mark.parametrize("kind", ["dense", "rectified", "pooled"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("expected", DTYPES)
def test_real_features_are_never_read_in_another_precision(kind: str, dtype: str, expected: str) -> None:
    try:
        found = decide(list(real(kind).astype(DTYPES[dtype])), expected)
    except InputError:
        found = dtype if dtype != expected else "refused"
    assert found == dtype


@pytest.mark.parametrize("kind", ["dense", "rectified", "pooled"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_precision_is_found_where_float32_is_usual(kind: str, dtype: str) -> None:
    assert decide(list(real(kind).astype(DTYPES[dtype]))) == dtype


@pytest.mark.parametrize("values", [np.zeros(4), np.ones(4), np.arange(4.0), np.array([0.5, 1, 2, 4])])
def test_round_numbers_stay_what_they_are_expected_to_be(values: np.ndarray) -> None:
    assert decide([np.tile(values, (2, 1)).astype(DTYPES["float32"])] * 3) == "float32"


def test_a_row_with_nan_does_not_change_the_precision() -> None:
    array = real("dense", images=1).astype(DTYPES["float32"])
    array[0, 0, 0] = np.nan
    assert decide(list(array)) == "float32"


def test_no_plausible_numbers_are_refused() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, 4, 64), dtype=np.uint8)
    with pytest.raises(InputError, match=r"a\.tsv: as float32, the features are no plausible numbers; .*--dtype_in"):
        decide(list(noise))
