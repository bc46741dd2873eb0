"""An index: encoded images and captions in a folder, in shards, tied to one network by the SHA-256 of its weights.

    index.json                  the network, and the shards of images and of captions
    images-00000.jsonl          key, name, digest and picture of each item of a shard, a line each
    images-00000.lines.npy      where each line begins, and the end, so that one is read without the others
    images-00000.vectors.npy    one file for each tensor of the encoding, row i is item i

A shard is never changed. New items go into new shards, a shard with changed items is rewritten without them under a new
name, and index.json, which lists the valid shards, is written last.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np
import orjson
import torch

from vse.errors import InputError
from vse.files import open_regular, read_bytes, write_atomically
from vse.formats.array_files import read_npy
from vse.nn.network import Encoding

FORMAT = "vse index 2"
INDEX = "index.json"

Side = Literal["images", "captions"]
SIDES: tuple[Side, ...] = ("images", "captions")

SHARD_ROWS = 65_536
"""Most items of a shard."""


class Item(NamedTuple):
    """What an index stores of an image or a caption besides its encoding."""

    key: str
    """What it is known by when it comes again: the path of a picture, or folder, split and number."""
    name: str
    """What a person reads: a file name or the caption."""
    digest: str
    """SHA-256 of its content, which tells whether it has changed."""
    picture: str | None = None
    """Path of its picture."""


class Changes(NamedTuple):
    """Effect of an update on the given items; the three numbers sum to theirs."""

    added: int
    replaced: int
    unchanged: int


@dataclass
class Shard:
    """Some items of one side, in files."""

    folder: Path
    name: str
    rows: int
    kind: str  # class of the encoding
    tensors: list[str]  # its fields that are not None

    def items(self, places: Sequence[int] | None = None) -> list[Item]:
        """Read what is known of the items at `places`, or of all.

        Raises:
            InputError: a file is missing or damaged.
        """
        try:
            begins = read_npy(self.folder / f"{self.name}.lines.npy", "r")
            if begins.shape != (self.rows + 1,):
                raise ValueError
            with open_regular(self.folder / f"{self.name}.jsonl") as file:
                if places is None:
                    lines = file.read().splitlines()
                else:
                    lines = [_line(file, int(begins[place]), int(begins[place + 1])) for place in places]
            items = [Item(*orjson.loads(line)) for line in lines]
            if places is None and len(items) != self.rows:
                raise ValueError
            if not all(isinstance(text, str) for item in items for text in item[:3]):
                raise ValueError
        except (OSError, ValueError, TypeError):
            raise self._damaged("jsonl") from None
        return items

    def encoding(self) -> Encoding:
        """Map the encoding into memory.

        Raises:
            InputError: a file is missing or damaged.
        """
        kind = _kinds().get(self.kind)
        if kind is None or self.tensors != [entry.name for entry in fields(kind)][: len(self.tensors)]:
            raise self._damaged("kind of encoding")
        tensors = []
        for name in self.tensors:
            try:
                # Copy on write: PyTorch takes no array that may not be written.
                array = read_npy(self.folder / f"{self.name}.{name}.npy", "c")
            except (OSError, ValueError):
                raise self._damaged(f"{name}.npy") from None
            if array.shape[:1] != (self.rows,) or array.dtype not in (np.float32, np.int64):
                raise self._damaged(f"{name}.npy")
            tensors.append(torch.from_numpy(array))
        return kind(*tensors)

    def check_vectors(self, query: Encoding) -> None:
        """Refuse vectors that cannot be compared with those of a query.

        Raises:
            InputError: they are of another size or dtype, or a file is missing or damaged.
        """
        own, asked = (getattr(encoding, "vectors", None) for encoding in (self.encoding(), query))
        if own is None or asked is None:
            return
        if own.shape[1:] != asked.shape[1:] or not own.is_floating_point():
            raise self._damaged("vectors.npy")

    def _damaged(self, what: str) -> InputError:
        return InputError(f"{self.folder / self.name}: {what} is missing or damaged; make the index again")


def _line(file: BinaryIO, begin: int, end: int) -> bytes:
    file.seek(begin)
    return file.read(end - begin)


def _kinds() -> dict[str, type[Encoding]]:
    """Return the classes of encodings of all networks that were imported, by module and name."""
    found: dict[str, type[Encoding]] = {}
    waiting: list[type[Encoding]] = [Encoding]
    while waiting:
        kind = waiting.pop()
        found[_name_of(kind)] = kind
        waiting += kind.__subclasses__()
    return found


def _name_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


class Index:
    """An index in a folder.

    Args:
        folder: exists; without an `index.json` the index is new and empty.
        head: what a new index says of its network: `weights_sha256` at least. That of an existing index must have the
            same weights.

    Raises:
        InputError: the index is of other weights, or damaged.
    """

    def __init__(self, folder: Path, head: Mapping[str, Any] | None = None) -> None:
        self.folder = folder
        if head is not None and not (folder / INDEX).exists():
            others = sorted(path.name for path in folder.iterdir())
            if others:
                raise InputError(f"{folder}: holds {others[0]} and is no index; give an empty or a new folder")
            self.head: dict[str, Any] = dict(head)
            self.shards: dict[Side, list[Shard]] = {side: [] for side in SIDES}
            self.next = 0
            self.approximate: dict[str, Any] = {}
            self.save()  # from now on an interrupted call leaves an index
            return
        self._read()
        if head is not None:
            self.check(str(head["weights_sha256"]))

    def _read(self) -> None:
        path = self.folder / INDEX
        expected = "expected a folder that python -m vse index wrote"
        try:
            content = orjson.loads(read_bytes(path))
            if content["format"] != FORMAT:
                raise ValueError
            self.head = dict(content["head"])
            self.shards = {side: [self._shard(entry) for entry in content["shards"][side]] for side in SIDES}
            names = [shard.name for side in SIDES for shard in self.shards[side]]
            if len(set(names)) < len(names):
                raise ValueError
            self.next, self.approximate = int(content["next"]), dict(content["approximate"])
            if not isinstance(self.head["weights_sha256"], str):
                raise ValueError
        except OSError as problem:
            raise InputError(f"{path}: cannot be read ({problem.strerror}); {expected}") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError(f"{path}: damaged, or not an index; {expected}") from None

    def _shard(self, entry: Mapping[str, Any]) -> Shard:
        shard = Shard(self.folder, entry["name"], entry["rows"], entry["kind"], list(entry["tensors"]))
        if not shard.tensors or not all(isinstance(text, str) for text in (shard.kind, *shard.tensors)):
            raise ValueError
        if not re.fullmatch(r"(images|captions)-\d+", shard.name) or type(shard.rows) is not int or shard.rows < 1:
            raise ValueError
        return shard

    def check(self, weights_sha256: str) -> None:
        """Refuse another network than the one that the index was made with.

        Raises:
            InputError: the weights differ.
        """
        made = self.head["weights_sha256"]
        if made != weights_sha256:
            raise InputError(
                f"{self.folder}: made with weights of SHA-256 {made[:12]}..., the model has {weights_sha256[:12]}...; "
                "give the model that it was made with, or make an index of this one in another folder"
            )

    def rows(self, side: Side) -> int:
        """Count the items of a side."""
        return sum(shard.rows for shard in self.shards[side])

    def items(self, side: Side) -> Iterator[Item]:
        """Read what is known of the items of a side, in the order of the rows."""
        for shard in self.shards[side]:
            yield from shard.items()

    def items_at(self, side: Side, rows: Sequence[int]) -> list[Item]:
        """Read what is known of some rows of a side; other items are not read."""
        found: dict[int, Item] = {}
        first = 0
        for shard in self.shards[side]:
            inside = [row for row in rows if first <= row < first + shard.rows]
            if inside:
                found |= zip(inside, shard.items([row - first for row in inside]), strict=True)
            first += shard.rows
        return [found[row] for row in rows]

    def update(
        self,
        side: Side,
        items: Sequence[Item],
        encode: Callable[[list[int]], Encoding],
        chunk: int = SHARD_ROWS,
    ) -> Changes:
        """Add items that are new and replace those whose content has changed; others are not encoded again.

        What was done when the process dies stays done.

        Args:
            items: every key once.
            encode: places among `items` -> their encoding, in that order.
            chunk: items that are encoded and written at a time, at most `SHARD_ROWS`.

        Raises:
            InputError: a key twice, or files that cannot be written.
        """
        keys = [item.key for item in items]
        if len(set(keys)) < len(keys):
            twice = next(key for place, key in enumerate(keys) if key in keys[:place])
            raise InputError(f"{twice}: listed twice; give every image once")
        known = {item.key: item.digest for item in self.items(side)}
        wanted = [place for place, item in enumerate(items) if known.get(item.key) != item.digest]
        replaced = sum(items[place].key in known for place in wanted)
        for first in range(0, len(wanted), min(chunk, SHARD_ROWS)):
            places = wanted[first : first + min(chunk, SHARD_ROWS)]
            encoding = encode(places)
            if len(encoding) != len(places):
                raise ValueError(f"{len(encoding)} encodings of {len(places)} items")
            self._drop(side, {items[place].key for place in places if items[place].key in known})
            self._append(side, [items[place] for place in places], encoding)
            self.save()
        return Changes(len(wanted) - replaced, replaced, len(items) - len(wanted))

    def remove_gone(self, side: Side, place: str, keys: Collection[str]) -> list[str]:
        """Remove items that are gone from a place: their keys begin with it and are not among `keys` -> their names."""
        gone = {item.key: item.name for item in self.items(side) if item.key.startswith(place)}
        for key in keys:
            gone.pop(key, None)
        self._drop(side, set(gone))
        if gone:
            self.approximate.pop(side, None)
            self.save()
        return list(gone.values())

    def _drop(self, side: Side, keys: set[str]) -> None:
        """Write the shards that hold some of these keys again without them."""
        if not keys:
            return
        before, self.shards[side] = self.shards[side], []
        for shard in before:
            items = shard.items()
            kept = [place for place, item in enumerate(items) if item.key not in keys]
            if len(kept) == len(items):
                self.shards[side].append(shard)
            elif kept:
                self._append(side, [items[place] for place in kept], shard.encoding().rows(torch.tensor(kept)))

    def _append(self, side: Side, items: Sequence[Item], encoding: Encoding) -> None:
        shard = Shard(self.folder, f"{side}-{self.next:05}", len(items), _name_of(type(encoding)), [])
        self.next += 1
        for entry in fields(encoding):
            tensor = getattr(encoding, entry.name)
            if tensor is None:
                continue
            shard.tensors.append(entry.name)
            array = tensor.cpu().numpy()
            array = np.ascontiguousarray(array, np.float32 if array.dtype.kind == "f" else np.int64)
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise InputError(f"{items[0].name} ... {items[-1].name}: encoded to NaN or infinity; check the model")
            path = self.folder / f"{shard.name}.{entry.name}.npy"
            write_atomically(path, lambda file, array=array: np.save(file, array))  # type: ignore[misc]
        lines = [f"{json.dumps(item, ensure_ascii=False)}\n".encode() for item in items]
        begins = np.cumsum([0, *map(len, lines)], dtype=np.int64)
        write_atomically(self.folder / f"{shard.name}.lines.npy", lambda file: np.save(file, begins))
        write_atomically(self.folder / f"{shard.name}.jsonl", lambda file: file.writelines(lines))
        self.shards[side].append(shard)
        self.approximate.pop(side, None)

    def save(self) -> None:
        """Write `index.json` and remove the files that it no longer names."""
        shards = {
            side: [
                {"name": shard.name, "rows": shard.rows, "kind": shard.kind, "tensors": shard.tensors}
                for shard in self.shards[side]
            ]
            for side in SIDES
        }
        content = {
            "format": FORMAT,
            "head": self.head,
            "shards": shards,
            "next": self.next,
            "approximate": self.approximate,
        }
        text = f"{json.dumps(content, indent=1)}\n".encode()
        write_atomically(self.folder / INDEX, lambda file: file.write(text))
        named = {shard.name for side in SIDES for shard in self.shards[side]}
        for path in self.folder.iterdir():
            stale = re.match(r"(images|captions)-\d+\.", path.name) and path.name.partition(".")[0] not in named
            if stale or (path.suffix == ".faiss" and path.stem not in self.approximate):
                path.unlink(missing_ok=True)
