from __future__ import annotations

import base64
import builtins
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vse.data.datasets import open_split
from vse.errors import InputError
from vse.tools.convert import Options, main

h5py = pytest.importorskip("h5py")
lmdb = pytest.importorskip("lmdb")

IDS = (17, 4, 90, 23, 5)
"""Image ids in the order of the feature files; the captions list the images in another order."""


def features(image: int, regions: int = 3, size: int = 4) -> np.ndarray:
    return np.random.default_rng(image).normal(size=(regions, size)).astype(np.float32)


def boxes(image: int, regions: int = 3) -> np.ndarray:
    corners = np.random.default_rng(image).uniform(0, 100, (regions, 2, 2)).astype(np.float32)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def line(image: object, values: np.ndarray, some_boxes: np.ndarray | None = None) -> str:
    some_boxes = boxes(1, len(values)) if some_boxes is None else some_boxes
    encoded = (base64.b64encode(array.tobytes()).decode() for array in (some_boxes, values))
    return "\t".join([str(image), "640", "480", str(len(values)), *encoded]) + "\n"


def write_tsv(path: Path, ids: tuple[int, ...] = IDS) -> Path:
    path.write_text("".join(line(image, features(image), boxes(image)) for image in ids))
    return path


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    """A Karpathy file: images 4, 5, 17 in train (17 of them in restval), 23 in val, 90 in test."""
    entries = [
        {
            "cocoid": image,
            "split": split,
            "filename": f"COCO_val2014_{image:012}.jpg",
            "sentences": [{"raw": f"caption {number} of {image}"} for number in range(2)],
        }
        for image, split in ((4, "train"), (5, "train"), (17, "restval"), (23, "val"), (90, "test"))
    ]
    path = tmp_path / "dataset_coco.json"
    path.write_text(json.dumps({"images": entries}))
    return path


def convert(*sources: Path, out: Path, **options: Any) -> None:
    main(Options(list(sources), out, **options))


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*")) if folder.exists() else []


def check_splits(out: Path, dtype: str = "float32", with_boxes: bool = True) -> None:
    for name, ids in {"train": [4, 5, 17], "dev": [23], "test": [90]}.items():
        split = open_split(out, name)
        expected = np.stack([features(image) for image in ids]).astype(dtype)
        stored = np.load(out / f"{name}_ims.npy", mmap_mode="r", allow_pickle=False)
        assert stored.dtype == dtype
        assert np.array_equal(stored, expected)
        assert split.captions == [f"caption {number} of {image}" for image in ids for number in range(2)]
        assert (out / f"{name}_ids.txt").read_text().split() == [str(image) for image in ids]
        if with_boxes:
            assert np.array_equal(np.load(out / f"{name}_ims_bbx.npy"), np.stack([boxes(image) for image in ids]))
            sizes = np.load(out / f"{name}_ims_size.npy")
            assert (sizes["image_w"] == 640).all()
            assert (sizes["image_h"] == 480).all()
    mapping = json.loads((out / "id_mapping.json").read_text())
    assert mapping["23"] == "COCO_val2014_000000000023.jpg"
    assert not [name for name in leftovers(out) if name.startswith(".")]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_tsv_rows_go_where_their_captions_are(
    tmp_path: Path, captions: Path, dtype: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = write_tsv(tmp_path / "a.tsv.0", (17, 4, 777)), write_tsv(tmp_path / "a.tsv.1", (90, 23, 5))
    convert(first, second, out=tmp_path / "out", captions=captions, dtype=dtype)
    check_splits(tmp_path / "out", dtype)
    assert "1 images of no split passed over" in capsys.readouterr().out


def test_tsv_is_read_without_the_fast_decoder(tmp_path: Path, captions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    importing = builtins.__import__

    def without(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name == "pybase64":
            raise ImportError(name)
        return importing(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    convert(write_tsv(tmp_path / "a.tsv"), out=tmp_path / "out", captions=captions)
    check_splits(tmp_path / "out")
    damaged = (tmp_path / "a.tsv").read_text()
    (tmp_path / "a.tsv").write_text(damaged[:-10] + "!" + damaged[-9:])
    with pytest.raises(InputError, match=r"line 5: features are not base64"):
        convert(tmp_path / "a.tsv", out=tmp_path / "again", captions=captions)


def test_without_captions_rows_stay_in_order(tmp_path: Path) -> None:
    convert(write_tsv(tmp_path / "a.tsv"), out=tmp_path / "out", split="all")
    assert np.array_equal(np.load(tmp_path / "out/all_ims.npy"), np.stack([features(image) for image in IDS]))
    assert (tmp_path / "out/all_ids.txt").read_text().split() == [str(image) for image in IDS]
    assert np.load(tmp_path / "out/all_ims_bbx.npy").shape == (5, 3, 4)


def test_ids_that_are_file_names_become_row_numbers_and_never_paths(tmp_path: Path) -> None:
    names = ["../../outside", "/absolute", "a b\x01c"]
    (tmp_path / "a.tsv").write_text("".join(line(name, features(1)) for name in names))
    before = leftovers(tmp_path)
    convert(tmp_path / "a.tsv", out=tmp_path / "out")
    assert (tmp_path / "out/train_ids.txt").read_text().split() == ["0", "1", "2"]
    assert (tmp_path / "out/train_names.txt").read_text().splitlines() == ["../../outside", "/absolute", "a b?c"]
    assert leftovers(tmp_path) == sorted([*before, "out"])


@pytest.mark.parametrize("split", ["../train", "/train", "a/b", ""])
def test_split_names_never_lead_out_of_the_folder(tmp_path: Path, split: str) -> None:
    with pytest.raises(InputError, match="--split"):
        convert(write_tsv(tmp_path / "a.tsv"), out=tmp_path / "out", split=split)


@pytest.mark.parametrize("kind", ["id", "name", "stem", "number"])
def test_ids_are_recognised_for_what_they_are(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    entries, lines = [], []
    for place, (number, split) in enumerate(((36979, "train"), (1007129816, "train"), (65567, "val"), (71815, "test"))):
        name = f"photo-{number}.jpg"
        entries.append({"split": split, "filename": name, "sentences": [{"raw": f"{number}"}]})
        key = {"id": place, "name": name, "stem": f"photo-{number}", "number": f"{number:012}"}[kind]
        lines.append(line(key, features(number)))
    (tmp_path / "d.json").write_text(json.dumps({"images": entries}))
    (tmp_path / "a.tsv").write_text("".join(lines))
    convert(tmp_path / "a.tsv", out=tmp_path / "out", captions=tmp_path / "d.json")
    assert f"ids of the sources: {kind}" in capsys.readouterr().out.replace("name;", "name")
    assert np.array_equal(np.load(tmp_path / "out/test_ims.npy")[0], features(71815))


def test_regions_are_cut_to_the_number_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(line(1, features(1, 5), boxes(1, 5)) + line(2, features(2, 3), boxes(2, 3)))
    with pytest.raises(InputError, match=r"line 2: features \[3, 4\] after \[5, 4\].*--regions 3"):
        convert(tmp_path / "a.tsv", out=tmp_path / "out")
    convert(tmp_path / "a.tsv", out=tmp_path / "out", regions=3)
    assert np.array_equal(np.load(tmp_path / "out/train_ims.npy")[0], features(1, 5)[:3])
    assert np.array_equal(np.load(tmp_path / "out/train_ims_bbx.npy")[0], boxes(1, 5)[:3])
    with pytest.raises(InputError, match=r"line 2: 3 regions"):
        convert(tmp_path / "a.tsv", out=tmp_path / "other", regions=4)


def test_a_repeated_row_is_passed_over_and_a_contradicting_one_refused(
    tmp_path: Path, captions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = write_tsv(tmp_path / "a.tsv").read_text()
    (tmp_path / "a.tsv").write_text(text + line(4, features(4), boxes(4)))
    convert(tmp_path / "a.tsv", out=tmp_path / "out", captions=captions)
    check_splits(tmp_path / "out")
    assert "1 repeated rows" in capsys.readouterr().out
    (tmp_path / "a.tsv").write_text(text + line(4, features(5)))
    for options in ({"captions": captions}, {}):
        with pytest.raises(InputError, match=r"line 6: image '4' comes twice"):
            convert(tmp_path / "a.tsv", out=tmp_path / "other", **options)
        assert leftovers(tmp_path / "other") == []


def test_missing_images_are_refused_or_left_out_with_their_captions(
    tmp_path: Path, captions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tsv(tmp_path / "a.tsv", (17, 5, 90, 23))
    with pytest.raises(InputError, match=r"no features for 1 of 3 train images of .*, first COCO_val2014_000000000004"):
        convert(tmp_path / "a.tsv", out=tmp_path / "out", captions=captions)
    assert leftovers(tmp_path / "out") == []
    convert(tmp_path / "a.tsv", out=tmp_path / "out", captions=captions, drop_missing=True)
    assert "1 of 3 train images" in capsys.readouterr().err
    split = open_split(tmp_path / "out", "train")
    assert np.array_equal(np.asarray(split.images.array), np.stack([features(5), features(17)]))  # type: ignore[attr-defined]
    assert split.captions[0] == "caption 0 of 5"
    assert np.array_equal(np.load(tmp_path / "out/train_ims_bbx.npy")[1], boxes(17))
    (tmp_path / "b.tsv").write_text(line("unknown", features(1)))
    with pytest.raises(InputError, match="none of the first 1 images"):
        convert(tmp_path / "b.tsv", out=tmp_path / "other", captions=captions)


def damaged_lines() -> dict[str, tuple[str, str]]:
    good = line(1, features(1))
    fields = good.rstrip("\n").split("\t")

    def change(place: int, value: str) -> str:
        return "\t".join([*fields[:place], value, *fields[place + 1 :]]) + "\n"

    nan = features(2)
    nan[1, 2] = np.nan
    turned = boxes(2)[:, [2, 3, 0, 1]]
    return {
        "cut in the middle of a field": (good + good[:-30], "line 2: features"),
        "cut between fields": (good + "\t".join(fields[:4]), "line 2: 4 fields; expected 6"),
        "wrong letters": (change(5, fields[5][:-8] + "****" + fields[5][-4:]), "line 1: features are not base64"),
        "wrong padding": (change(5, fields[5] + "="), "line 1: features are not base64"),
        "not whole floats": (
            change(5, base64.b64encode(b"abcdef").decode()),
            "line 1: features are not base64 of float32",
        ),
        "other number of boxes": (change(3, "5"), "line 1: features: 12 numbers for 5 regions"),
        "no boxes": (change(3, "0"), "line 1: features: 12 numbers for 0 regions"),
        "minus one box": (change(3, "-1"), "line 1: features"),
        "no features": (change(5, ""), "line 1: features: 0 numbers"),
        "no number": (change(3, "many"), "line 1: image id, sizes and number of boxes"),
        "no id": (change(0, ""), "line 1: no image id"),
        "id of other bytes": (change(0, "\udcff"), "line 1: image id"),
        "image without pixels": (change(1, "0"), "line 1: image of 0 x 480 pixels"),
        "not a number": (good + line(2, nan), "line 2: features hold NaN or infinity"),
        "boxes turned over": (good + line(2, features(2), turned), "line 2: a box with NaN or"),
        "another size": (good + line(2, features(2, 3, 5)), r"line 2: features \[3, 5\] after \[3, 4\]"),
        "empty line": (good + "\n" + good, "line 2: 1 fields"),
        "empty": ("", "holds no features"),
    }


@pytest.mark.parametrize("case", damaged_lines())
def test_damaged_tsv_files_are_refused_with_their_line(tmp_path: Path, case: str) -> None:
    text, complaint = damaged_lines()[case]
    (tmp_path / "a.tsv").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=complaint) as refused:
        convert(tmp_path / "a.tsv", out=tmp_path / "out")
    assert "\n" not in str(refused.value)
    assert leftovers(tmp_path / "out") == []


def test_boxes_without_area_are_kept_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flat = boxes(1)
    flat[1, 2] = flat[1, 0]
    (tmp_path / "a.tsv").write_text(line(1, features(1), flat))
    convert(tmp_path / "a.tsv", out=tmp_path / "out")
    assert np.array_equal(np.load(tmp_path / "out/train_ims_bbx.npy")[0], flat)
    assert "1 boxes have no area" in capsys.readouterr().err


def test_features_too_large_for_float16_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(line(1, 1e5 * np.ones((2, 2), np.float32)))
    with pytest.raises(InputError, match="do not fit float16; take --dtype float32"):
        convert(tmp_path / "a.tsv", out=tmp_path / "out", dtype="float16")


def test_feature_files_are_replaced_only_when_asked(tmp_path: Path) -> None:
    convert(write_tsv(tmp_path / "a.tsv"), out=tmp_path / "out")
    before = (tmp_path / "out/train_ims.npy").read_bytes()
    (tmp_path / "a.tsv").write_text(line(1, features(1)))
    with pytest.raises(InputError, match="--overwrite"):
        convert(tmp_path / "a.tsv", out=tmp_path / "out")
    assert (tmp_path / "out/train_ims.npy").read_bytes() == before
    convert(tmp_path / "a.tsv", out=tmp_path / "out", overwrite=True)
    assert len(np.load(tmp_path / "out/train_ims.npy")) == 1


def test_uneven_captions_are_cut_to_the_smallest_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "captions.csv"
    rows = [(4, "a"), (4, "b"), (4, "c"), (5, "d"), (5, "e"), (17, "f"), (17, "g"), (23, "h")]
    splits = {23: "val"}
    table.write_text(
        "image,caption,split\n" + "".join(f"{i}.jpg,{text},{splits.get(i, 'train')}\n" for i, text in rows)
    )
    convert(write_tsv(tmp_path / "a.tsv"), out=tmp_path / "out", captions=table)
    assert open_split(tmp_path / "out", "train").captions == ["a", "b", "d", "e", "f", "g"]
    assert "train: 2 captions an image; 1 captions and 0 images left out" in capsys.readouterr().out
    convert(tmp_path / "a.tsv", out=tmp_path / "three", captions=table, captions_per_image=2, overwrite=True)
    assert len(open_split(tmp_path / "three", "train").captions) == 6


@pytest.mark.parametrize("form", ["table", "groups", "arrays"])
def test_hdf5_of_either_form_equals_tsv(tmp_path: Path, captions: Path, form: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        if form == "table":
            file["features"] = np.stack([features(image) for image in IDS])
            file["image_ids"] = np.array(IDS)
            file["boxes"] = np.stack([boxes(image) for image in IDS])
            file["image_w"], file["image_h"] = np.full(5, 640), np.full((5, 1), 480)
        for image in IDS if form != "table" else ():
            if form == "arrays":
                file[str(image)] = features(image)
                continue
            group = file.create_group(str(image))
            group["features"], group["bbox"], group["width"], group["height"] = features(image), boxes(image), 640, 480
    convert(tmp_path / "a.h5", out=tmp_path / "out", captions=captions)
    check_splits(tmp_path / "out", with_boxes=form != "arrays")


def test_hdf5_that_points_elsewhere_or_is_damaged_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["features"] = np.stack([features(image) for image in IDS])
    virtual = h5py.VirtualLayout((5, 3, 4), np.float32)
    virtual[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "features", (5, 3, 4))
    makers = {
        "link": lambda file: file.__setitem__("features", h5py.ExternalLink(str(tmp_path / "other.h5"), "/features")),
        "virtual": lambda file: file.create_virtual_dataset("features", virtual),
        "external": lambda file: file.create_dataset(
            "features", (2, 2, 2), "f4", external=[(str(tmp_path / "other.h5"), 0, 32)]
        ),
        "entry link": lambda file: file.__setitem__("4", h5py.ExternalLink(str(tmp_path / "other.h5"), "/features")),
    }
    for name, make in makers.items():
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["image_ids" if "entry" not in name else "3"] = np.ones((5,), np.float32)
            make(file)
        with pytest.raises(InputError, match="points to another file"):
            convert(tmp_path / f"{name}.h5", out=tmp_path / "out")
    whole = (tmp_path / "other.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut\.h5: damaged"):
        convert(tmp_path / "cut.h5", out=tmp_path / "out")
    with pytest.raises(InputError, match=r"features without ids"):
        convert(tmp_path / "other.h5", out=tmp_path / "out")
    assert leftovers(tmp_path / "out") == []


def write_lmdb(folder: Path, entries: dict[str, bytes]) -> Path:
    with lmdb.open(str(folder), map_size=2**24) as database, database.begin(write=True) as transaction:
        for key, value in entries.items():
            transaction.put(key.encode(), value)
    return folder


def as_file(save: Any, *arguments: Any, **arrays: Any) -> bytes:
    from io import BytesIO

    buffer = BytesIO()
    save(buffer, *arguments, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["npy", "npz", "bare"])
def test_lmdb_of_every_form_equals_tsv(tmp_path: Path, captions: Path, form: str) -> None:
    entries = {"__len__": b"5"}
    for image in IDS:
        entries[str(image)] = {
            "npy": as_file(np.save, features(image)),
            "npz": as_file(np.savez_compressed, features=features(image), boxes=boxes(image)),
            "bare": features(image).tobytes(),
        }[form]
    source = write_lmdb(tmp_path / "features.lmdb", entries)
    convert(source, out=tmp_path / "out", captions=captions, dim=4 if form == "bare" else None)
    check_splits(tmp_path / "out", with_boxes=False)
    if form == "npz":
        assert np.array_equal(np.load(tmp_path / "out/test_ims_bbx.npy")[0], boxes(90))


class Explosive:
    """Pickled, it creates a file when it is read."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.target), "w")


def test_pickled_values_are_refused_and_never_run(tmp_path: Path) -> None:
    target = tmp_path / "ran"
    objects = np.array([Explosive(target)], dtype=object)
    values = {
        "pickle": pickle.dumps(Explosive(target)),
        "npy": as_file(np.save, objects, allow_pickle=True),
        "npz": as_file(np.savez, features=objects, allow_pickle=True),
    }
    for name, value in values.items():
        with pytest.raises(InputError, match=r"neither \.npy nor|damaged"):
            convert(write_lmdb(tmp_path / f"{name}.lmdb", {"1": value}), out=tmp_path / "out")
    assert not target.exists()


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.lmdb").write_bytes(b"nothing of the kind")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no feature files given"):
        convert(out=tmp_path / "out")
    for path in ("a.lmdb", "empty", "absent.tsv"):
        with pytest.raises(InputError, match=path):
            convert(tmp_path / path, out=tmp_path / "out")


def test_a_full_disk_is_found_before_anything_is_written(
    tmp_path: Path, captions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10})())
    with pytest.raises(InputError, match="GB are needed"):
        convert(write_tsv(tmp_path / "a.tsv"), out=tmp_path / "out", captions=captions)
    assert leftovers(tmp_path / "out") == []


def test_a_prepared_folder_receives_its_features(tmp_path: Path, captions: Path) -> None:
    out = tmp_path / "out"
    convert(write_tsv(tmp_path / "a.tsv"), out=out, captions=captions)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    for path in out.glob("*.npy"):
        path.unlink()
    convert(tmp_path / "a.tsv", out=out, captions=out)
    after = {path.name: path.read_bytes() for path in out.iterdir()}
    assert after == before


def test_an_image_in_two_splits_gets_its_features_in_both(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "id_mapping.json").write_text(json.dumps({str(image): f"{image}.jpg" for image in IDS}))
    for split, ids in {"test": IDS[:2], "testall": IDS}.items():
        (out / f"{split}_ids.txt").write_text("".join(f"{image}\n" for image in ids))
        (out / f"{split}_caps.txt").write_text("".join(f"photo {image}\n" for image in ids))
    convert(write_tsv(tmp_path / "a.tsv"), out=out, captions=out)
    assert np.array_equal(np.load(out / "test_ims.npy"), np.load(out / "testall_ims.npy")[:2])
