"""A trained network from Python: encodings, scores and ranks of all six networks, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import vse
from tests.trained import CAPTIONS, SHAPE, SIZES, features, write_checkpoint
from vse.data.datasets import open_split
from vse.errors import InputError
from vse.evaluation.script import open_model, score
from vse.nn.network import Embeddings
from vse.options import EvaluationOptions


@pytest.fixture
def model(tmp_path: Path) -> vse.Model:
    return vse.load(write_checkpoint(tmp_path / "model.pth.tar"), device="cpu")


def test_importing_the_library_does_not_import_torch() -> None:
    code = "import vse, sys; assert 'torch' not in sys.modules; assert vse.PUBLIC"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_attributes_of_the_library_are_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        vse.lod  # noqa: B018


@pytest.mark.parametrize("name", SIZES)
def test_scores_equal_those_of_an_evaluation(name: str, tmp_path: Path, data_root: Path) -> None:
    path = write_checkpoint(tmp_path / "model.pth.tar", name)
    model = vse.load(path, device="cpu", batch_size=3)
    split = open_split(data_root / "small_precomp", "test")
    options = EvaluationOptions(str(path), data_path=str(data_root), data_name="small", device="cpu")
    expected = score(open_model(str(path), None, options, lambda trained: trained), options)
    images, captions = model.encode_split(split)
    assert torch.allclose(model.score(images, captions), expected, atol=1e-6)
    given = model.score(split.images.read(np.arange(8)), split.captions)
    assert torch.allclose(given, expected, atol=1e-6)


@pytest.mark.parametrize("name", SIZES)
def test_batches_do_not_change_an_encoding(name: str, tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "model.pth.tar", name)
    one, many = (vse.load(path, device="cpu", batch_size=size) for size in (1, 100))
    assert torch.allclose(one.score(features(), CAPTIONS), many.score(features(), CAPTIONS), atol=1e-6)


def test_embedding_networks_give_one_vector_an_item(model: vse.Model) -> None:
    encoded = model.encode_text("a dog")
    assert isinstance(encoded, Embeddings)
    assert encoded.vectors.shape == (1, 8)
    assert model.encode_images(features(1)[0]).vectors.shape == (1, 8)


def test_ranks_are_in_order_and_ties_keep_the_earlier_item(model: vse.Model) -> None:
    images = features(4)
    images[3] = images[1]
    found = model.rank(images, ["a dog"], k=9)[0]
    scores = model.score(images, ["a dog"])[:, 0]
    assert [item.score for item in found] == scores.sort(descending=True).values.tolist()
    places = [item.item for item in found]
    assert places.index(1) < places.index(3)


def test_captions_are_ranked_for_an_image(model: vse.Model) -> None:
    found = model.rank(features(2), CAPTIONS, k=1, find="captions")
    best = model.score(features(2), CAPTIONS).argmax(dim=1).tolist()
    assert [items[0].item for items in found] == best


def test_unknown_words_are_reported(model: vse.Model, capsys: pytest.CaptureFixture[str]) -> None:
    model.encode_text(["a purple dog", "the purple cat zzz"])
    assert "does not know: purple, zzz" in capsys.readouterr().err


def test_word_pieces_know_their_unknown_words(tmp_path: Path, bert_folder: Path) -> None:
    from vse import networks
    from vse.text.word_pieces import WordPieces

    text = WordPieces.find(str(bert_folder))
    assert networks.folder("VSEinfty")
    model = object.__new__(vse.Model)
    model.text = text
    assert model.unknown_words(["a dog 漢"]) == ["漢"]


def test_a_checkpoint_without_the_shape_of_its_images_is_refused(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "old.pth.tar", state_shape=False)
    with pytest.raises(InputError, match="does not state the shape of its images"):
        vse.load(path)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((2, 3, 5), np.float32), r"images of shape \[3, 5\]"),
        (np.zeros((2, 4, 6), np.int64), "expected floating-point"),
        (np.full((2, 4, 6), np.nan, np.float32), "NaN"),
        (np.zeros((0, 4, 6), np.float32), "expected floating-point"),
        ([], "at least one"),
        (["no.jpg"], "no such picture"),
        ([[1.0, 2.0]], "expected an array of features"),
        (3.0, "expected an array of features"),
        (np.stack([np.zeros((4, 6), np.float32), np.full((4, 6), np.inf, np.float32)]), "row 1 holds NaN or infinity"),
    ],
)
def test_unusable_images_are_refused(model: vse.Model, images: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        model.encode_images(images)


@pytest.mark.parametrize("captions", [[], [1]])
def test_unusable_captions_are_refused(model: vse.Model, captions: list) -> None:
    with pytest.raises(InputError, match="expected a caption"):
        model.encode_text(captions)


def write_picture(path: Path) -> Path:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)).save(path)
    return path


def test_pictures_without_a_known_extractor_are_refused(model: vse.Model, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing tells how they are made"):
        model.encode_images(write_picture(tmp_path / "a.png"))


def extraction(folder: Path, **other: object) -> Path:
    asked = {"regions": 36, "grid": 2, "image_size": 64, "dtype": "float16", "batch_size": 2}
    record = {"model": "torchvision:squeezenet1_1", "weights": "by name", "asked": asked, **other}
    (folder / "features.json").write_text(json.dumps(record))
    return folder


class SmallExtractor:
    """Four mean colours of a picture as its regions."""

    shape = (4, 6)

    def read(self, path: Path) -> tuple[torch.Tensor, tuple[int, int]]:
        return torch.from_numpy(np.array(Image.open(path).resize((2, 2)))), (60, 40)

    def __call__(self, inputs: list[torch.Tensor], sizes: list[tuple[int, int]]) -> object:
        from vse.nn.extractors import BoxedFeatures

        cells = torch.stack(inputs).reshape(len(inputs), 4, 3).float() / 255
        return BoxedFeatures(torch.cat([cells, cells], dim=2).numpy(), np.zeros((len(inputs), 4, 4), np.float32))


def test_pictures_go_through_the_extractor_of_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vse.inference.extraction.build_extractor", lambda *arguments: SmallExtractor())
    record = {"data": {"train": {"folder": str(extraction(tmp_path))}}}
    model = vse.load(write_checkpoint(tmp_path / "model.pth.tar", record=record), device="cpu")
    picture = write_picture(tmp_path / "a.png")
    made = SmallExtractor()([SmallExtractor().read(picture)[0]], []).features.astype(np.float16).astype(np.float32)
    given = model.encode_images([picture, picture, picture])
    assert torch.allclose(given.vectors[2:], model.encode_images(made).vectors, atol=1e-6)


def test_features_of_other_weights_are_refused(tmp_path: Path) -> None:
    extraction(tmp_path, weights="ab" * 32)
    model = vse.load(write_checkpoint(tmp_path / "model.pth.tar"), device="cpu", features=tmp_path)
    with pytest.raises(InputError, match="weights of SHA-256 abababababab"):
        model.encode_images(write_picture(tmp_path / "a.png"))


def test_a_network_of_pictures_reads_picture_files(tmp_path: Path) -> None:
    shape = (3, 224, 224)
    model = vse.load(write_checkpoint(tmp_path / "model.pth.tar", shape=shape, cnn_type="resnet18"), device="cpu")
    (tmp_path / "other").mkdir()
    paths = [write_picture(tmp_path / "a.png"), write_picture(tmp_path / "other" / "b.png")]
    vectors = model.encode_images(paths).vectors
    assert torch.allclose(vectors[0], vectors[1])
    assert model.score(paths, ["a dog"]).shape == (2, 1)
    with pytest.raises(InputError, match="reads pictures, not features"):
        model.encode_images(np.zeros((1, *shape), np.float32))


def test_pictures_in_memory_are_encoded_as_their_files(tmp_path: Path) -> None:
    model = vse.load(write_checkpoint(tmp_path / "m.pth.tar", shape=(3, 224, 224), cnn_type="resnet18"), device="cpu")
    path = write_picture(tmp_path / "a.png")
    picture = Image.open(path)
    from_files = model.encode_images([path, path]).vectors
    assert torch.equal(model.encode_images([picture, path]).vectors, from_files)
    assert torch.equal(model.encode_images(picture.convert("CMYK")).vectors.isfinite(), torch.ones(1, 8, dtype=bool))
    with pytest.raises(InputError, match="convert it to RGB"):
        model.encode_images(picture.convert("HSV"))


def test_features_of_every_precision_and_order_are_encoded(model: vse.Model) -> None:
    given = torch.from_numpy(features(3)).bfloat16()
    same = given.float().numpy()
    expected = model.encode_images(same).vectors
    for images in (given, same.astype(np.float64), same.astype(">f4"), np.asfortranarray(same)):
        assert torch.equal(model.encode_images(images).vectors, expected)


def test_region_counts_may_differ_where_the_network_allows_it(tmp_path: Path) -> None:
    free = vse.load(write_checkpoint(tmp_path / "free.pth.tar", "VSEinfty"), device="cpu")
    assert free.encode_images(features(2, (7, SHAPE[1]))).vectors.shape == (2, 8)
    for name in ("SGRAF", "VSEpp", "HAL"):
        fixed = vse.load(write_checkpoint(tmp_path / f"{name}.pth.tar", name), device="cpu")
        with pytest.raises(InputError, match=r"images of shape \[7, 6\]"):
            fixed.encode_images(features(2, (7, SHAPE[1])))
