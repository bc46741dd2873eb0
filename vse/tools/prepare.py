"""`python -m vse prepare DATA`: make the files that training makes before it starts, and list them."""

from __future__ import annotations

import contextlib
import io
from functools import partial
from pathlib import Path

from vse.console import say
from vse.data.datasets import search_data_set
from vse.data.decoding import cache_pictures
from vse.data.images import CropTransform, features_or_pictures, require_pictures
from vse.data.index import folder_pictures
from vse.data.loading import Reader, open_training_data, prepare_words
from vse.errors import InputError
from vse.options import DataOptions
from vse.tools.options import PrepareOptions


def main(options: PrepareOptions) -> None:
    """Prepare and report.

    Raises:
        InputError: what training would refuse.
    """
    before = _files_before(options)
    data = DataOptions(options.path, options.data_name, options.vocab_path, batch_size=1)  # fits any number of captions
    reader = Reader(
        features_or_pictures(CropTransform()), prepare_text=partial(prepare_words, tokeniser=options.tokeniser)
    )
    training = open_training_data(data, reader, seed=0, needs_descriptions=options.descriptions)
    folder = training.pairs.split.captions_file.parent
    if options.resize is not None:
        for name, pictures in folder_pictures(folder).items():
            require_pictures(pictures)
            cache_pictures(pictures.paths, folder / f"{name}_caps.txt", options.resize, options.workers)
    written = [name for name, time in sorted(_files(folder).items()) if before.get(name) != time]
    say(f"{folder}: ready to train on; written: {', '.join(written) or 'nothing, all was there and up to date'}")


def _files_before(options: PrepareOptions) -> dict[str, int]:
    """List the files of the data set's folder, if it is there."""
    with contextlib.suppress(InputError), contextlib.redirect_stdout(io.StringIO()):
        return _files(search_data_set(options.path, options.data_name))
    return {}


def _files(folder: Path) -> dict[str, int]:
    """List the files of a folder with the time when each was written."""
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.is_file()}
