"""The gallery page: queries, their best answers, which of them are right, and the pictures."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vse.data.index import folder_pictures
from vse.data.index_writer import write_index
from vse.errors import InputError
from vse.evaluation.scoring import save_similarities
from vse.tools.gallery import Options, main

IMAGES, CAPTIONS = 8, 5


@pytest.fixture
def folder(tmp_path: Path, make_data_set) -> Path:
    return make_data_set(tmp_path / "small_precomp")


@pytest.fixture
def scores(tmp_path: Path) -> torch.Tensor:
    """Each image's first caption scores highest of all, its others lowest; image 3 finds caption 0 instead."""
    matrix = torch.rand(IMAGES, IMAGES * CAPTIONS, generator=torch.Generator().manual_seed(0))
    images = torch.arange(IMAGES)
    for number in range(CAPTIONS):
        matrix[images, images * CAPTIONS + number] = 2.0 if number == 0 else -1.0
    matrix[3, 0] = 3.0
    save_similarities(tmp_path / "scores.npy", matrix)
    return matrix


def page_of(tmp_path: Path, **flags: object) -> str:
    out = tmp_path / "page.html"
    main(Options(str(tmp_path / "scores.npy"), data_path=str(tmp_path), data_name="small", out=str(out), **flags))
    return out.read_text(encoding="utf-8")


def sections(page: str) -> tuple[list[str], list[str]]:
    """The queries of each direction: captions, images."""
    by_caption, by_image = page.split("<h2>")[1:]
    return by_caption.split("<section>")[1:], by_image.split("<section>")[1:]


def test_answers_are_ordered_and_right_ones_framed(tmp_path: Path, folder: Path, scores: torch.Tensor) -> None:
    by_caption, by_image = sections(page_of(tmp_path, queries=1000, answers=3))
    assert len(by_caption) == IMAGES * CAPTIONS
    assert len(by_image) == IMAGES
    for caption, section in enumerate(by_caption):
        best = scores[:, caption].argsort(descending=True)[:3].tolist()
        shown = re.findall(r"<figure(.*?)>.*?image (\d+), (-?[\d.]+)<", section, re.DOTALL)
        assert [int(image) for _, image, _ in shown] == best
        assert [float(score) for *_, score in shown] == pytest.approx(scores[best, caption].tolist(), abs=6e-4)
        assert [image for mark, image, _ in shown if "right" in mark] == [
            str(image) for image in best if image == caption // CAPTIONS
        ]
    lines = (folder / "test_caps.txt").read_text().splitlines()
    for image, section in enumerate(by_image):
        best = scores[image].argsort(descending=True)[:3].tolist()
        shown = re.findall(r"<li(.*?)>(.*?) <small>", section)
        assert [text for _, text in shown] == [lines[caption] for caption in best]
        assert ["right" in mark for mark, _ in shown] == [caption // CAPTIONS == image for caption in best]
    assert "its image is at rank 2;" not in by_caption[5]
    assert "its image is at rank 2<" in by_caption[0]
    assert "first of its captions is at rank 2<" in by_image[3]


def test_queries_are_spread_over_the_split_or_the_failures(tmp_path: Path, folder: Path, scores: torch.Tensor) -> None:
    by_caption, by_image = sections(page_of(tmp_path, queries=2))
    assert [re.findall(r"caption (\d+);", section) for section in by_caption] == [["0"], ["39"]]
    assert [re.findall(r"image (\d+);", section) for section in by_image] == [["0"], ["7"]]
    by_caption, by_image = sections(page_of(tmp_path, queries=100, failures=True))
    assert [re.findall(r"image (\d+);", section) for section in by_image] == [["3"]]
    first_captions_but_one = {str(image * CAPTIONS) for image in range(1, IMAGES)}
    assert not first_captions_but_one & {re.findall(r"caption (\d+);", section)[0] for section in by_caption}
    assert len(by_caption) == IMAGES * (CAPTIONS - 1) + 1


def test_without_pictures_captions_are_shown_as_text(tmp_path: Path, folder: Path, scores: torch.Tensor) -> None:
    lines = (folder / "test_caps.txt").read_text().splitlines()
    lines[0] = "a <script>dog</script> & a cat"
    (folder / "test_caps.txt").write_text("\n".join(lines) + "\n")
    page = page_of(tmp_path, queries=1)
    assert "<em>a &lt;script&gt;dog&lt;/script&gt; &amp; a cat</em>" in page
    assert "<script>" not in page
    assert "<img" not in page


@pytest.mark.parametrize("layout", ["features", "pictures", "pictures, mapping one folder up"])
def test_pictures_are_on_the_page_with_features_and_without(
    tmp_path: Path, folder: Path, scores: torch.Tensor, layout: str
) -> None:
    (folder / "images").mkdir()
    names = [f"{number}.png" for number in range(IMAGES)]
    for name in names:
        Image.new("RGB", (640, 400), "green").save(folder / "images" / name)
    (folder / "test_ids.txt").write_text("".join(f"{number}\n" for number in range(IMAGES)))
    if layout == "features":
        (folder / "test_names.txt").write_text("".join(f"{name}\n" for name in names))
    else:
        for path in folder.glob("*_caps.txt"):
            if path.name != "test_caps.txt":
                path.unlink()
        for path in folder.glob("*_ims.npy"):
            path.unlink()
        mapping = ", ".join(f'"{number}": "{name}"' for number, name in enumerate(names))
        place = folder.parent if "up" in layout else folder
        (place / "id_mapping.json").write_text(f"{{{mapping}}}")
    page = page_of(tmp_path, queries=1, answers=4)
    assert page.count('src="data:image/jpeg;base64,') == 4 + 1
    assert "<em>" not in page

    (folder / "images" / "0.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"0\.png: cannot be decoded"):
        page_of(tmp_path, queries=1)


def test_a_names_file_of_another_split_is_refused(tmp_path: Path, folder: Path, scores: torch.Tensor) -> None:
    (folder / "images").mkdir()
    (folder / "test_names.txt").write_text("0.png\n" * (IMAGES + 1))
    with pytest.raises(InputError, match=r"test_names\.txt: 9 lines; expected one for each of the 8 images of test"):
        page_of(tmp_path)


def test_images_with_different_numbers_of_captions(tmp_path: Path, folder: Path) -> None:
    (folder / "images").mkdir()
    for path in folder.glob("*_caps.txt"):
        lines = path.read_text().splitlines()
        number = len(lines) // CAPTIONS
        split = path.name.removesuffix("_caps.txt")
        (folder / f"{split}_ids.txt").write_text("".join(f"{image}\n" for image in range(number)))
        for image in range(number):
            Image.new("RGB", (40, 40), "green").save(folder / "images" / f"{image}.png")
    (folder / "id_mapping.json").write_text("{" + ", ".join(f'"{image}": "{image}.png"' for image in range(24)) + "}")
    for path in folder.glob("*_ims.npy"):
        path.unlink()
    pictures = folder_pictures(folder)["test"]
    kept = np.ones(len(pictures.captions), dtype=bool)
    kept[1:4] = False
    uneven = type(pictures)(
        pictures.folder,
        pictures.names,
        pictures.ids,
        [caption for caption, wanted in zip(pictures.captions, kept, strict=True) if wanted],
        pictures.caption_image[kept],
    )
    write_index({"test": uneven}, folder)
    save_similarities(tmp_path / "scores.npy", torch.eye(IMAGES)[:, torch.from_numpy(uneven.caption_image)])
    by_caption, by_image = sections(page_of(tmp_path, queries=100, answers=1))
    assert len(by_caption) == len(uneven.captions)
    assert all('class="right"' in section for section in by_caption + by_image)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"split": "train"}, r"\[8, 40\] scores, but the train split .* has 24 images and 120 captions; name what"),
        ({"split": "val"}, "the folder has the splits train, dev, test"),
    ],
)
def test_scores_of_another_split_are_refused(
    tmp_path: Path, folder: Path, scores: torch.Tensor, flags: dict, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        page_of(tmp_path, **flags)
