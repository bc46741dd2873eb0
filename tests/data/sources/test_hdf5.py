"""HDF5 in the forms of public extractors; links, other files and Python objects are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.sources.examples import IDS, boxes, check, collected, features
from vse.data.sources.hdf5 import open_hdf5
from vse.errors import InputError

h5py = pytest.importorskip("h5py")

Write = Callable[[Any], None]


def write(path: Path, content: Write) -> Path:
    with h5py.File(path, "w") as file:
        content(file)
    return path


def table(file: Any, turned: bool = False, prefix: str = "") -> None:
    axes = (0, 2, 1) if turned else (0, 1, 2)
    file[f"{prefix}features"] = np.stack([features(image) for image in IDS]).transpose(axes)
    file["boxes"] = np.stack([boxes(image) for image in IDS]).transpose(axes)
    file["ids"] = np.array(IDS)
    file["widths"], file["heights"] = np.full(5, 640), np.full((5, 1), 480)


def groups(file: Any) -> None:
    for image in IDS:
        group = file.create_group(str(image))
        group["features"], group["bbox"], group["width"], group["height"] = features(image), boxes(image), 640, 480


def grouped(file: Any) -> None:
    for image in IDS:
        file[f"features/{image}"], file[f"boxes/{image}"] = features(image), boxes(image)
        file[f"width/{image}"], file[f"height/{image}"] = 640, 480


def suffixed(file: Any) -> None:
    for image in IDS:
        file[f"{image}_features"], file[f"{image}_boxes"] = features(image), boxes(image)
        file[f"{image}_width"], file[f"{image}_height"] = 640, 480
        file[f"{image}_cls_prob"] = np.ones((3, 7))


@pytest.mark.parametrize("content", [table, lambda file: table(file, turned=True)])
def test_tables_come_in_the_order_of_their_rows(tmp_path: Path, content: Write) -> None:
    check(collected(open_hdf5(write(tmp_path / "a.h5", content))))


@pytest.mark.parametrize("content", [groups, grouped, suffixed])
def test_entries_come_in_the_order_of_their_numbers(tmp_path: Path, content: Write) -> None:
    check(collected(open_hdf5(write(tmp_path / "a.h5", content))), sorted(IDS))


def test_entries_may_be_the_features_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", lambda file: [file.__setitem__(str(image), features(image)) for image in IDS])
    check(collected(open_hdf5(path), axes="rd"), sorted(IDS), with_boxes=False)


@pytest.mark.parametrize("holder", ["4", "4/x"])
def test_attributes_tell_sizes_and_numbers_of_boxes(tmp_path: Path, holder: str) -> None:
    def content(file: Any) -> None:
        file["4/x"] = np.concatenate([features(4, 3, 300), np.zeros((2, 300), np.float32)])
        file[holder].attrs.update({"num_boxes": 3, "image_w": 640, "image_h": 480})

    images = collected(open_hdf5(write(tmp_path / "a.h5", content)))
    assert images.lengths.tolist() == [3]
    assert images.entries[0].size == (640, 480)


@pytest.mark.parametrize("place", ["{}", "{}/features", "features/{}"])
def test_names_with_folders_stay_whole(tmp_path: Path, place: str) -> None:
    names = ["train2014/10.jpg", "train2014/9.jpg", "val2014/a/3.jpg"]
    path = write(tmp_path / "a.h5", lambda file: [file.__setitem__(place.format(name), features(1)) for name in names])
    assert [entry.image for entry in open_hdf5(path).entries()] == [names[1], names[0], names[2]]


def test_numbered_names_are_ordered_by_number(tmp_path: Path) -> None:
    names = [f"img_{number}" for number in (0, 1, 2, 10, 11)]
    path = write(tmp_path / "a.h5", lambda file: [file.__setitem__(name, features(1)) for name in reversed(names)])
    assert [entry.image for entry in open_hdf5(path).entries()] == names


@pytest.mark.parametrize("spans", ["pos_boxes", "num_boxes"])
def test_regions_of_all_images_in_a_row_are_told_apart(tmp_path: Path, spans: str) -> None:
    counts = [3, 5, 2, 4, 3]

    def content(file: Any) -> None:
        file["image_features"] = np.concatenate([features(i, n) for i, n in zip(IDS, counts, strict=True)])
        file["image_bb"] = np.concatenate([boxes(i, n) for i, n in zip(IDS, counts, strict=True)])
        file["image_ids"] = np.array(IDS)[:, None]
        ends = np.cumsum(counts)
        file[spans] = np.stack([ends - counts, ends], axis=1) if spans == "pos_boxes" else np.array(counts)

    images = collected(open_hdf5(write(tmp_path / "a.h5", content)))
    assert images.lengths.tolist() == counts
    for place, (image, count) in enumerate(zip(IDS, counts, strict=True)):
        np.testing.assert_array_equal(images.read(place)[:count], features(image, count))
        np.testing.assert_array_equal(images.boxes(place)[:count], boxes(image, count))  # type: ignore[index]
        assert not images.read(place)[count:].any()


@pytest.mark.parametrize("spans", [[[0, 3], [2, 6]], [[0, 3], [3, 9]], [[3, 3], [0, 3]], [[-1, 3], [3, 6]]])
def test_spans_that_do_not_fit_are_refused(tmp_path: Path, spans: list[list[int]]) -> None:
    def content(file: Any) -> None:
        file["features"], file["ids"], file["pos_boxes"] = np.ones((6, 4), np.float32), np.arange(2), np.array(spans)

    with pytest.raises(InputError, match="pos_boxes"):
        open_hdf5(write(tmp_path / "a.h5", content))


def test_rows_that_no_span_covers_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def content(file: Any) -> None:
        file["features"], file["ids"], file["pos_boxes"] = np.ones((6, 4), np.float32), [0], np.array([[0, 4]])

    open_hdf5(write(tmp_path / "a.h5", content))
    assert "2 of 6 rows of features belong to no image" in capsys.readouterr().err


def test_numbers_of_boxes_cut_padded_tables(tmp_path: Path) -> None:
    def content(file: Any) -> None:
        table(file)
        file["num_boxes"] = np.array([3, 1, 2, 3, 3])

    images = collected(open_hdf5(write(tmp_path / "a.h5", content)))
    assert images.lengths.tolist() == [3, 1, 2, 3, 3]
    assert not images.read(1)[1:].any()
    np.testing.assert_array_equal(images.read(1)[:1], features(IDS[1])[:1])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ids": None}, "features without ids.*--ids FILE"),
        ({"ids": np.arange(4)}, r"ids: ids \[4\]; expected one for each of 5 images"),
        ({"image_ids": np.arange(5)}, "holds image_ids and ids, which differ; give the right ones with --ids"),
        ({"feats": np.ones((5, 3, 4), np.float32)}, "holds features and feats; say which with --features_key"),
        ({"boxes": np.ones((4, 3, 4))}, r"boxes \[4, 3, 4\] beside features \[5, 3, 4\]"),
        ({"boxes": np.ones((5, 3, 5))}, r"boxes \[3, 5\]"),
        ({"widths": np.ones(3)}, "3 widths for 5 images"),
        ({"widths": np.zeros(5)}, "image of 0 x 480 pixels"),
        ({"features": np.ones((5, 3, 4), np.float32)[..., None, None]}, "expected .images, regions, dimensions."),
        ({"features": np.ones((5, 0, 4), np.float32), "boxes": None}, r"features of shape \[0, 4\]"),
        ({"ids": np.array([1.5, 2, 3, 4, 5])}, "row 0: id 1.5; expected an integer or a name"),
    ],
)
def test_tables_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    def content(file: Any) -> None:
        table(file)
        for name, value in changes.items():
            if name in file:
                del file[name]
            if value is not None:
                file[name] = value

    with pytest.raises(InputError, match=words) as refusal:
        collected(open_hdf5(write(tmp_path / "a.h5", content)))
    assert "\n" not in str(refusal.value)


def test_entries_without_features_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def content(file: Any) -> None:
        suffixed(file)
        file["107_boxes"] = boxes(1)

    check(collected(open_hdf5(write(tmp_path / "a.h5", content))), sorted(IDS))
    assert "entries without features, left out: 107_boxes" in capsys.readouterr().err


def test_entries_of_another_form_are_refused(tmp_path: Path) -> None:
    scalar = write(tmp_path / "a.h5", lambda file: file.__setitem__("4", 1.0))
    with pytest.raises(InputError, match=r"entry '4': features of shape \[\]"):
        collected(open_hdf5(scalar))
    nothing = write(tmp_path / "b.h5", lambda file: file.__setitem__("4/boxes", boxes(4)))
    with pytest.raises(InputError, match=r"entry '4': none of features.*--features_key"):
        collected(open_hdf5(nothing))
    named = write(tmp_path / "d.h5", lambda file: file.__setitem__("4/what", features(4)))
    np.testing.assert_array_equal(collected(open_hdf5(named, "what"), axes="rd").read(0), features(4))
    both = write(
        tmp_path / "c.h5", lambda file: [file.__setitem__(f"4_{end}", features(4)) for end in ("grids", "feat")]
    )
    with pytest.raises(InputError, match="entries that end in feat and in grids; say which with --features_key"):
        open_hdf5(both)
    assert [entry.image for entry in open_hdf5(both, "grids").entries()] == ["4"]


def link_makers(other: Path) -> dict[str, Write]:
    virtual = h5py.VirtualLayout((5, 3, 4), np.float32)
    virtual[:] = h5py.VirtualSource(str(other), "features", (5, 3, 4))
    outside = h5py.ExternalLink(str(other), "/features")
    return {
        "external": lambda file: file.__setitem__("features", outside),
        "soft": lambda file: [
            file.__setitem__("real", np.ones((5, 3, 4))),
            file.__setitem__("features", h5py.SoftLink("/real")),
        ],
        "dangling": lambda file: file.__setitem__("features", h5py.SoftLink("/nothing")),
        "virtual": lambda file: file.create_virtual_dataset("features", virtual),
        "storage": lambda file: file.create_dataset("features", (2, 2, 2), "f4", external=[(str(other), 0, 32)]),
        "entry": lambda file: file.__setitem__("4", outside),
        "in a group": lambda file: file.__setitem__("4/features", outside),
    }


@pytest.mark.parametrize("kind", ["external", "soft", "dangling", "virtual", "storage", "entry", "in a group"])
def test_links_and_data_of_other_files_are_refused(tmp_path: Path, kind: str) -> None:
    other = write(tmp_path / "other.h5", table)
    with pytest.raises(InputError, match=r"a link, which may lead anywhere|points to another file"):
        collected(open_hdf5(write(tmp_path / "a.h5", link_makers(other)[kind])))


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.h5", table).read_bytes()
    for kept in (len(whole) // 2, len(whole) - 8):
        (tmp_path / "a.h5").write_bytes(whole[:kept])
        with pytest.raises(InputError, match=r"a\.h5: damaged or not HDF5"):
            collected(open_hdf5(tmp_path / "a.h5")).read(0)
