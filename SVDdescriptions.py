"""Semantic description vectors for LSEH: captions -> TF-IDF -> 400 components, one vector per training caption.

    python SVDdescriptions.py --data_path $DATA_PATH

$DATA_PATH is a train_caps.txt, the folder that holds it, or with --data_name the folder that holds the data sets. The
result is output/train_svd.txt and, for quick reading, train_svd.npy and train_svd.json; keep them beside the captions
or leave them there. Training makes vectors that it does not find, so running this first is never necessary.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vse import REPOSITORY
from vse.cli import run
from vse.ranges import AtLeast1


@dataclass
class Options:
    """Options of the command line."""

    data_path: str | None = None
    """A train_caps.txt, its folder, or (with --data_name) the folder that holds the data set folders."""
    data_name: str | None = None
    """Data set: f30k, coco, iaprtc12 or a folder's name; without --data_path and --data_name the built-in demo."""
    output: str = str(REPOSITORY / "output")
    """Folder of the results."""
    solver: Literal["exact", "randomized"] = "exact"
    """exact, or the published randomized one: about twenty times slower, and not converged."""
    components: AtLeast1 = 400
    """Length of a vector."""
    threads: AtLeast1 = 1
    """Threads of the linear algebra libraries; more rarely help."""


def main(options: Options) -> None:
    """Write the description vectors of a data set's training captions."""
    from vse.console import say, warn
    from vse.descriptions.store import ARRAY, RECORD, TEXT, save
    from vse.files import writable_folder
    from vse.text.captions import read_captions

    output = writable_folder(options.output, "--output")
    captions_file = find_captions(options)
    captions = read_captions(captions_file)

    from vse.descriptions.svd import fit  # seconds of imports: after what can be refused

    descriptions = fit(captions, options.components, options.solver, options.threads, captions_file)
    rows, components = descriptions.vectors.shape
    if components < options.components:
        warn(f"{captions_file}: too few captions or words for {options.components} components, made {components}")
    save(descriptions, output, captions_file)
    say(f"{captions_file}: {rows} captions, {components} components -> {output / TEXT}, {ARRAY}, {RECORD}")


def find_captions(options: Options) -> Path:
    """Return the caption file that the options name."""
    if options.data_path is not None and options.data_name is None:
        path = Path(options.data_path)
        if path.is_file():
            return path
        if (path / "train_caps.txt").is_file():
            return path / "train_caps.txt"
    from vse.data.preparing import prepare_data_set  # imports torch

    return prepare_data_set(options.data_path, options.data_name) / "train_caps.txt"


if __name__ == "__main__":
    run(main, Options)
