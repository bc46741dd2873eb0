"""HDF5: arrays over all images, or an entry for each image, under its id or with its id in the name."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vse.console import warn
from vse.data.pictures import first_of
from vse.data.sources.entry import (
    BOX_KEYS,
    COUNT_KEYS,
    FEATURE_KEYS,
    HEIGHT_KEYS,
    ID_KEYS,
    NPZ_FEATURE_KEYS,
    WIDTH_KEYS,
    Axes,
    Entry,
    Find,
    Found,
    Source,
    check_shape,
    make_entry,
    natural,
    pick,
)
from vse.data.sources.table import TableSource
from vse.errors import InputError

ENDINGS = (*FEATURE_KEYS, "grids")
"""`{id}_features`, as captioning's detections are published, with `{id}_boxes` beside."""


LARGEST_CHUNK = 2**28
"""Bytes of a chunk; a chunk is read as a whole."""

DEEPEST = 30
"""Folders in the name of an image."""

BESIDE = (*FEATURE_KEYS, *ID_KEYS, *BOX_KEYS, *COUNT_KEYS, *WIDTH_KEYS, *HEIGHT_KEYS)
"""A group with one of these is an image, not a folder."""


def open_hdf5(path: Path, key: str | None = None, ids: Path | None = None) -> Source:
    """Open an HDF5 file of any of the forms.

    Args:
        key: name of the features, where it is none of FEATURE_KEYS.
        ids: file with the id of each row, for arrays over all images.

    Raises:
        InputError: h5py is missing, or the file is damaged or points to other files.
    """
    try:
        import h5py
    except ImportError:
        raise InputError(f'{path}: reading HDF5 takes the package h5py; pip install "vse[convert]"') from None
    with damage(path):
        members = _Members(h5py.File(path, "r"), path)
        found = key if key in members else pick(members, FEATURE_KEYS, str(path), "say which with --features_key")
        if found is not None and isinstance(members[found], h5py.Dataset):
            return TableSource(path, members, found, ids, members.group.close)
        return EntrySource(path, members, found, key)


@contextmanager
def damage(path: Path) -> Iterator[None]:
    """Raise `InputError` for what a library raises about damaged files."""
    try:
        yield
    except (OSError, RuntimeError, KeyError) as problem:
        reason = str(problem).partition("\n")[0]
        raise InputError(f"{path}: damaged or not HDF5 ({reason}); use another copy of the file") from None


class _Members(Mapping[str, Any]):
    """The members of an HDF5 group; links, and data of other files, are refused."""

    def __init__(self, group: Any, path: Path) -> None:
        self.group, self.path = group, path

    def __getitem__(self, name: str) -> Any:
        import h5py

        if not isinstance(self.group.get(name, getlink=True), h5py.HardLink):
            raise InputError(
                f"{self.path}: {name} is a link, which may lead anywhere, or to another file; expected the data "
                "itself, copy it with h5repack"
            )
        member = self.group[name]
        if isinstance(member, h5py.Dataset) and (member.is_virtual or member.external):
            raise InputError(f"{self.path}: {name} points to another file; expected the features in this file itself")
        if isinstance(member, h5py.Group):
            return _Members(member, self.path)
        size = math.prod(getattr(member, "chunks", None) or ()) * member.dtype.itemsize
        if size > LARGEST_CHUNK:
            raise InputError(
                f"{self.path}: {name} is stored in chunks of {size / 1e6:.0f} MB, of which reading one image unpacks a "
                "whole one; make them smaller with h5repack -l"
            )
        return member

    def __iter__(self) -> Iterator[str]:
        return iter(self.group)

    def __len__(self) -> int:
        return len(self.group)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.group.get(name, getlink=True) is not None


class EntrySource:
    """HDF5 with an entry for each image, in one of three forms; sizes and numbers of boxes may be its attributes.

    `{id}` is the features or a group that holds them; `features/{id}`; or `{id}_features`. An id may be a path.

    Args:
        group: name of the group of features, for the second form.
        key: name of the features in groups of the first form, or at the end of names of the third.
    """

    def __init__(self, path: Path, members: _Members, group: str | None, key: str | None) -> None:
        self.path, self.members, self.group = path, members, group
        self.keys = (key,) if key else NPZ_FEATURE_KEYS
        ends = [end for end in ((key,) if key else ENDINGS) if any(name.endswith(f"_{end}") for name in members)]
        ends = [end for end in ends if not any(other.endswith(f"_{end}") for other in ends)]
        if len(ends) > 1 and group is None:
            raise InputError(f"{path}: entries that end in {' and in '.join(ends)}; say which with --features_key")
        self.ending = f"_{ends[0]}" if ends and group is None else None

    def close(self) -> None:
        """Close the file."""
        self.members.group.close()

    @property
    def axes(self) -> Axes:
        """Order of the axes of the stored arrays."""
        return "auto"

    def entries(self) -> list[Entry]:
        """List the images, with shapes, boxes and sizes; features are not read."""
        with damage(self.path):
            if self.group is not None:
                return [
                    self._in_group(self.group, name)
                    for name in sorted(self._images(self.members[self.group]), key=natural)
                ]
            if self.ending is not None:
                return self._with_ending(self.ending)
            return [self._single(name) for name in sorted(self._images(self.members), key=natural)]

    def _images(self, members: _Members, folder: str = "") -> Iterator[str]:
        """Names of images; one like `train2014/1.jpg` has made groups of its folders."""
        if folder.count("/") > DEEPEST:
            raise InputError(f"{self.path}: groups within groups, {DEEPEST} deep; expected an entry for each image")
        for name in members:
            member = members[name]
            if isinstance(member, _Members) and len(member) and not any(key in member for key in (*self.keys, *BESIDE)):
                yield from self._images(member, f"{folder}{name}/")
            else:
                yield folder + name

    def features(self, entry: Entry) -> np.ndarray:
        """Read the features of an entry as they are stored."""
        with damage(self.path):
            return np.asarray(self.members.group[entry.place][()])

    def _in_group(self, group: str, name: str) -> Entry:
        def find(names: tuple[str, ...]) -> Found:
            beside = [(other, self.members[other]) for other in names if other in self.members]
            return next(
                (
                    (other, values[name][()])
                    for other, values in beside
                    if isinstance(values, _Members) and name in values
                ),
                None,
            )

        return self._entry(name, f"{group}/{name}", self.members[group][name], find)

    def _with_ending(self, ending: str) -> list[Entry]:
        images = [name.removesuffix(ending) for name in self.members if name.endswith(ending)]
        known = set(images)
        others = [name for name in self.members if not any(start in known for start in _starts(name))]
        if others:
            warn(f"{self.path}: entries without features, left out: {first_of(sorted(others, key=natural))}")

        def entry(image: str) -> Entry:
            def find(names: tuple[str, ...]) -> Found:
                ends = (f"{image}_{name}" for name in names)
                return next(((end, self.members[end][()]) for end in ends if end in self.members), None)

            return self._entry(image, image + ending, self.members[image + ending], find)

        return [entry(image) for image in sorted(images, key=natural)]

    def _single(self, name: str) -> Entry:
        member = self.members[name]
        if not isinstance(member, _Members):
            return self._entry(name, name, member, lambda _: None)
        where = f"{self.path}, entry {name[:60]!r}"
        key = pick(member, self.keys, where, "say which with --features_key")
        if key is None:
            raise InputError(f"{where}: none of {', '.join(self.keys)} in it; name the features with --features_key")

        def find(names: tuple[str, ...]) -> Found:
            found = pick(member, names, where, "expected one of them")
            return _attribute(member.group, names) if found is None else (found, member[found][()])

        return self._entry(name, f"{name}/{key}", member[key], find)

    def _entry(self, image: str, place: str, features: Any, find: Find) -> Entry:
        where = f"{self.path}, entry {image[:60]!r}"
        if isinstance(features, _Members):
            raise InputError(f"{where}: {place} is a group; expected the features of one image")
        check_shape(features.shape, where)

        def find_or_attribute(names: tuple[str, ...]) -> Found:
            return find(names) or _attribute(features, names)

        return make_entry(image, features.shape, where, place, find_or_attribute)


def _attribute(holder: Any, names: tuple[str, ...]) -> Found:
    """Find the first of these attributes of a group or dataset."""
    return next(((name, holder.attrs[name]) for name in names if name in holder.attrs), None)


def _starts(name: str) -> Iterator[str]:
    """Yield what may be the id in `id_cls_prob`."""
    parts = name.split("_")
    return ("_".join(parts[:count]) for count in range(1, len(parts)))
