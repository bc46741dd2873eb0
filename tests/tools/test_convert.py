from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.drawn import DRAWS, Drawn, drawn
from tests.data.sources.examples import IDS, boxes, features, line, write_tsv
from vse.data.datasets import open_split
from vse.errors import InputError
from vse.tools.convert import main
from vse.tools.inspection import inspect
from vse.tools.options import ConvertOptions


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
    main(ConvertOptions(tuple(sources), out, **options))


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
    said = capsys.readouterr().out
    assert "ids of the sources: the captions' own ids (--match id), 5 of 5 images" in said
    assert "rows of the sources: 6 = 5 written + 1 of no split (777)" in said


def test_without_captions_rows_stay_in_order(tmp_path: Path) -> None:
    convert(write_tsv(tmp_path / "a.tsv"), out=tmp_path / "out", split="all")
    assert np.array_equal(np.load(tmp_path / "out/all_ims.npy"), np.stack([features(image) for image in IDS]))
    assert (tmp_path / "out/all_ids.txt").read_text().split() == [str(image) for image in IDS]
    assert np.load(tmp_path / "out/all_ims_bbx.npy").shape == (5, 3, 4)


def test_ids_that_are_file_names_become_row_numbers(tmp_path: Path) -> None:
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


def test_uneven_regions_are_padded_or_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.tsv").write_text(line(1, features(1, 5), boxes(1, 5)) + line(2, features(2, 3), boxes(2, 3)))
    out = tmp_path / "out"
    convert(tmp_path / "a.tsv", out=out)
    stored, lengths = np.load(out / "train_ims.npy"), np.load(out / "train_ims_len.npy")
    assert (lengths.dtype, lengths.tolist()) == (np.int32, [5, 3])
    assert np.array_equal(stored[1, :3], features(2, 3))
    assert not stored[1, 3:].any()
    assert not np.load(out / "train_ims_bbx.npy")[1, 3:].any()
    assert "2 images, 3 ... 5 regions of 4 dimensions, float32; padded to 5 with zeros" in capsys.readouterr().out
    convert(tmp_path / "a.tsv", out=out, regions=3, overwrite=True)
    assert np.array_equal(np.load(out / "train_ims.npy")[0], features(1, 5)[:3])
    assert np.array_equal(np.load(out / "train_ims_bbx.npy")[0], boxes(1, 5)[:3])
    assert not (out / "train_ims_len.npy").exists()


def test_files_of_an_earlier_conversion_do_not_stay(tmp_path: Path) -> None:
    out = tmp_path / "out"
    convert(write_tsv(tmp_path / "a.tsv"), out=out)
    convert(tmp_path / "a.tsv", out=out, fields="image_id,_,_,num_boxes,_,features", overwrite=True)
    assert leftovers(out) == ["train_ids.txt", "train_ims.json", "train_ims.npy"]


def test_repeated_rows_are_skipped_contradictions_refused(
    tmp_path: Path, captions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = write_tsv(tmp_path / "a.tsv").read_text()
    (tmp_path / "a.tsv").write_text(text + line(4, features(4), boxes(4)))
    convert(tmp_path / "a.tsv", out=tmp_path / "out", captions=captions)
    check_splits(tmp_path / "out")
    assert "6 = 5 written + 1 repeated with equal features (4)" in capsys.readouterr().out
    (tmp_path / "a.tsv").write_text(text + line(4, features(5)))
    for options in ({"captions": captions}, {}):
        with pytest.raises(InputError, match=r"line 6: image '4' comes twice"):
            convert(tmp_path / "a.tsv", out=tmp_path / "other", **options)
        assert leftovers(tmp_path / "other") == []


def test_missing_images_are_refused_or_left_out(
    tmp_path: Path, captions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tsv(tmp_path / "a.tsv", (17, 5, 90, 23))
    with pytest.raises(InputError, match=r"no features for 1 of 3 train images of .*: COCO_val2014_000000000004\.jpg"):
        convert(tmp_path / "a.tsv", out=tmp_path / "out", captions=captions)
    assert leftovers(tmp_path / "out") == []
    convert(tmp_path / "a.tsv", out=tmp_path / "out", captions=captions, drop_missing=True)
    assert "no features for 1 of 3 train images, left out with their captions: COCO_val" in capsys.readouterr().err
    split = open_split(tmp_path / "out", "train")
    assert np.array_equal(np.asarray(split.images.array), np.stack([features(5), features(17)]))  # type: ignore[attr-defined]
    assert split.captions[0] == "caption 0 of 5"
    assert np.array_equal(np.load(tmp_path / "out/train_ims_bbx.npy")[1], boxes(17))
    (tmp_path / "b.tsv").write_text(line("unknown", features(1)))
    with pytest.raises(InputError, match="none of 1 images"):
        convert(tmp_path / "b.tsv", out=tmp_path / "other", captions=captions)


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


def test_uneven_captions_are_kept_unless_asked_to_be_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "captions.csv"
    rows = [(4, "a"), (4, "b"), (4, "c"), (5, "d"), (5, "e"), (17, "f"), (17, "g"), (90, "i"), (23, "h"), (23, "j")]
    splits = {23: "val"}
    table.write_text(
        "image,caption,split\n" + "".join(f"{i}.jpg,{text},{splits.get(i, 'train')}\n" for i, text in rows)
    )
    out = tmp_path / "out"
    convert(write_tsv(tmp_path / "a.tsv"), out=out, captions=table, match="stem")
    assert (out / "train_caps.txt").read_text().split() == list("abcdefgi")
    assert np.load(out / "train_caption_image.npy").tolist() == [0, 0, 0, 1, 1, 2, 2, 3]
    assert np.array_equal(np.load(out / "train_ims.npy")[3], features(90))
    capsys.readouterr()
    convert(tmp_path / "a.tsv", out=tmp_path / "two", captions=table, match="stem", captions_per_image=2)
    assert open_split(tmp_path / "two", "train").captions == list("abdefg")
    assert not (tmp_path / "two/train_caption_image.npy").exists()
    said = capsys.readouterr()
    assert "train: 2 captions left out, 2 an image kept" in said.out
    assert "1 images with fewer than 2 captions left out: 90.jpg" in said.err


def test_features_say_what_they_were_made_from(tmp_path: Path, captions: Path) -> None:
    source = write_tsv(tmp_path / "a.tsv")
    convert(source, out=tmp_path / "out", captions=captions, dtype="float16", match="id")
    record = json.loads((tmp_path / "out/dev_ims.json").read_text())
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    assert record == {"made_from": {str(source): digest}, "by": {"match": "id", "dtype": "float16"}}
    [row] = [row for row in inspect(tmp_path / "out").derived if row["file"] == "dev_ims.json"]
    assert row["state"] == "up to date"
    write_tsv(source, (4, 5, 17, 23, 90))
    assert [problem for problem in inspect(tmp_path / "out").problems if "dev_ims.json: made from" in problem]


def test_captions_never_stay_beside_features_of_others(
    tmp_path: Path, captions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    convert(write_tsv(tmp_path / "a.tsv"), out=out, captions=captions)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vse.tools.convert.write_index", die)
    with pytest.raises(KeyboardInterrupt):
        convert(tmp_path / "a.tsv", out=out, captions=captions, overwrite=True)
    assert not list(out.glob("*_ims.npy"))


def test_features_that_are_all_zero_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.tsv").write_text(line("a", features(1)) + line("b", np.zeros((3, 4), np.float32)))
    convert(tmp_path / "a.tsv", out=tmp_path / "out")
    assert "1 images with features that are all zero, kept as they are: b" in capsys.readouterr().err


@pytest.mark.parametrize(("value", "words"), [(np.nan, "NaN or infinity"), (1e7, "up to 1e.07, which no network")])
def test_values_that_no_network_gives_are_refused(tmp_path: Path, value: float, words: str) -> None:
    broken = features(2)
    broken[1, 2] = value
    (tmp_path / "a.tsv").write_text(line(1, features(1)) + line(2, broken))
    with pytest.raises(InputError, match=f"line 2: features .*{words}"):
        convert(tmp_path / "a.tsv", out=tmp_path / "out")
    assert leftovers(tmp_path / "out") == []
    if np.isfinite(value):
        convert(tmp_path / "a.tsv", out=tmp_path / "out", trust=True)
        assert np.load(tmp_path / "out/train_ims.npy")[1, 1, 2] == value


def test_arrays_without_ids_take_them_from_a_file(tmp_path: Path, captions: Path) -> None:
    np.save(tmp_path / "all.npy", np.stack([features(image) for image in IDS]))
    (tmp_path / "order.txt").write_text("".join(f"{image}\n" for image in IDS))
    with pytest.raises(InputError, match=r"all\.npy: features without ids.*--ids FILE"):
        convert(tmp_path / "all.npy", out=tmp_path / "out", captions=captions)
    convert(tmp_path / "all.npy", out=tmp_path / "out", captions=captions, ids=tmp_path / "order.txt", axes="rd")
    check_splits(tmp_path / "out", with_boxes=False)


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


def write_drawn(case: Drawn, folder: Path, form: str) -> Path:
    """Feature files of one of the forms, in which all numbers of picture k are k + 1; strangers hold 99."""
    rows = [(image, 99 if truth is None else truth + 1) for image, truth in zip(case.images, case.truth, strict=True)]
    arrays = [np.full((2, 256), value, np.float32) for _, value in rows]
    if form == "folder":
        for (image, _), array in zip(rows, arrays, strict=True):
            path = folder / "f" / f"{image.strip('/').removesuffix('.npz')}.npz"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, feat=array)
        return folder / "f"
    if form == "npy":
        np.save(folder / "f.npy", np.stack(arrays))
        (folder / "f_ids.txt").write_text("".join(f"{image}\n" for image, _ in rows))
        return folder / "f.npy"
    (folder / "f").write_text(
        "".join(line(image, array, boxes(1, 2)) for (image, _), array in zip(rows, arrays, strict=True))
    )
    return folder / "f"


@given(drawn(), st.sampled_from(["tsv", "npy", "folder"]), st.booleans())
@settings(max_examples=DRAWS or 15, derandomize=not DRAWS, deadline=None, database=None)
def test_no_naming_gives_features_to_other_captions(case: Drawn, form: str, drop_missing: bool) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        images = [
            {
                "filename": name,
                "cocoid": number,
                "split": ("train", "val", "test")[k % 3],
                "sentences": [{"raw": f"{k}"}],
            }
            for k, (name, number) in enumerate(zip(case.names, case.ids, strict=True))
        ]
        (folder / "d.json").write_text(json.dumps({"images": images}))
        source = write_drawn(case, folder, form)
        try:
            convert(source, out=folder / "out", captions=folder / "d.json", drop_missing=drop_missing)
        except InputError:
            complete = len([truth for truth in case.truth if truth is not None]) == len(case.names)
            assert not (case.plain and complete)
            assert leftovers(folder / "out") == []
            return
        found = {}
        for split in ("train", "dev", "test"):
            if not (folder / f"out/{split}_ims.npy").exists():
                continue
            values = np.load(folder / f"out/{split}_ims.npy")[:, 0, 0].astype(int) - 1
            captions = (folder / f"out/{split}_caps.txt").read_text().split()
            assert [str(value) for value in values] == captions
            assert (folder / f"out/{split}_names.txt").read_text().splitlines() == [case.names[k] for k in values]
            found |= dict.fromkeys(values.tolist())
        assert set(found) == {truth for truth in case.truth if truth is not None}
