"""Pictures for towers: decoded upright to uint8, cropped as a function of the generator, cached as arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vse.data.batches import BatchRequest, PairDataset
from vse.data.decoding import PictureInput, RandomCrop, TowerPictures, TowerTransform, cache_pictures, read_pixels
from vse.data.images import open_picture, picture_splits
from vse.data.index_writer import write_index
from vse.data.pictures import Pictures
from vse.errors import InputError
from vse.text.token_ids import TokenIds


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height))


def reads(size: int = 32) -> PictureInput:
    return PictureInput(size, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bicubic")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five JPEGs with two captions each, as the train split of a data set folder."""
    images = tmp_path / "images"
    images.mkdir()
    names = [f"{number}.jpg" for number in range(5)]
    for number, name in enumerate(names):
        photo(100 + number, 80, number).save(images / name, quality=95)
    captions = [f"caption {number}" for number in range(10)]
    write_index({"train": Pictures(images, names, np.arange(5), captions, np.repeat(np.arange(5), 2))}, tmp_path)
    return tmp_path


def open_train(folder: Path, size: int = 32) -> TowerPictures:
    images = picture_splits(TowerTransform(reads(size)))(folder, "train").images
    assert isinstance(images, TowerPictures)
    return images


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_is_decoded_as_pillow_decodes_it(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "p.jpg"
    photo(60, 40).convert(mode).save(path)
    pixels, size = read_pixels(path, 32)
    expected = torch.from_numpy(np.array(open_picture(path))).permute(2, 0, 1)
    assert (pixels.dtype, size) == (torch.uint8, (60, 40))
    assert (pixels.int() - expected.int()).abs().max() <= 2


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("scale", [1, 20])
def test_pictures_stand_upright_however_the_camera_was_held(tmp_path: Path, orientation: int, scale: int) -> None:
    path = tmp_path / "p.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo(60 * scale, 40 * scale).save(path, exif=exif, quality=95)
    pixels, size = read_pixels(path, 32)
    upright = open_picture(path, upright=True)
    assert size == upright.size
    small = torch.from_numpy(np.array(upright.resize((32, 32)))).permute(2, 0, 1)
    assert (reads().squeeze(pixels).float() - small.float()).abs().mean() < 4


def test_a_large_jpeg_is_decoded_smaller_but_never_too_small(tmp_path: Path) -> None:
    photo(2000, 1000).save(tmp_path / "p.jpg", quality=95)
    pixels, size = read_pixels(tmp_path / "p.jpg", 100)
    assert size == (2000, 1000)
    assert 200 <= min(pixels.shape[1:]) < 1000
    whole, _ = read_pixels(tmp_path / "p.jpg", 500)
    assert whole.shape == (3, 1000, 2000)
    near = (reads(100).squeeze(pixels).float() - reads(100).squeeze(whole).float()).abs().mean()
    assert near < 2


def test_other_formats_and_broken_files_go_the_careful_way(tmp_path: Path) -> None:
    photo(60, 40).save(tmp_path / "p.png")
    assert read_pixels(tmp_path / "p.png", 32)[0].shape == (3, 40, 60)
    photo(60, 40).save(tmp_path / "p.jpg")
    (tmp_path / "half.jpg").write_bytes((tmp_path / "p.jpg").read_bytes()[:400])
    with pytest.raises(InputError, match=r"half\.jpg: cannot be decoded"):
        read_pixels(tmp_path / "half.jpg", 32)
    with pytest.raises(InputError, match=r"absent\.jpg: no such picture"):
        read_pixels(tmp_path / "absent.jpg", 32)
    photo(2, 800).save(tmp_path / "strip.jpg")
    with pytest.raises(InputError, match="strip"):
        read_pixels(tmp_path / "strip.jpg", 32)


def test_crops_keep_to_their_area_and_shape() -> None:
    pixels = torch.arange(3 * 120 * 90, dtype=torch.int32).reshape(3, 120, 90)
    areas, flips = [], 0
    for seed in range(200):
        cut = RandomCrop(0.6)(pixels, np.random.default_rng(seed))
        height, width = cut.shape[1:]
        areas.append(height * width / (120 * 90))
        assert 0.7 < width / height < 1.4
        flips += int(cut[0, 0, 0] > cut[0, 0, -1])
    assert 0.55 < min(areas) < 0.65
    assert max(areas) > 0.95
    assert 70 < flips < 130


def test_a_picture_that_no_crop_fits_stays_whole() -> None:
    pixels = torch.zeros(3, 10, 400, dtype=torch.uint8)
    assert RandomCrop(0.9)(pixels, np.random.default_rng(0)).shape == pixels.shape


def test_a_batch_is_a_function_of_seed_epoch_and_position(folder: Path) -> None:
    split = picture_splits(TowerTransform(reads()))(folder, "train")
    tokens = TokenIds(np.ones(10, np.int32), np.arange(11))
    request = BatchRequest(3, 7, np.array([0, 4, 1]))
    batches = [PairDataset(split, tokens, seed=5, augment=True)[request] for _ in range(2)]
    assert torch.equal(batches[0].images, batches[1].images)
    assert batches[0].images.dtype == torch.uint8
    other = PairDataset(split, tokens, seed=5, augment=True)[BatchRequest(4, 7, request.captions)]
    assert not torch.equal(batches[0].images, other.images)
    assert not torch.equal(batches[0].images[0], batches[0].images[2])  # one picture twice, cropped apart


def test_cached_pictures_are_the_decoded_ones(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    decoded = open_train(folder)
    plain = decoded.read(np.arange(5))
    file = cache_pictures(decoded.paths, folder / "train_caps.txt", 32, workers=2)
    assert file.name == "train_pixels.npy"
    cached = open_train(folder)
    assert "pictures come from this cache of 32 x 32 pixels" in capsys.readouterr().out
    assert cached.cache is not None
    assert torch.equal(cached.read(np.arange(5)), plain)
    few = picture_splits(TowerTransform(reads()))(folder, "train", first_images=2).images
    assert torch.equal(few.read(np.arange(2)), plain[:2])
    augmented = cached.read(np.array([1, 1]), np.random.default_rng(0))
    assert augmented.shape == (2, 3, 32, 32)
    assert not torch.equal(augmented[0], augmented[1])


def test_a_cache_of_other_pictures_is_refused(folder: Path) -> None:
    file = cache_pictures(open_train(folder).paths, folder / "train_caps.txt", 32)
    with pytest.raises(InputError, match="pictures of 32 pixels; this tower reads 48"):
        open_train(folder, 48)
    photo(90, 90, 9).save(folder / "images/3.jpg")
    with pytest.raises(InputError, match="made of other pictures"):
        open_train(folder)
    file.with_suffix(".json").unlink()
    with pytest.raises(InputError, match=r"not the whole cache"):
        open_train(folder)


def test_a_broken_picture_leaves_no_half_cache(folder: Path) -> None:
    paths = open_train(folder).paths
    paths[4].write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"4\.jpg"):
        cache_pictures(paths, folder / "train_caps.txt", 32)
    assert not [path for path in folder.iterdir() if "pixels" in path.name]
