"""Files that hold image features, bottom-up-attention's TSV, HDF5, LMDB: read row by row, nothing in them can run."""

from __future__ import annotations

import binascii
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np

from vse.errors import InputError

LONGEST_LINE = 2**26
"""A TSV line of 100 regions with 2,048 values takes 1.1 MB; what is longer is no such file."""

FEATURE_KEYS = ("features", "image_features", "feats", "feat")

ID_KEYS = ("image_ids", "image_id", "ids", "img_ids", "id")

BOX_KEYS = ("boxes", "bbox", "bboxes", "image_bb")

WIDTH_KEYS = ("image_w", "width", "widths", "img_w")

HEIGHT_KEYS = ("image_h", "height", "heights", "img_h")


class Row(NamedTuple):
    """The features of one image as a source holds them."""

    image: str
    features: np.ndarray  # [R, D] or [D]
    boxes: np.ndarray | None  # [R, 4] x1 y1 x2 y2, pixels
    size: tuple[float, float] | None  # width, height, pixels
    where: str  # file and line or entry, for messages


def read_rows(path: Path, columns: list[str], features_key: str | None = None, dim: int | None = None) -> Iterator[Row]:
    """The rows of a file of any of the three kinds; see the readers for the arguments.

    Raises:
        InputError: the file is not there, damaged or of another form.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file; expected features as TSV, HDF5 or LMDB")
    if path.is_dir() or path.suffix in (".lmdb", ".mdb"):
        return read_lmdb(path, features_key, dim)
    with path.open("rb") as file:
        hdf5 = file.read(8) == b"\x89HDF\r\n\x1a\n"
    return read_hdf5(path, features_key) if hdf5 else read_tsv(path, columns)


def _decode_base64(text: bytes) -> bytes:
    try:
        from pybase64 import b64decode  # forty times faster, but not everywhere installed
    except ImportError:
        decoded = binascii.a2b_base64(text)
        if len(decoded) != len(text) // 4 * 3 - text[-2:].count(b"="):  # letters outside the alphabet are passed over
            raise ValueError("not base64") from None
        return decoded
    return b64decode(text, validate=True)


def read_tsv(path: Path, columns: list[str]) -> Iterator[Row]:
    """Bottom-up-attention's table: a line per image, boxes and features as base64 of little-endian float32.

    Raises:
        InputError: the line that is truncated or no such line.
    """
    try:
        place = {name: columns.index(name) for name in ("image_id", "num_boxes", "features")}
    except ValueError:
        raise InputError(
            f"--fields {','.join(columns)}: expected image_id, num_boxes and features among them"
        ) from None
    place |= {name: columns.index(name) for name in ("boxes", "image_w", "image_h") if name in columns}
    with path.open("rb") as file:
        number = 0
        while line := file.readline(LONGEST_LINE):
            number += 1
            where = f"{path}, line {number}"
            parts = line.rstrip(b"\r\n").split(b"\t")
            if len(parts) != len(columns):
                raise InputError(
                    f"{where}: {len(parts)} fields; expected {len(columns)} ({','.join(columns)}), separated by tabs; "
                    "the file is truncated, or --fields does not fit"
                )
            try:
                image = parts[place["image_id"]].decode("utf-8")
                regions = int(parts[place["num_boxes"]])
                size = None
                if "image_w" in place and "image_h" in place:
                    size = (float(parts[place["image_w"]]), float(parts[place["image_h"]]))
            except ValueError:
                raise InputError(f"{where}: image id, sizes and number of boxes must be text and numbers") from None
            if not image:
                raise InputError(f"{where}: no image id; the file is damaged, use another copy")
            features = _floats(parts[place["features"]], regions, f"{where}: features")
            boxes = None
            if "boxes" in place:
                boxes = _floats(parts[place["boxes"]], regions, f"{where}: boxes")
            yield Row(image, features, boxes, size, where)


def _floats(text: bytes, rows: int, where: str) -> np.ndarray:
    try:
        values = np.frombuffer(_decode_base64(text), "<f4")
    except ValueError:
        raise InputError(f"{where} are not base64 of float32 numbers; the file is damaged, use another copy") from None
    if rows < 1 or not len(values) or len(values) % rows:
        raise InputError(f"{where}: {len(values)} numbers for {rows} regions; the file is damaged, use another copy")
    return values.reshape(rows, -1)


def read_hdf5(path: Path, features_key: str | None = None, block: int = 64) -> Iterator[Row]:
    """HDF5, either datasets over all images ([n, R, D] or [n, D] with ids) or an entry for each image.

    An entry is a dataset [R, D] or [D], or a group that holds one under a usual name, perhaps with boxes and sizes.

    Raises:
        InputError: damaged, of another form, or pointing to other files.
    """
    try:
        import h5py
    except ImportError:
        raise InputError(f'{path}: reading HDF5 takes the package h5py; pip install "vse[convert]"') from None
    try:
        with h5py.File(path, "r") as file:
            keys = (features_key,) if features_key else FEATURE_KEYS
            key = next((key for key in keys if key in file), None)
            if key is not None:
                yield from _hdf5_table(file, key, path, block)
            else:
                yield from _hdf5_entries(file, keys, path)
    except (OSError, RuntimeError, KeyError) as problem:
        reason = str(problem).partition("\n")[0]
        raise InputError(f"{path}: damaged or not HDF5 ({reason}); use another copy of the file") from None


def _own(node: Any, name: str, path: Path) -> Any:
    """A member of an HDF5 group, refused where its data would come from another file."""
    import h5py

    linked = isinstance(node.get(name, getlink=True), h5py.ExternalLink)
    member = None if linked else node[name]
    if linked or (isinstance(member, h5py.Dataset) and (member.is_virtual or member.external)):
        raise InputError(f"{path}: {name} points to another file; expected the features in this file itself")
    return member


def _find(node: Any, names: tuple[str, ...], path: Path) -> Any:
    name = next((name for name in names if name in node), None)
    return None if name is None else _own(node, name, path)


def _hdf5_table(file: Any, key: str, path: Path, block: int) -> Iterator[Row]:
    features, ids, boxes = _own(file, key, path), _find(file, ID_KEYS, path), _find(file, BOX_KEYS, path)
    width, height = _find(file, WIDTH_KEYS, path), _find(file, HEIGHT_KEYS, path)
    if ids is None:
        raise InputError(f"{path}: {key} without ids; expected a dataset {' or '.join(ID_KEYS)} beside it")
    for name, column in (("ids", ids), ("boxes", boxes), ("widths", width), ("heights", height)):
        if column is not None and column.shape[:1] != features.shape[:1]:
            raise InputError(f"{path}: {name} {column.shape} beside {key} {features.shape}; expected as many rows")
    if features.ndim not in (2, 3):
        raise InputError(
            f"{path}: {key} {features.shape}; expected [images, regions, dimensions] or [images, dimensions]"
        )
    for first in range(0, len(features), block):
        part = slice(first, first + block)
        sizes: list[Any] = [None] * block
        if width is not None and height is not None:
            sizes = list(zip(width[part].ravel().tolist(), height[part].ravel().tolist(), strict=True))
        some_boxes = [None] * block if boxes is None else boxes[part]
        rows = zip(ids[part], features[part], some_boxes, sizes, strict=False)
        for number, (image, values, some, size) in enumerate(rows, first):
            yield Row(_text(image), values, some, size, f"{path}, row {number} of {key}")


def _hdf5_entries(file: Any, keys: tuple[str, ...], path: Path) -> Iterator[Row]:
    import h5py

    for name in file:
        where = f"{path}, entry {name[:60]!r}"
        entry = _own(file, name, path)
        if isinstance(entry, h5py.Dataset):
            yield Row(name, entry[()], None, None, where)
            continue
        features, boxes = _find(entry, keys, path), _find(entry, BOX_KEYS, path)
        if features is None:
            raise InputError(f"{where}: none of {', '.join(keys)} in it; name the features with --features_key")
        width, height = (_find(entry, names, path) for names in (WIDTH_KEYS, HEIGHT_KEYS))
        size = None if width is None or height is None else (float(width[()]), float(height[()]))
        yield Row(name, features[()], None if boxes is None else boxes[()], size, where)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def read_lmdb(path: Path, features_key: str | None = None, dim: int | None = None) -> Iterator[Row]:
    """LMDB, key = image id, value = a .npy or .npz file's bytes or, with `dim`, bare float32 numbers.

    Pickled values are refused: reading them would run what they hold.

    Raises:
        InputError: damaged, or values of another form.
    """
    try:
        import lmdb
    except ImportError:
        raise InputError(f'{path}: reading LMDB takes the package lmdb; pip install "vse[convert]"') from None
    try:
        with (
            lmdb.open(str(path), subdir=path.is_dir(), readonly=True, lock=False, readahead=False) as database,
            database.begin(buffers=True) as transaction,
        ):
            for key, value in transaction.cursor():
                name = bytes(key).decode("utf-8", "replace")
                if name.strip("_") not in ("keys", "len", "length"):  # notes that some writers leave
                    yield _lmdb_row(name, value, features_key, dim, f"{path}, entry {name[:60]!r}")
    except lmdb.Error as problem:
        raise InputError(f"{path}: damaged or not LMDB ({problem}); use another copy of the file") from None


def _lmdb_row(name: str, value: Any, features_key: str | None, dim: int | None, where: str) -> Row:
    head = bytes(value[:6])
    boxes = None
    try:
        if dim is not None:
            features = np.frombuffer(value, "<f4").reshape(-1, dim).copy()
        elif head == b"\x93NUMPY":
            features = np.lib.format.read_array(io.BytesIO(value), allow_pickle=False)
        elif head[:4] == b"PK\x03\x04":
            with np.load(io.BytesIO(value), allow_pickle=False) as arrays:
                keys = [key for key in ((features_key,) if features_key else FEATURE_KEYS) if key in arrays]
                if not keys:
                    raise InputError(f"{where}: holds {', '.join(arrays)}; name the features with --features_key")
                features = arrays[keys[0]]
                boxes = next((arrays[key] for key in BOX_KEYS if key in arrays), None)
        else:
            raise InputError(
                f"{where}: neither .npy nor .npz; bare float32 numbers need --dim, and pickled Python objects are not "
                "read, because reading would run them"
            )
    except (ValueError, EOFError, OSError, KeyError, BadZipFile):
        raise InputError(f"{where}: damaged, or not what --dim says; expected an array of floats") from None
    return Row(name, features, boxes, None, where)
