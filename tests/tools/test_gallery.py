"""The gallery page: queries, their best answers, which of them are right, and the pictures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tools.browser import look
from tests.trained import write_checkpoint
from vse.data.index import folder_pictures
from vse.data.index_writer import write_index
from vse.errors import InputError
from vse.evaluation.scoring import save_similarities
from vse.tools.gallery import main
from vse.tools.options import GalleryOptions

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
    main(
        GalleryOptions(str(tmp_path / "scores.npy"), data_path=str(tmp_path), data_name="small", out=str(out), **flags)
    )
    return out.read_text(encoding="utf-8")


def sections(page: str) -> tuple[list[str], list[str]]:
    """The queries of each direction: captions, images."""
    by_caption, by_image = page.split("<h2")[3:]
    return by_caption.split("<section")[1:], by_image.split("<section")[1:]


ANSWER = r'<figure class="answer(.*?)">.*?image (\d+), score\s+(-?[\d.]+)<'


def test_answers_are_ordered_and_right_ones_framed(tmp_path: Path, folder: Path, scores: torch.Tensor) -> None:
    by_caption, by_image = sections(page_of(tmp_path, queries=1000, answers=3, order="random"))
    assert len(by_caption) == IMAGES * CAPTIONS
    assert len(by_image) == IMAGES
    for section in by_caption:
        caption = int(re.findall(r"caption (\d+);", section)[0])
        best = scores[:, caption].argsort(descending=True)[:3].tolist()
        shown = re.findall(ANSWER, section, re.DOTALL)
        assert [int(image) for _, image, _ in shown] == best
        assert [float(score) for *_, score in shown] == pytest.approx(scores[best, caption].tolist(), abs=6e-4)
        assert [image for mark, image, _ in shown if "right" in mark] == [
            str(image) for image in best if image == caption // CAPTIONS
        ]
    lines = (folder / "test_caps.txt").read_text().splitlines()
    for section in by_image:
        image = int(re.findall(r'id="image(\d+)"', section)[0])
        best = scores[image].argsort(descending=True)[:3].tolist()
        shown = re.findall(r'<li class="answer(.*?)">(.*?)<br>', section)
        assert [text for _, text in shown] == [lines[caption] for caption in best]
        assert ["right" in mark for mark, _ in shown] == [caption // CAPTIONS == image for caption in best]


def test_the_right_picture_and_its_rank_stand_first(tmp_path: Path, folder: Path, scores: torch.Tensor) -> None:
    by_caption, by_image = sections(page_of(tmp_path, queries=1000))
    for section in by_caption:
        caption = int(re.findall(r"caption (\d+);", section)[0])
        own = caption // CAPTIONS
        rank = int((scores[:, caption] > scores[own, caption]).sum()) + 1
        first = section[section.index("<figure") :].partition("</figure>")[0]
        assert f"</b>, rank {rank}<br>" in first
        assert f"image {own}, score" in first
        assert f"its image is at rank {rank}<" in section
    for section in by_image:
        image = int(re.findall(r'id="image(\d+)"', section)[0])
        places = scores[image].argsort(descending=True, stable=True).argsort() + 1
        ranks = [int(rank) for rank in re.findall(r"<small>rank (\d+),", section)]
        assert ranks == places[image * CAPTIONS : (image + 1) * CAPTIONS].tolist()


def test_worst_queries_come_first_or_a_random_few(tmp_path: Path, folder: Path, scores: torch.Tensor) -> None:
    by_caption, by_image = sections(page_of(tmp_path, queries=4))
    shown = [int(rank) for section in by_caption for rank in re.findall(r"its image is at rank (\d+)", section)]
    all_ranks = [
        int((scores[:, caption] > scores[caption // CAPTIONS, caption]).sum()) + 1
        for caption in range(IMAGES * CAPTIONS)
    ]
    assert shown == sorted(all_ranks, reverse=True)[:4]
    assert "at rank 2<" in by_image[0]
    assert 'id="image3"' in by_image[0]
    drawn = [re.findall(r"caption (\d+);", section) for section in sections(page_of(tmp_path, order="random"))[0]]
    again = [re.findall(r"caption (\d+);", section) for section in sections(page_of(tmp_path, order="random"))[0]]
    other = [
        re.findall(r"caption (\d+);", section) for section in sections(page_of(tmp_path, order="random", seed=1))[0]
    ]
    assert drawn == again != other


def test_failures_are_queries_whose_best_answer_is_wrong(tmp_path: Path, folder: Path, scores: torch.Tensor) -> None:
    by_caption, by_image = sections(page_of(tmp_path, queries=100, failures=True))
    assert [re.findall(r'id="image(\d+)"', section) for section in by_image] == [["3"]]
    first_captions_but_one = {str(image * CAPTIONS) for image in range(1, IMAGES)}
    assert not first_captions_but_one & {re.findall(r"caption (\d+);", section)[0] for section in by_caption}
    assert len(by_caption) == IMAGES * (CAPTIONS - 1) + 1


def test_a_false_negative_is_told_from_a_failure(tmp_path: Path, folder: Path, scores: torch.Tensor) -> None:
    lines = (folder / "test_caps.txt").read_text().splitlines()
    lines[0] = lines[15] = "a zebra drinks at the river"  # image 3 is retrieved for caption 0 of image 0
    lines[1] = "a helicopter above skyscrapers"
    (folder / "test_caps.txt").write_text("\n".join(lines) + "\n")
    by_caption, by_image = sections(page_of(tmp_path, queries=1000, answers=1))
    [of_caption] = [section for section in by_caption if "caption 0;" in section]
    [of_image] = [section for section in by_image if 'id="image3"' in section]
    assert "similar in meaning 1.00" in of_caption
    assert '<figure class="answer similar">' in of_caption
    assert "<q>a zebra drinks at the river</q>" in of_caption
    assert '<li class="answer similar">a zebra drinks at the river' in of_image
    [failure] = [section for section in by_caption if "caption 1;" in section]
    assert "similar in meaning" not in failure
    assert ">wrong<" in failure


def test_the_threshold_stands_on_the_page(tmp_path: Path, folder: Path, scores: torch.Tensor) -> None:
    assert "a cosine of 0.75 or more" in page_of(tmp_path)
    assert "a cosine of 0.25 or more" in page_of(tmp_path, similar=0.25)
    page = page_of(tmp_path, descriptions="none")
    assert "Not marked on this page" in page
    assert "similar in meaning 0" not in page


def test_captions_without_words_leave_similarity_out_and_say_so(
    tmp_path: Path, folder: Path, scores: torch.Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "test_caps.txt").write_text("the\n" * IMAGES * CAPTIONS)
    assert "Not marked on this page: " in page_of(tmp_path)
    assert "similar answers are not marked" in capsys.readouterr().err
    with pytest.raises(InputError, match="nothing but stop words"):
        page_of(tmp_path, descriptions="svd")


def test_a_checkpoint_is_evaluated_and_its_training_told(tmp_path: Path, folder: Path) -> None:
    record = {
        "data": {
            "train": {"folder": "a/b_precomp", "images": 7, "captions": 35, "features": {"shape": [3], "kind": "f4"}},
            "dev": {"folder": "a/b_precomp", "images": 2, "captions": 10},
        },
        "environment": {"device_name": "a chip", "commit": "1234abcd", "dirty": False},
        "best_score": 301.25,
        "best_epoch": 4,
        "selected_by": "rsum",
        "seed": 11,
        "started": "2020-02-02",
    }
    shape = np.load(folder / "test_ims.npy").shape[1:]
    model = write_checkpoint(tmp_path / "model.pth.tar", shape=shape, record=record)
    where: dict[str, Any] = {"data_path": str(tmp_path), "data_name": "small", "out": str(tmp_path / "page.html")}
    main(GalleryOptions(str(model), **where))
    page = (tmp_path / "page.html").read_text()
    assert "<dd>b_precomp train: 7 images, 35 captions</dd>" in page
    assert "<dd>rsum 301.2, epoch 4</dd>" in page
    assert "<td>image to text</td>" in page
    save_similarities(tmp_path / "scores.npy", torch.rand(IMAGES, IMAGES * CAPTIONS))
    main(GalleryOptions(str(tmp_path / "scores.npy"), model_path=str(model), **where))
    assert "<dd>b_precomp train: 7 images, 35 captions</dd>" in (tmp_path / "page.html").read_text()
    with pytest.raises(InputError, match="is a checkpoint already"):
        main(GalleryOptions(str(model), model_path=str(model), **where))


def test_the_recall_table_is_that_of_the_scores(tmp_path: Path, folder: Path, scores: torch.Tensor) -> None:
    rows = re.findall(r"<tr>(.*?)</tr>", page_of(tmp_path).replace("\n", ""))
    cells = [re.findall(r"<td>(.*?)</td>", row) for row in rows[1:]]
    assert cells[0][:2] == ["image to text", "87.5"]
    assert cells[1][:2] == ["text to image", f"{100 * 7 / 40:.1f}"]
    assert "the scores" not in rows[0]


def test_without_pictures_captions_are_shown_as_text(tmp_path: Path, folder: Path, scores: torch.Tensor) -> None:
    lines = (folder / "test_caps.txt").read_text().splitlines()
    lines[0] = "a <script>dog</script> & a cat"
    (folder / "test_caps.txt").write_text("\n".join(lines) + "\n")
    page = page_of(tmp_path, queries=8)
    assert "no picture; a &lt;script&gt;dog&lt;/script&gt; &amp; a cat" in page
    assert "were not found; name their folder with --pictures" in page
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
    by_caption, by_image = sections(page_of(tmp_path, queries=1, answers=4))
    assert by_caption[0].count('src="data:image/jpeg;base64,') == 4 + 1  # the right one and those retrieved
    assert by_image[0].partition("</main>")[0].count('src="data:image/jpeg;base64,') == 1
    page = page_of(tmp_path)
    assert "no picture" not in page
    assert "The pictures of all 8 images on the page were found." in page
    anchors = set(re.findall(r'<a href="#(picture\d+)">', page))
    assert anchors == set(re.findall(r'<div class="large" id="(.*?)">', page))

    (folder / "images" / "0.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"0\.png: cannot be decoded"):
        page_of(tmp_path)


def test_pictures_are_taken_from_another_folder(tmp_path: Path, folder: Path, scores: torch.Tensor) -> None:
    (tmp_path / "mine").mkdir()
    for number in range(IMAGES - 1):
        Image.new("RGB", (64, 40), "green").save(tmp_path / "mine" / f"{number}.png")
    (folder / "test_names.txt").write_text("".join(f"{number}.png\n" for number in range(IMAGES)))
    before = sorted(folder.rglob("*"))
    page = page_of(tmp_path, pictures=str(tmp_path / "mine"), queries=1000)
    assert f"Pictures of 1 of the 8 images on the page were not found in {tmp_path / 'mine'}." in page
    assert len(set(re.findall(r'<div class="large" id="(.*?)">', page))) == IMAGES - 1
    assert sorted(folder.rglob("*")) == before
    with pytest.raises(InputError, match=r"--pictures nowhere: no such folder"):
        page_of(tmp_path, pictures="nowhere")


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
    assert all('class="answer right"' in section for section in by_caption + by_image)


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


def test_a_browser_shows_the_gallery_on_a_phone(tmp_path: Path, folder: Path, scores: torch.Tensor) -> None:
    (folder / "images").mkdir()
    for number in range(IMAGES):
        Image.new("RGB", (640, 400), "green").save(folder / "images" / f"{number}.png")
    (folder / "test_names.txt").write_text("".join(f"{number}.png\n" for number in range(IMAGES)))
    (folder / "test_caps.txt").write_text(("dog" * 60 + "\n") * IMAGES * CAPTIONS)
    page_of(tmp_path)
    content, pictures, broken, _ = look(tmp_path / "page.html", 360)
    assert content <= 360
    assert pictures > IMAGES
    assert broken == 0


def test_scores_are_read_from_an_archive_by_name(tmp_path: Path, folder: Path, scores: torch.Tensor) -> None:
    np.savez(tmp_path / "all.npz", mine=scores.numpy(), other=scores.numpy())
    where = {"data_path": str(tmp_path), "data_name": "small", "out": str(tmp_path / "page.html")}
    main(GalleryOptions(f"{tmp_path / 'all.npz'}:mine", **where))
    assert (tmp_path / "page.html").stat().st_size
    with pytest.raises(InputError, match="holds mine, other; choose one by"):
        main(GalleryOptions(str(tmp_path / "all.npz"), **where))
