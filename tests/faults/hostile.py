"""Checkpoints that somebody made to do harm: each builder writes one file and says what it is."""

from __future__ import annotations

import argparse
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vse import checkpoints
from vse.checkpoints import Checkpoint

MARK = "run-by-a-file"
"""Folder that code in a hostile file would make."""


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def genuine() -> dict[str, Any]:
    """Return the entries of a sound checkpoint."""
    return {"format": "vse 1", **checkpoints._to_content(Checkpoint("VSEpp", [{"w": torch.ones(4, 5)}], {"seed": 1}))}


def signed(**changes: Any) -> dict[str, Any]:
    """Return a sound checkpoint's entries with changes, and the SHA-256 that fits them."""
    content = {**genuine(), **changes}
    return {**content, "sha256": checkpoints.digest(content)}


def tensor(size: Any, stride: Any, offset: Any = 0, storage: Any = None) -> Calls:
    """Pickle as a tensor of any size and stride."""
    storage = torch.zeros(10)._typed_storage() if storage is None else storage
    return Calls(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, OrderedDict())


def contents() -> Iterator[tuple[str, Any]]:
    """Yield name and content of files that `torch.save` can write."""
    calls = {
        "os.mkdir": Calls(os.mkdir, MARK),
        "os.system": Calls(os.system, f"mkdir {MARK}"),
        "eval": Calls(eval, f"__import__('os').mkdir({MARK!r})"),
        "exec": Calls(exec, f"import os; os.mkdir({MARK!r})"),
        "import": Calls(__import__, "antigravity"),
        "torch.load": Calls(torch.load, "other.pth.tar"),
        "torch.hub": Calls(torch.hub.load, "owner/repository", "model"),
        "bytearray": Calls(bytearray, 10**11),
        "range": Calls(list, range(10**10)),
        "torch.empty": Calls(torch.empty, 10**12),
        "Path": Path("/etc/passwd"),
        "np.load": Calls(np.load, "other.npy"),
    }
    for name, call in calls.items():
        yield f"calls {name}", {"model": {"w": call}}
        yield f"calls {name} from opt", {"model": [], "opt": call}
    deep: Any = None
    for _ in range(200):
        deep = [deep]
    laughs: list[Any] = ["ha"]
    for _ in range(50):
        laughs = [laughs] * 10
    options = argparse.Namespace()
    vars(options)["__class__"] = "str"
    circle: list[Any] = []
    circle.append(circle)
    yield "deep lists", signed() | {"options": {"deep": deep}}
    yield "billion laughs", signed() | {"options": {"laughs": laughs}}
    yield "circle", signed() | {"options": {"circle": circle}}
    yield "million-digit number", signed() | {"progress": {"step": 10**600}}
    yield "65-bit number", signed() | {"progress": {"step": 2**64}}
    storage = torch.zeros(10**6)._typed_storage()
    yield "tensors of one storage", {"model": {str(n): tensor((10**6,), (1,), 0, storage) for n in range(2000)}}
    yield "colliding integer keys", {"model": {n * (2**61 - 1): None for n in range(1, 20_000)}}
    yield "colliding tuple keys", {"model": {(n * (2**61 - 1), 0): None for n in range(20_000)}}
    yield "sparse tensor", {"model": {"w": torch.eye(3).to_sparse()}}
    yield "quantised tensor", {"model": {"w": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)}}
    for size, stride in (((10**6, 10**6), (0, 0)), ((2**62,), (0,)), ((20,), (1,)), ((3,), (2**62,)), ((-1,), (1,))):
        yield f"tensor {size} strides {stride}", {"model": {"w": tensor(size, stride)}}
    yield "tensor at an offset outside", {"model": {"w": tensor((5,), (1,), 2**62)}}
    yield "weights that are numbers", signed(model={"w": 3})
    yield "weights that are a list", signed(model=[torch.ones(3)])
    yield "no weights", {key: value for key, value in signed().items() if key != "model"}
    yield "wrong network", signed(network=["VSEpp"])
    yield "options that are a list", signed(options=[1])
    yield "progress of text", signed(progress={"step": "many"})
    yield "optimizer without the rest", signed(optimizer={"state": {}})
    yield "random states of text", signed(optimizer={}, objective={}, order={}, rng=[{"cpu": "x"}])
    yield "unsigned changes", signed() | {"network": "SGRAF"}
    yield "original with one state dict", {"model": {"w": torch.ones(2)}, "opt": argparse.Namespace()}
    yield "original with numbers for weights", {"model": [{"w": 1}], "opt": argparse.Namespace()}
    yield "original with a class for an option", {"model": [{"w": 1}], "opt": options}
    yield "a set", {"model": {1, 2}}
    yield "text", "model"
    yield "nothing", None


def files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Write every hostile file -> what it is, and the file."""
    path = folder / "hostile.pth.tar"
    for name, content in contents():
        for archive in (True, False):
            torch.save(content, path, _use_new_zipfile_serialization=archive)
            yield f"{name}, {'archive' if archive else 'legacy'}", path
    for name, raw in raw_files(folder):
        path.write_bytes(raw)
        yield name, path


def raw_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of files that `torch.save` would not write."""
    torch.save(signed(), folder / "sound")
    sound = (folder / "sound").read_bytes()
    yield "zip bomb", _packed(folder / "sound", 200 * 2**20)
    yield "zip of overlapping members", _with_sizes(sound, 2**31)
    yield "zip of a million members", _members(200_000)
    yield "empty", b""
    yield "zeros", b"\0" * 1000
    yield "pickle of two million lists", b"\x80\x02" + b"]" * 2_500_000 + b"."
    yield "pickle with a memo of four billion", b"\x80\x02]r\xff\xff\xff\xff."
    yield "pickle with a string of four gigabytes", b"\x80\x02X\xff\xff\xff\xffabc."
    yield "pickle with a number of a megabyte", b"\x80\x02\x8b" + struct.pack("<i", 10**6) + b"\x7f" * 10**6 + b"."
    yield "pickle that ends within a name", b"\x80\x02ccollections\nOrdered"
    yield "legacy header only", b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {}))
    yield "HDF5", b"\x89HDF\r\n\x1a\n" + bytes(2000)
    yield "numpy", b"\x93NUMPY\x01\x00" + bytes(200)
    yield "text file", b"a dog in the park\n" * 100


def _packed(sound: Path, size: int) -> bytes:
    """Pack a checkpoint's storage as zeros: megabytes that unpack to far more."""
    target = sound.with_name("packed")
    with zipfile.ZipFile(sound) as archive, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as bomb:
        for name in archive.namelist():
            if "/data/" not in name:
                bomb.writestr(name, archive.read(name))
                continue
            with bomb.open(name, "w", force_zip64=True) as member:
                for _ in range(size >> 20):
                    member.write(bytes(2**20))
    return target.read_bytes()


def _with_sizes(sound: bytes, size: int) -> bytes:
    """Claim in the directory of an archive that every member has this size."""
    place = sound.find(b"PK\x01\x02")
    while place >= 0:
        sound = sound[: place + 20] + struct.pack("<II", size, size) + sound[place + 28 :]
        place = sound.find(b"PK\x01\x02", place + 4)
    return sound


def _members(count: int) -> bytes:
    """Write an archive of many empty members."""
    fields = (20, 3, 20, *[0] * 8, 3, *[0] * 6)  # of a stored member without content and with a name of three
    entry = struct.pack("<4s4B4H3L5H2L", b"PK\x01\x02", *fields)
    directory = b"".join(entry + b"%03d" % (number % 1000) for number in range(count))
    local = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, 0, 0, 3, 0) + b"000"
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count % 65536, count % 65536, len(directory), len(local), 0)
    return local + directory + end
