"""Make the files that training needs: the demo, the index of a raw data set. Everything here writes and says so."""

from __future__ import annotations

from pathlib import Path

from vse import REPOSITORY
from vse.console import say
from vse.data.datasets import DEMO, holds_splits, is_raw_index, require_current, search_data_set
from vse.data.demo import make_demo
from vse.data.index import RECORD
from vse.data.index_writer import changed_sources, edited_captions, write_index
from vse.data.listings import raw_pictures
from vse.errors import InputError
from vse.published.sets import canonical_name


def prepare_data_set(data_path: str | Path | None, data_name: str | None) -> Path:
    """Find the folder of a data set as `locate_data_set` does, and make what is missing or out of date.

    The demo is drawn on first use. A raw data set gets the captions, ids and names of its splits written beside its
    pictures, again when its caption file has changed.

    Raises:
        InputError: no such folder, a raw data set that cannot be read, or a folder that cannot be written.
    """
    if data_path is None and canonical_name(data_name or DEMO) == DEMO:
        make_demo(REPOSITORY / "data" / "demo_precomp")
    folder = search_data_set(data_path, data_name)
    if not holds_splits(folder):
        index_raw_set(folder, data_name)
    elif is_raw_index(folder) and (changed := changed_sources(folder)):
        edited = edited_captions(folder)
        if edited:
            raise InputError(
                f"{edited[0]}: edited since it was made from {', '.join(changed)}, which has changed as well; delete "
                f"the file to have it made again, or {folder / RECORD} to keep it"
            )
        say(f"{folder}: {', '.join(changed)} has changed since its captions were read")
        index_raw_set(folder, data_name)
    require_current(folder)
    return folder


def index_raw_set(folder: Path, data_name: str | None = None) -> None:
    """Write captions, ids and names of a raw data set beside its pictures.

    Raises:
        InputError: as `raw_pictures`; the folder cannot be written.
    """
    splits = raw_pictures(folder, data_name)
    write_index(splits, folder)
    for split, pictures in splits.items():
        say(f"{folder / split}_caps.txt: {len(pictures.captions)} captions of {len(pictures.names)} images")
