"""Records beside derived files: the SHA-256 of a file's source, and the parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from vse.errors import InputError
from vse.files import read_json, sha256, write_atomically


def write_made_from(record: Path, sources: Sequence[Path], by: Mapping[str, Any]) -> None:
    """Note what a file was made from.

    Args:
        record: the JSON file to write, in the folder of the sources.
        by: parameters that the file was made with.

    Raises:
        InputError: the folder cannot be written.
    """
    made_from = {source.name: sha256(source) for source in sources}
    content = orjson.dumps({"made_from": made_from, "by": dict(by)}, option=orjson.OPT_INDENT_2)
    write_atomically(record, lambda file: file.write(content))


def changed_since(record: Path) -> list[str]:
    """List the sources of a record that have changed since; [] where there is no record.

    Raises:
        InputError: the record is not what `write_made_from` writes.
    """
    if not record.is_file():
        return []
    content = read_json(record)
    made_from = content.get("made_from") if isinstance(content, dict) else None
    if not isinstance(made_from, dict):
        raise InputError(f"{record}: no record of what a file was made from; delete it")
    return [
        name
        for name, digest in made_from.items()
        if (record.parent / name).is_file() and sha256(record.parent / name) != digest
    ]
