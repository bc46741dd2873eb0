"""Where memory is not enough, work goes on in halves."""

from __future__ import annotations

import pytest

from vse.evaluation.halving import Halving

LACK = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 4096 bytes."


def collected(halving: Halving, count: int, fits: int) -> list[int]:
    """Return the sizes of the slices that worked; check that they hold every item once, in order."""
    done: list[int] = []
    sizes = []

    def work(some: slice) -> None:
        if some.stop - some.start > fits:
            raise RuntimeError(LACK)
        done.extend(range(some.start, some.stop))
        sizes.append(some.stop - some.start)

    halving(work, count)
    assert done == list(range(count))
    return sizes


@pytest.mark.parametrize("count", [1, 2, 7, 33])
@pytest.mark.parametrize("fits", [1, 2, 5, 100])
def test_every_item_is_worked_on_once(count: int, fits: int) -> None:
    assert max(collected(Halving(), count, fits)) <= fits


def test_what_did_not_fit_is_not_tried_again() -> None:
    halving = Halving()
    assert collected(halving, 32, 8) == [8] * 4
    assert halving.times == 2
    assert collected(halving, 32, 8) == [8] * 4
    assert halving.times == 2


def test_too_little_memory_for_one_item_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="4096 bytes"):
        collected(Halving(), 5, 0)


def test_other_errors_pass() -> None:
    def fail(some: slice) -> None:
        raise ValueError("no memory is lacking")

    with pytest.raises(ValueError, match="no memory"):
        Halving()(fail, 4)


def test_a_warning_says_so_once(capsys: pytest.CaptureFixture[str]) -> None:
    collected(Halving(), 32, 4)
    line = "warning: not enough memory, 4.0 KiB were asked for; it goes on with half of it at a time\n"
    assert capsys.readouterr().err == line
