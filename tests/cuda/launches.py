"""Count the kernels that a training step launches on the pretend GPU, and the waits of the host for it.

    python -m tests.cuda.launches                       layers of 16 units, which launch as many kernels; seconds each
    python -m tests.cuda.launches sgr --published       layers of published size, on 36 x 2048 features; minutes
    python -m tests.cuda.launches sgr --lines 20        and the source lines that launch most

A step has 128 pairs of images with 36 regions, which are kept on the GPU, and captions of 8 to 25 words, as long as
those of Flickr30K. Forward pass, backward pass, clipping and optimizer are counted in the second step: the first one
also makes the optimizer's state. cuDNN's GRU counts as one kernel.
"""

from __future__ import annotations

import argparse
import importlib
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
from tabulate import tabulate

from tests.commands.test_gsmn import add_boxes, add_parses
from tests.conftest import ROOT, write_data_set
from tests.cuda.pretend_gpu import pretend_gpu
from vse.cli import parse
from vse.training import loop

PAIRS = 128
NETWORKS = {
    "vsepp": ("VSEpp_LSEH", "--max_violation"),
    "hal": ("HAL", ""),
    "vsrn": ("VSRN_LSEH", "--max_violation"),
    "vseinfty": ("VSEinfty_LSEH", "--max_violation --text_encoder bigru"),
    "sgr": ("SGRAF_LSEH", "--module_name SGR"),
    "saf": ("SGRAF_LSEH", "--module_name SAF"),
    "gsmn": ("GSMN_LSEH", "--max_violation --bi_gru --lambda_softmax 20"),
    "gsmn-sparse": ("GSMN_LSEH", "--max_violation --bi_gru --lambda_softmax 20 --is_sparse"),
}
"""Name -> its folder and the flags of its published recipe."""

SMALL = {
    "VSRN_LSEH": "--embed_size 16 --word_dim 8 --dim_hidden 8 --dim_word 8",
    "SGRAF_LSEH": "--embed_size 16 --word_dim 8 --sim_dim 8",
}
"""Folder -> flags of small layers, where they are not `--embed_size 16 --word_dim 8` alone."""


class Step(NamedTuple):
    """What one step did."""

    launches: int
    waits: int
    lines: Counter[str]  # launches by source line


def write_data(root: Path, size: int) -> None:
    """Write the data set counted_precomp: the pairs of two steps, of images with 36 regions of `size`."""
    folder = write_data_set(root / "counted_precomp", images=(PAIRS, 2, 2), regions=36, size=size)
    generator = np.random.default_rng(0)
    words = [f"word{number}" for number in range(200)]
    for split, captions in (("train", 2 * PAIRS), ("dev", 4)):
        lengths = np.exp(generator.normal(np.log(11.5), 0.35, captions)).round().astype(int).clip(8, 25)
        lines = [" ".join(generator.choice(words, length)) for length in lengths]
        (folder / f"{split}_caps.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    add_boxes(folder, regions=36)
    add_parses(folder)


def second_step(network: str, published: bool = False) -> Step:
    """Train for two steps and count what the second one does, with layers and features of published size or small."""
    folder, flags = NETWORKS[network]
    sizes = "" if published else SMALL.get(folder, "--embed_size 16 --word_dim 8")
    script = importlib.import_module(f"{folder}.train")
    take_step, steps = loop.take_step, []

    def counted(*given: object) -> object:
        seen.clear()
        result = take_step(*given)  # type: ignore[arg-type]
        steps.append(Step(seen.launches.total(), seen.syncs.total(), seen.launch_lines))
        return result

    with tempfile.TemporaryDirectory() as name:
        write_data(Path(name), 2048 if published else 6)
        command = (
            f"--data_path {name} --data_name counted_precomp --logger_name {name}/run --batch_size {PAIRS} "
            f"--num_epochs 1 --device cuda {flags} {sizes}"
        )
        with pretend_gpu(ROOT) as seen, mock.patch.object(loop, "take_step", counted):
            script.main(parse(script.Options, arguments=command.split(), description=""))
    return steps[1]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Kernels that a training step launches on the pretend GPU.")
    parser.add_argument("networks", nargs="*", metavar="network", help=", ".join(NETWORKS))
    parser.add_argument("--published", action="store_true", help="layers and features of published size")
    parser.add_argument("--lines", type=int, default=0, help="also print the source lines that launch most")
    given = parser.parse_args()
    table = []
    for network in given.networks or NETWORKS:
        step = second_step(network, given.published)
        table.append([network, step.launches, step.waits])
        for line, launches in step.lines.most_common(given.lines):
            print(f"{network}: {launches:4d} {line}")
    print(tabulate(table, headers=["network", "launches", "waits"]))


if __name__ == "__main__":
    main()
