"""Data sets with one file damaged, in every way that suits its kind, trained on by the network that reads it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.faults.runs import Trainer, write_small_set

Array = Callable[[np.ndarray], Any]
Damage = Callable[[Path], object]


def edited(change: Array) -> Damage:
    """Change the array of a file."""

    def damage(path: Path) -> None:
        np.save(path, change(np.load(path)), allow_pickle=True)

    return damage


def spoilt(value: float) -> Damage:
    """Set one number of an array to a value."""

    def change(array: np.ndarray) -> np.ndarray:
        array = array.astype(float) if array.dtype.kind != "f" else array
        array.reshape(-1)[5] = value
        return array

    return edited(change)


def replaced(change: Callable[[bytes], bytes]) -> Damage:
    """Change the bytes of a file."""
    return lambda path: path.write_bytes(change(path.read_bytes()))


def in_its_place(make: Callable[[Path], object]) -> Damage:
    """Put something else in the place of a file."""

    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


FILES: dict[str, Damage] = {
    "missing": lambda path: path.unlink(),
    "empty": replaced(lambda content: b""),
    "cut off": replaced(lambda content: content[: len(content) * 2 // 3]),
    "zeros": replaced(lambda content: bytes(len(content))),
    "text": replaced(lambda content: b"nothing of the kind\n" * 9),
    "a folder": in_its_place(lambda path: path.mkdir()),
    "a pipe": in_its_place(lambda path: os.mkfifo(path)),
    "a link to itself": in_its_place(lambda path: path.symlink_to(path)),
}
ARRAYS: dict[str, Damage] = {
    **FILES,
    "whole numbers": edited(lambda array: (array * 10).astype(np.int64)),
    "truth values": edited(lambda array: array > 0),
    "objects": edited(lambda array: array.astype(object)),
    "words": edited(lambda array: array.astype(str)),
    "complex": edited(lambda array: array.astype(complex)),
    "long doubles": edited(lambda array: array.astype(np.longdouble)),
    "other byte order": edited(lambda array: array.astype(array.dtype.newbyteorder(">"))),
    "Fortran order": edited(np.asfortranarray),
    "an axis more": edited(lambda array: array[..., None]),
    "an axis less": edited(lambda array: array[..., 0]),
    "a row less": edited(lambda array: array[:-1]),
    "a row more": edited(lambda array: np.concatenate([array, array[:1]])),
    "no rows": edited(lambda array: array[:0]),
    "reversed axes": edited(lambda array: array.T),
    "an archive": in_its_place(lambda path: _archive(path)),
    "NaN": spoilt(float("nan")),
    "infinity": spoilt(float("inf")),
    "1e30": spoilt(1e30),
    "-1e9": spoilt(-1e9),
}
TEXTS: dict[str, Damage] = {
    **FILES,
    "a line less": replaced(lambda content: content[: content.rstrip(b"\n").rfind(b"\n") + 1]),
    "a line more": replaced(lambda content: content + content.splitlines(True)[-1]),
    "invalid UTF-8": replaced(lambda content: content[:7] + b"\xe9\xff" + content[7:]),
    "UTF-16": replaced(lambda content: content.decode("latin-1").encode("utf-16")),
    "NUL": replaced(lambda content: content[:7] + b"\0" + content[7:]),
    "carriage returns": replaced(lambda content: content.replace(b"\n", b"\r")),
    "of Windows": replaced(lambda content: b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n")),
    "blank lines": replaced(lambda content: b"\n" * content.count(b"\n")),
    "five thousand words": replaced(lambda content: b"a dog " * 2500 + content),
    "line separators": replaced(lambda content: content.replace(b"a", "\u2028".encode(), 3)),
}
JSON: dict[str, Damage] = {
    **FILES,
    **{
        name: replaced(lambda content, made=made: made)  # type: ignore[misc]
        for name, made in {
            "list": b"[]",
            "number": b"7",
            "null": b"null",
            "deep": b"[" * 100_000,
            "NaN": b'{"a": NaN}',
            "other object": b'{"a": {"b": [1]}}',
            "long number": b'{"word2idx": {"a": ' + b"9" * 30 + b"}}",
        }.items()
    },
}
SETS: tuple[tuple[str, str, dict[str, Damage]], ...] = (
    ("VSEpp_LSEH", "train_ims.npy", ARRAYS),
    ("SGRAF_LSEH", "dev_ims.npy", ARRAYS),
    ("GSMN_LSEH", "train_ims_bbx.npy", ARRAYS),
    ("VSRN_LSEH", "train_ims_len.npy", ARRAYS),
    ("GSMN_LSEH", "train_ims_size.npy", ARRAYS),
    ("VSEinfty_LSEH", "train_svd.npy", ARRAYS),
    ("HAL", "train_caption_image.npy", ARRAYS),
    ("VSEpp_LSEH", "train_caps.txt", TEXTS),
    ("HAL", "dev_caps.txt", TEXTS),
    ("VSEpp_LSEH", "train_ids.txt", TEXTS),
    ("VSEinfty_LSEH", "train_svd.txt", TEXTS),
    ("VSEpp_LSEH", "vocab.json", JSON),
    ("VSEinfty_LSEH", "train_svd.json", JSON),
    ("GSMN_LSEH", "train_caps.json", JSON),
)
"""Network, the file that is damaged, and the ways."""


def _archive(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=np.ones(3))


def cases() -> Iterator[tuple[str, str, str, Damage]]:
    """Yield network, file, what is wrong with it, and what makes it so."""
    for network, file, ways in SETS:
        for name, damage in ways.items():
            yield network, file, name, damage


def write_sound(folder: Path) -> Path:
    """Write a data set with every file that a network reads, made by training once."""
    root = write_small_set(folder / "data")
    small = root / "small_precomp"
    np.save(small / "train_ims_len.npy", np.full(24, 4))
    np.save(small / "train_ims_size.npy", np.full((24, 2), 300.0, np.float32))
    np.save(small / "train_caption_image.npy", np.arange(120) // 5)
    (small / "train_ids.txt").write_text("".join(f"{number}\n" for number in range(24)))
    return root


class Sets:
    """A sound data set, of which each case damages a copy."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.sound = folder, write_sound(folder)
        self.trainers: dict[str, Trainer] = {}
        status, errors = self.trainer("VSEinfty_LSEH").finish(folder / "sound")
        assert status == 0, errors
        small = self.sound / "small_precomp"
        parses = [[["ROOT", 0]]] * 120
        (small / "train_caps.json").write_text(json.dumps(parses))

    def trainer(self, network: str) -> Trainer:
        """Return what trains a network on the damaged copy."""
        if network not in self.trainers:
            self.trainers[network] = Trainer(network, self.sound)
        return self.trainers[network]

    def train(self, network: str, file: str, damage: Damage, number: int) -> tuple[int, str]:
        """Train for an epoch on a copy with a damaged file -> exit status, what it printed on stderr."""
        copy = self.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.sound, copy)
        small = copy / "small_precomp"
        damage(small / file)
        run = self.folder / f"run{number}"
        return self.trainer(network).finish(run, "--data_path", str(copy), "--num_epochs", "1", "--val_step", "100")


def fault(file: str, status: int, errors: str) -> str:
    """Judge how training ended on a damaged file -> what is wrong with that."""
    if status == 0 and "Traceback" not in errors:
        return ""
    said = [line for line in errors.splitlines() if line.startswith("error: ")]
    if status != 2 or len(said) != 1 or "Traceback" in errors:
        return f"exit {status}: {errors[-300:]}"
    stem = file.split("_")[0]
    if "--" not in said[0] and file not in said[0] and f"{stem}_" not in said[0] and "small_precomp" not in said[0]:
        return f"names neither file nor flag: {said[0]}"
    return "" if ";" in said[0] or "expected" in said[0] else f"names no remedy: {said[0]}"
