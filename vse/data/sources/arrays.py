"""Features of one image as a .npy or .npz: a file in a folder of them, or a value of a database; and tables of both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vse.console import say
from vse.data.pictures import first_of
from vse.data.sources.entry import (
    BOX_KEYS,
    COUNT_KEYS,
    HEIGHT_KEYS,
    ID_KEYS,
    NPZ_FEATURE_KEYS,
    WIDTH_KEYS,
    Axes,
    Entry,
    Found,
    check_shape,
    make_entry,
    natural,
    pick,
)
from vse.data.sources.table import SPANS, TableSource
from vse.errors import InputError
from vse.formats.array_files import Archive, npy_shape, read_npy

NPY = b"\x93NUMPY"

NPZ = b"PK\x03\x04"


@contextmanager
def damage(where: str) -> Iterator[None]:
    """Raise `InputError` for what a library raises about damaged files."""
    try:
        yield
    except (ValueError, OSError) as problem:
        raise InputError(f"{where}: {problem}; expected an array of floats as numpy.save writes it") from None


class FolderSource:
    """A folder, with folders in it, of a .npz or .npy for each image; the image is the path without that suffix.

    Args:
        key: name of the features in .npz files.

    Raises:
        InputError: no such files in it.
    """

    def __init__(self, path: Path, key: str | None = None) -> None:
        self.path, self.key = path, key
        files = {file for file in path.rglob("*") if file.suffix in (".npy", ".npz") and file.is_file()}
        notes = {file for file in files if file.stem.endswith("_info") and _described(file) in files}
        if notes:
            say(f"{path}: {len(notes)} files *_info{next(iter(notes)).suffix} describe others and are passed over")
        self.files = sorted(files - notes, key=lambda file: natural(str(file)))
        if not self.files:
            inside = sorted({f"*{file.suffix}" if file.suffix else file.name for file in path.iterdir()})
            raise InputError(
                f"{path}: a folder that holds {first_of(inside) or 'nothing'}; expected a .npz or .npy for each image, "
                "or the data.mdb of LMDB"
            )
        tables = [file.name for file in self.files if file.name.endswith("_ims.npy")]
        if tables:
            raise InputError(f"{path}: holds {first_of(tables)}, tables of many images; give these files instead")

    @property
    def axes(self) -> Axes:
        """Order of the axes of the stored arrays."""
        return "auto"

    def entries(self) -> list[Entry]:
        """List the images, with shapes, boxes and sizes; features are not read."""
        found = []
        for file in self.files:
            image = file.relative_to(self.path).with_suffix("").as_posix()
            with _opened(file) as content:
                found.append(array_entry(image, content, self.key, str(file), file))
        return found

    def features(self, entry: Entry) -> np.ndarray:
        """Read the features of an entry as they are stored."""
        with _opened(entry.place) as content:
            return read_array(content, self.key, entry.where)

    def close(self) -> None:
        """Nothing is open between two images."""


def _described(note: Path) -> Path:
    return note.with_name(note.stem.removesuffix("_info") + note.suffix)


def _opened(file: Path) -> BinaryIO:
    try:
        return file.open("rb")
    except OSError as problem:
        raise InputError(f"{file}: cannot be read ({problem.strerror}); expected the features of an image") from None


def open_table(path: Path, key: str | None = None, ids: Path | None = None) -> TableSource:
    """Open a .npy, or a .npz with arrays over all images.

    Raises:
        InputError: as TableSource, or damaged.
    """
    with damage(str(path)):
        with path.open("rb") as file:
            archived = file.read(len(NPZ)) == NPZ
        if not archived:
            return TableSource(path, {"features": read_npy(path, "r")}, "features", ids)
        with Archive(path) as archive:
            name = _features_name(archive, key, str(path))
            wanted = (name, SPANS, *ID_KEYS, *BOX_KEYS, *COUNT_KEYS, *WIDTH_KEYS, *HEIGHT_KEYS)
            arrays = {name: archive[name] for name in wanted if name in archive}
    return TableSource(path, arrays, name, ids)


def array_entry(image: str, file: BinaryIO, key: str | None, where: str, place: Any) -> Entry:
    """Describe an image's features in a .npy or .npz file, with the boxes and sizes beside them, without reading them.

    Raises:
        InputError: damaged, of another form, or Python objects.
    """
    with damage(where):
        if _is_archive(file, where):
            archive = Archive(file)

            def find(names: tuple[str, ...]) -> Found:
                name = pick(archive, names, where, "expected one of them")
                return None if name is None else (name, archive[name])

            shape = archive.shape(_features_name(archive, key, where))
            check_shape(shape, where)
            return make_entry(image, shape, where, place, find)
        shape = npy_shape(file)
    check_shape(shape, where)
    return Entry(image, shape, where, place)


def read_array(file: BinaryIO, key: str | None, where: str) -> np.ndarray:
    """Read the features of `array_entry`.

    Raises:
        InputError: as array_entry.
    """
    with damage(where):
        if _is_archive(file, where):
            archive = Archive(file)
            return archive[_features_name(archive, key, where)]
        npy_shape(file)
        return np.lib.format.read_array(file, allow_pickle=False)


def _is_archive(file: BinaryIO, where: str) -> bool:
    head = file.read(len(NPY))
    file.seek(0)
    if head != NPY and head[: len(NPZ)] != NPZ:
        raise InputError(
            f"{where}: neither .npy nor .npz; bare numbers in LMDB need --dim, and pickled Python objects are not "
            "read, because reading would run them"
        )
    return head != NPY


def _features_name(archive: Archive, key: str | None, where: str) -> str:
    name = pick(archive, (key,) if key else NPZ_FEATURE_KEYS, where, "say which with --features_key")
    if name is None:
        raise InputError(f"{where}: holds {', '.join(archive)}; name the features with --features_key")
    return name
