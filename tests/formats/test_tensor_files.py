"""Files of torch.save are read as torch reads them, or refused with bounds on time and memory."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from vse.errors import InputError
from vse.formats import tensor_files
from vse.formats.tensor_files import DamagedError


def content() -> dict[str, Any]:
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    kinds = (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8)
    shared = torch.arange(12.0)
    return {
        "model": network.state_dict(),
        "kinds": [torch.tensor([[1, 2], [3, 4]], dtype=kind) for kind in (*kinds, torch.uint8, torch.bool)],
        "views": [shared[2:5], shared.reshape(3, 4).T, torch.zeros(0, 7), torch.tensor(3.5)],
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "plain": {"none": None, "yes": True, "number": 1e-3, "text": "é", "pair": (1, "a")},
    }


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and a.stride() == b.stride() and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.mark.parametrize("archive", [True, False])
def test_both_formats_come_back_equal(tmp_path: Path, archive: bool) -> None:
    expected = content()
    torch.save(expected, tmp_path / "a.pt", _use_new_zipfile_serialization=archive)
    assert same(expected, tensor_files.read(tmp_path / "a.pt"))


def test_shared_memory_is_read_once(tmp_path: Path) -> None:
    tensor = torch.arange(6.0)
    torch.save([tensor, tensor[:2]], tmp_path / "a.pt")
    first, second = tensor_files.read(tmp_path / "a.pt")
    assert first.untyped_storage().data_ptr() == second.untyped_storage().data_ptr()


@pytest.mark.parametrize("archive", [True, False])
def test_a_truncated_file_is_damaged(tmp_path: Path, archive: bool) -> None:
    path = tmp_path / "a.pt"
    torch.save(content(), path, _use_new_zipfile_serialization=archive)
    whole = path.read_bytes()
    for length in (0, 1, 3, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedError, match=r"a\.pt: damaged"):
            tensor_files.read(path)


def test_a_number_of_elements_that_is_cut_off_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save(torch.zeros(0), path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-1])  # the number is 0 with or without its last byte
    with pytest.raises(DamagedError):
        tensor_files.read(path)


def test_a_flipped_bit_of_a_tensor_in_an_archive_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    tensor = torch.arange(1000.0)
    torch.save(tensor, path)
    whole = path.read_bytes()
    place = whole.index(tensor.numpy().tobytes()[:64]) + 17
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(DamagedError):
        tensor_files.read(path)


def test_missing_folder_and_unreadable_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no such"):
        tensor_files.read(tmp_path / "missing.pt")
    with pytest.raises(InputError, match="not a regular file"):
        tensor_files.read(tmp_path)
    torch.save(torch.zeros(1), tmp_path / "a.pt")

    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match="Permission denied"):
        tensor_files.read(tmp_path / "a.pt")


def rewrite(path: Path, change: Any, compression: int = zipfile.ZIP_STORED) -> None:
    """Write the members of an archive again, each as `change(name, content)`."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, member in members.items():
            archive.writestr(name, change(name, member))


def test_an_archive_larger_than_it_states_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save(torch.zeros(100), path)
    rewrite(path, lambda name, member: bytes(10**8) if "/data/" in name else member, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 200_000
    with pytest.raises(DamagedError, match="packed more tightly"):
        tensor_files.read(path)


class Strided:
    """Pickles as a tensor of any size and stride over a storage."""

    def __init__(self, storage: Any, size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> None:
        self.arguments = (storage, offset, size, stride, False, {})

    def __reduce__(self) -> tuple:
        return torch._utils._rebuild_tensor_v2, self.arguments


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [
        ((10**6, 10**6), (0, 0), 0),
        ((2, 2**40), (0, 1), 0),
        ((20,), (1,), 0),
        ((10,), (1,), 5),
        ((5,), (-1,), 9),
        ((10,), (1,), -1),
        ((-1,), (1,), 0),
        ((2**70,), (1,), 0),
        (("a",), (1,), 0),
    ],
)
def test_a_tensor_without_memory_behind_it_is_refused(tmp_path: Path, size: Any, stride: Any, offset: int) -> None:
    storage = torch.zeros(10)._typed_storage()
    torch.save({"a": Strided(storage, size, stride, offset)}, tmp_path / "a.pt")
    with pytest.raises(DamagedError):
        tensor_files.read(tmp_path / "a.pt")


def test_many_tensors_over_one_storage_are_refused(tmp_path: Path) -> None:
    storage = torch.zeros(10_000)._typed_storage()
    torch.save([Strided(storage, (10_000,), (1,)) for _ in range(1000)], tmp_path / "a.pt")
    with pytest.raises(DamagedError, match="again and again"):
        tensor_files.read(tmp_path / "a.pt")


def test_values_that_refer_to_each_other_are_refused(tmp_path: Path) -> None:
    laughs: list[Any] = ["ha"]
    for _ in range(40):
        laughs = [laughs] * 10
    circle: list[Any] = []
    circle.append(circle)
    deep: Any = None
    for _ in range(150):
        deep = [deep]
    for value in (laughs, circle, deep):
        torch.save(value, tmp_path / "a.pt")
        with pytest.raises(DamagedError, match="again and again"):
            tensor_files.read(tmp_path / "a.pt")


def test_a_number_of_more_than_64_bits_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 2**64}, tmp_path / "a.pt")
    with pytest.raises(DamagedError, match="64 bits"):
        tensor_files.read(tmp_path / "a.pt")


def test_storages_larger_than_a_legacy_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save(torch.zeros(3), path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes().replace(b"K\x03", b"J\xff\xff\xff\x7f"))
    with pytest.raises(DamagedError, match="larger than the file"):
        tensor_files.read(path)


def test_a_legacy_file_in_the_other_byte_order_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save(torch.zeros(3), path, _use_new_zipfile_serialization=False)
    header = io.BytesIO(path.read_bytes())
    for _ in range(3):
        last = pickle.load(header)
    swapped = pickle.dumps({**last, "little_endian": not last["little_endian"]}, 2)
    path.write_bytes(path.read_bytes().replace(pickle.dumps(last, 2), swapped))
    with pytest.raises(DamagedError, match="endian"):
        tensor_files.read(path)


class Dangerous:
    def __reduce__(self) -> tuple:
        return print, ("run by the file",)


@pytest.mark.parametrize("archive", [True, False])
def test_code_in_a_file_does_not_run(tmp_path: Path, archive: bool, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"a": Dangerous()}, tmp_path / "a.pt", _use_new_zipfile_serialization=archive)
    with pytest.raises(InputError, match="Python objects besides tensors"):
        tensor_files.read(tmp_path / "a.pt")
    assert capsys.readouterr().out == ""


def test_an_archive_of_too_many_members_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pt"
    torch.save(torch.zeros(3), path)
    with zipfile.ZipFile(path, "a") as archive:
        for number in range(600):
            archive.writestr(f"{number:0200d}", b"")
    assert torch.equal(tensor_files.read(path), torch.zeros(3))
    monkeypatch.setattr(tensor_files, "MAX_DIRECTORY", 100_000)
    with pytest.raises(DamagedError, match="more tensors than"):
        tensor_files.read(path)
