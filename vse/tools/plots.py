"""Plots of an experiment, each as PNG and SVG: curves over epochs, and the points of every seed."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from vse.files import write_atomically

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#8A8A00")
"""Okabe and Ito's, told apart by colour-blind readers; yellow darkened to be seen on white."""

STYLES = ("-", "--", ":", "-.")

Curve = Sequence[tuple[float, float]]


def draw_curves(stem: Path, curves: Mapping[str, Sequence[Curve]], value: str) -> bytes:
    """Plot values over epochs: a thin line for every seed, a thick one for their mean where all seeds have a value.

    Args:
        stem: path of the files without their ends.
        curves: name of a row -> one curve of (epoch, value) for each seed.
        value: name of the value.

    Returns:
        The SVG.
    """
    canvas, axes = _canvas(4.0 + 0.2 * len(curves))
    for number, (name, seeds) in enumerate(curves.items()):
        look = {"color": COLOURS[number % len(COLOURS)], "linestyle": STYLES[number // len(COLOURS) % len(STYLES)]}
        values: dict[float, list[float]] = {}
        for curve in seeds:
            axes.plot(*zip(*curve, strict=True), linewidth=0.7, alpha=0.45, **look)
            for epoch, reached in curve:
                values.setdefault(epoch, []).append(reached)
        means = [(epoch, sum(v) / len(v)) for epoch, v in sorted(values.items()) if len(v) == len(seeds)]
        axes.plot(*zip(*means, strict=True), linewidth=2.0, label=_wrapped(name, 44), **look)
    axes.set_xlabel("epoch")
    axes.set_ylabel(value)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.16), frameon=False, fontsize=9)
    return _save(canvas, stem)


def draw_points(stem: Path, points: Mapping[str, Sequence[float]], value: str) -> bytes:
    """Plot the value of every seed as a point, row by row, and the mean of a row as a bar.

    Args:
        stem: path of the files without their ends.
        points: name of a row -> value of each seed.
        value: name of the value.

    Returns:
        The SVG.
    """
    canvas, axes = _canvas(1.0 + 0.5 * len(points))
    for number, values in enumerate(points.values()):
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(values, [number] * len(values), "o", color=colour, alpha=0.75, markersize=6)
        axes.plot([sum(values) / len(values)], [number], "|", color=colour, markersize=22, markeredgewidth=2)
    axes.set_yticks(range(len(points)), [_wrapped(name, 20) for name in points], fontsize=9)
    axes.set_ylim(len(points) - 0.5, -0.5)
    axes.set_xlabel(value)
    return _save(canvas, stem)


def _canvas(height: float) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # an extra, and slow to import
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    return figure, axes


def _save(figure: Any, stem: Path) -> bytes:
    from matplotlib import rc_context

    contents = {}
    with rc_context({"svg.hashsalt": "vse"}):  # the same plot is the same file
        for kind, metadata in (("png", {}), ("svg", {"Date": None})):
            content = io.BytesIO()
            figure.savefig(content, format=kind, dpi=160, metadata=metadata)
            contents[kind] = content.getvalue()
    for kind, plot in contents.items():
        write_atomically(stem.with_name(f"{stem.name}.{kind}"), partial(_write, plot))
    return contents["svg"]


def _write(content: bytes, file: BinaryIO) -> None:
    file.write(content)


def _wrapped(text: str, width: int) -> str:
    # A dollar would begin a formula.
    return "\n".join(textwrap.wrap(text, width)).replace("$", r"\$")
