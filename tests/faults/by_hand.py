"""Contents of files that somebody made to do harm, by their format."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.faults.hostile import MARK, Calls

Content = bytes | Callable[[Path], object]
"""Bytes of a file, or what writes it."""


def header(text: str) -> bytes:
    """Return the beginning of a `.npy` file with this header."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def stated(shape: str, dtype: str = "'<f4'") -> bytes:
    return header(f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}\n") + bytes(64)


def objects(value: Any) -> bytes:
    return stated("(1,)", "'|O'")[:-64] + pickle.dumps(value)


def packed(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


@cache
def zip_bomb(method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return an archive of at most a megabyte whose array takes 800."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive, archive.open("features.npy", "w", force_zip64=True) as file:
        file.write(stated("(200000000,)")[:-64])
        for _ in range(800):
            file.write(bytes(10**6))
    return target.getvalue()


MKDIR = Calls(os.mkdir, MARK)
NPY: dict[str, Content] = {
    "petabytes": stated("(1000000000000000,)"),
    "forty gigabytes": stated("(100000, 100000)"),
    "overflow": stated("(4294967296, 4294967296, 4294967296)"),
    "negative": stated("(-3, 4)"),
    "of nothing": stated("(1000000000000,)", "'|V0'"),
    "wide items": stated("()", "('<f4', (300000000,))"),
    "objects": objects([MKDIR]),
    "objects that loop": objects(np.array([MKDIR], object)),
    "deep header": header("(" * 9000),
    "header of code": header(f"__import__('os').mkdir('{MARK}')"),
    "big endian": stated("(4, 4)", "'>f4'"),
    "long double": stated("(2, 2)", "'<f16'"),
    "dates": stated("(8,)", "'<M8[s]'"),
    "records": stated("(2,)", "[('a', '<f4'), ('b', '<i8')]"),
    "text items": stated("(4,)", "'<U4'"),
    "zip under the name": packed({"features.npy": stated("(4, 4)")}),
}
NPZ: dict[str, Content] = {
    "bomb": lambda path: path.write_bytes(zip_bomb()),
    "objects": packed({"features.npy": objects([MKDIR])}),
    "pickle": packed({"features.npy": pickle.dumps(MKDIR)}),
    "states more": packed({"features.npy": stated("(1000000000000,)")}),
    "leads out": packed({"../../features.npy": stated("(4, 4)")}),
    "no features": packed({"other.npy": stated("(4, 4)")}),
    "two of a name": packed({"features": stated("(4, 4)"), "features.npy": stated("(4, 4)")}),
    "many members": lambda path: path.write_bytes(packed({f"{n}.npy": b"" for n in range(50_000)}, zipfile.ZIP_STORED)),
}
JSON: dict[str, Content] = {
    "deep lists": b"[" * 10**6,
    "deep objects": b'{"a":' * 10**6,
    "deep and closed": b"[" * 100_000 + b"]" * 100_000,
    "long number": b'{"word2idx": ' + b"9" * 10**6 + b"}",
    "infinity": b'{"word2idx": 1e999}',
    "NaN": b'{"word2idx": NaN}',
    "lone surrogate": b'{"\\ud800": "\\udfff"}',
    "million nulls": b"[" + b"null," * 10**6 + b"null]",
    "list": b"[1, 2, 3]",
    "number": b"7",
    "text": b'"text"',
    "null": b"null",
    "list of lists": b"[[], [[]], {}]",
    "object of objects": b'{"images": {"a": {}}, "annotations": {}, "type": {}, "word2idx": {"a": {}}}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "same key": b"{" + b'"a": 1,' * 10**5 + b'"a": 2}',
}
EVERY: dict[str, Content] = {
    "empty": b"",
    "zeros": bytes(10_000),
    "text": b"a dog in the park\n" * 100,
    "one long line": b"a" * 2**23,
    "random bytes": np.random.default_rng(0).bytes(5000),
    "pickle": pickle.dumps({"model": MKDIR}),
    "a folder": lambda path: path.mkdir(),
    "a pipe": lambda path: os.mkfifo(path),
    "link to itself": lambda path: path.symlink_to(path),
    "endless device": lambda path: path.symlink_to("/dev/zero"),
}


def write_array(array: np.ndarray) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, array)

    return write


def write_hdf5(make: Callable[[Any], object]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        import h5py

        with h5py.File(path, "w") as file:
            make(file)

    return write


def sound_hdf5(file: Any) -> None:
    file["features"], file["image_ids"] = np.ones((6, 3, 300), np.float32), np.arange(6)
    file["boxes"] = np.ones((6, 3, 4), np.float32) * [1, 1, 2, 2]


def with_ids(file: Any, **features: Any) -> None:
    file["image_ids"] = np.arange(6)
    file.create_dataset("features", **features)


def virtual(file: Any) -> None:
    import h5py

    layout = h5py.VirtualLayout((6, 3, 300), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "features", (6, 3, 300))
    file.create_virtual_dataset("features", layout)
    file["image_ids"] = np.arange(6)


def link(kind: str) -> Callable[[Any], None]:
    def make(file: Any) -> None:
        import h5py

        file["image_ids"] = np.arange(6)
        file["features"] = h5py.ExternalLink("/etc/passwd", "x") if kind == "external" else h5py.SoftLink("/features")

    return make


def circle(file: Any) -> None:
    group = file.create_group("a")
    group["b"] = group  # a hard link


HDF5: dict[str, Content] = {
    "external link": write_hdf5(link("external")),
    "soft link": write_hdf5(link("soft")),
    "virtual": write_hdf5(virtual),
    "circle of groups": write_hdf5(circle),
    "external storage": write_hdf5(
        lambda file: with_ids(file, shape=(6, 3, 300), dtype="f4", external=[("/etc/passwd", 0, 6 * 3 * 300 * 4)])
    ),
    "forty gigabytes of nothing": write_hdf5(
        lambda file: with_ids(file, shape=(6, 3000, 500_000), dtype="f4", chunks=(1, 1, 1000))
    ),
    "large images of nothing": write_hdf5(
        lambda file: with_ids(file, shape=(6, 1000, 30_000), dtype="f8", chunks=(1, 1, 1000))
    ),
    "chunks of gigabytes": write_hdf5(
        lambda file: with_ids(file, shape=(6, 1000, 30_000), dtype="f4", chunks=(6, 1000, 30_000))
    ),
    "text": write_hdf5(lambda file: with_ids(file, data=np.array([b"a"] * 6))),
    "objects": write_hdf5(lambda file: with_ids(file, shape=(6,), dtype=__import__("h5py").string_dtype())),
    "scalar": write_hdf5(lambda file: with_ids(file, data=3.0)),
    "compound": write_hdf5(lambda file: with_ids(file, data=np.zeros(6, [("a", "f4"), ("b", "i4")]))),
    "complex": write_hdf5(lambda file: with_ids(file, data=np.zeros((6, 3, 300), np.complex64))),
}


def write_lmdb(values: Mapping[str, bytes]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        import lmdb

        with lmdb.open(str(path), subdir=False, map_size=2**24) as database, database.begin(write=True) as transaction:
            for key, value in values.items():
                transaction.put(key.encode(), value)

    return write


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


LMDB_VALUES = {str(number): npy(np.ones((3, 300), np.float32)) for number in range(6)}
LMDB: dict[str, Content] = {
    "bomb": lambda path: write_lmdb({"1": zip_bomb()})(path),
    "pickled values": write_lmdb({"1": pickle.dumps(MKDIR)}),
    "objects": write_lmdb({"1": objects([MKDIR])}),
    "states more": write_lmdb({"1": stated("(100000, 100000)")}),
    "empty values": write_lmdb({"1": b""}),
    "of every form": write_lmdb({**LMDB_VALUES, "7": b"text"}),
}


def tsv(*fields: object) -> bytes:
    return "\t".join(map(str, fields)).encode() + b"\n"


TSV: dict[str, Content] = {
    "billion boxes": tsv(1, 640, 480, 10**9, "AAAA", "AAAA"),
    "negative boxes": tsv(1, 640, 480, -1, "AAAA", "AAAA"),
    "million-digit number": tsv(1, 640, 480, "9" * 10**6, "AAAA", "AAAA"),
    "NaN size": tsv(1, "nan", 480, 1, "AAAA" * 4, "AAAA" * 4),
    "no base64": tsv(1, 640, 480, 1, "????", "????"),
    "id that leads out": tsv("../../../etc/passwd", 640, 480, 1, "A" * 22 + "==", "A" * 22 + "=="),
    "hundred columns": tsv(*range(100)) * 10,
    "no id": tsv("", 640, 480, 1, "AAAA", "AAAA"),
    "NUL bytes": tsv("\0", 640, 480, 1, "AAAA", "AAAA"),
    "line of 60 MB": tsv(1, 640, 480, 1, "A" * 22 + "==", "A" * 60_000_000),
}
TOML: dict[str, Content] = {
    "deep": b"title = " + b"[" * 100_000,
    "deep tables": b"[" + b"a." * 5000 + b"a]\n",
    "million-digit number": b"seeds = [" + b"9" * 10**6 + b"]\n",
    "nan": b"seeds = [nan]\n",
    "grid of a million runs": b'seeds = [%s]\n[networks]\nA = "VSEpp_LSEH/train.py"\n[objectives]\nA = ""\n'
    % b",".join(b"%d" % number for number in range(10**6)),
    "leads out": b'folder = "../x"\nseeds = [0]\n[networks]\n"../x" = "VSEpp_LSEH/train.py"\n[objectives]\n"/"=""\n',
    "another script": b'seeds = [0]\n[networks]\nA = "../../bin/sh -c"\n[objectives]\nA = "; mkdir %s"\n'
    % MARK.encode(),
    "shell": b'seeds = [0]\n[networks]\nA = "VSEpp_LSEH/train.py $(mkdir %s)"\n[objectives]\nA = "`mkdir %s`"\n'
    % (MARK.encode(), MARK.encode()),
    "unbalanced quotes": b'seeds = [0]\n[networks]\nA = "VSEpp_LSEH \'"\n[objectives]\nA = "\'"\n',
    "a date": b"seeds = 2020-01-01\n",
}
SAFETENSORS: dict[str, Content] = {
    "header of exabytes": struct.pack("<Q", 2**60) + b"{}",
    "deep header": struct.pack("<Q", 100_000) + b"[" * 100_000,
    "states more": (lambda text: struct.pack("<Q", len(text)) + text)(
        b'{"a":{"dtype":"F32","shape":[1000000,1000000],"data_offsets":[0,4000000000000]}}'
    ),
    "overlap": (lambda text: struct.pack("<Q", len(text)) + text + bytes(64))(
        b'{"a":{"dtype":"F32","shape":[4,4],"data_offsets":[0,64]},"b":{"dtype":"F32","shape":[4,4],"data_offsets":[0,64]}}'
    ),
    "unknown type": (lambda text: struct.pack("<Q", len(text)) + text + bytes(64))(
        b'{"a":{"dtype":"F3","shape":[4,4],"data_offsets":[0,64]}}'
    ),
}


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(10**7), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def picture(form: str, size: tuple[int, int] = (40, 30)) -> Callable[[Path], None]:
    return lambda path: Image.new("RGB", size, "red").save(path, form)


PICTURES: dict[str, Content] = {
    "two gigapixels": png(50_000, 40_000),
    "billions of pixels": png(2**31 - 1, 2**31 - 1),
    "one row": png(10**6, 1),
    "no pixels": png(0, 0),
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%pipe%mkdir " + MARK.encode(),
    "page of a PDF": b"%PDF-1.7\n" + bytes(1000),
    "TIFF": picture("TIFF"),
    "PNG of 100 MB": picture("PNG", (6000, 6000)),
}
VOCABULARY: dict[str, Content] = {
    "calls": pickle.dumps({"word2idx": MKDIR}),
    "eval": pickle.dumps(Calls(eval, f"__import__('os').mkdir({MARK!r})")),
    "build": b"\x80\x02cbuiltins\neval\n(Vx\ntR.",
    "memo of four billion": b"\x80\x02]r\xff\xff\xff\xff.",
    "string of four gigabytes": b"\x80\x02X\xff\xff\xff\xffabc.",
    "colliding keys": pickle.dumps({n * (2**61 - 1): None for n in range(1, 20_000)}),
    "two million lists": b"\x80\x02" + b"]" * 2_500_000 + b".",
    "megabyte number": b"\x80\x02\x8b" + struct.pack("<i", 10**6) + b"\x7f" * 10**6 + b".",
    "bytes of 100 GB": pickle.dumps(Calls(bytearray, 10**11)),
}
