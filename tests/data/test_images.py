from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional

from vse.data.batches import BatchRequest, PairDataset
from vse.data.images import (
    CropTransform,
    RawImages,
    SquareTransform,
    find_broken,
    load,
    open_picture,
    open_pictures,
    picture_splits,
)
from vse.data.index_writer import write_index
from vse.data.pictures import Pictures
from vse.errors import InputError

GOLDEN = Path(__file__).parents[1] / "golden/images"


def photo(width: int = 60, height: int = 40, seed: int = 0) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise)


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    """Six photos, two captions each, as one train split."""
    images = tmp_path / "images"
    images.mkdir()
    for number in range(6):
        photo(60 + number, 40, number).save(images / f"{number}.png")
    captions = [f"caption {number}" for number in range(12)]
    names = [f"{number}.png" for number in range(6)]
    write_index({"train": Pictures(images, names, np.arange(6), captions, np.repeat(np.arange(6), 2))}, tmp_path)
    return tmp_path


class PublishedDraws:
    """A generator that draws the golden file's random numbers: NumPy's legacy ones, in the published order."""

    def __init__(self, seed: int) -> None:
        self.legacy = np.random.RandomState(seed)

    def random(self) -> float:
        return self.legacy.rand()

    def integers(self, high: int) -> int:
        return self.legacy.randint(high)


def test_square_transform_equals_the_published_one() -> None:
    with np.load(GOLDEN / "vseinfty_image_transform.npz", allow_pickle=False) as golden:
        cases = [name for name in golden.files if not name.endswith("/raw")]
        for name in cases:
            image, source, mode, scale, seed = name.split("/")
            picture = Image.fromarray(golden[f"{image}/raw"]).convert("RGB")
            draws = PublishedDraws(int(seed.removeprefix("seed"))) if mode == "train" else None
            result = SquareTransform(source, float(scale.removeprefix("scale")))(picture, draws)  # type: ignore[arg-type]
            expected = golden[name]
            np.testing.assert_allclose(result.numpy(), expected, atol=1e-6 * np.abs(expected).max(), err_msg=name)
    assert len(cases) == 9


def test_evaluation_crops_the_centre_of_a_resized_picture() -> None:
    picture = photo(300, 200)
    shrunk = functional.center_crop(functional.resize(picture, 256), 224)
    pixels = torch.from_numpy(np.array(shrunk)).permute(2, 0, 1) / 255
    expected = (pixels - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
        :, None, None
    ]
    torch.testing.assert_close(CropTransform()(picture), expected)


@pytest.mark.parametrize("transform", [CropTransform(64), SquareTransform("imagenet", 0.25)])
def test_augmentation_is_a_function_of_the_generator_alone(transform: CropTransform | SquareTransform) -> None:
    picture, before = photo(), torch.get_rng_state()
    first, again, other = (transform(picture, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == (3, 64, 64)
    assert torch.equal(torch.get_rng_state(), before)


def test_pictures_do_not_change_with_the_reading_process(data_set: Path) -> None:
    split = open_pictures(data_set, "train", CropTransform(32))

    class Words:
        def __len__(self) -> int:
            return 12

        def batch(self, captions: np.ndarray, generator: object) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.zeros(len(captions), 1, dtype=torch.int64), torch.ones(len(captions), dtype=torch.int64)

    dataset = PairDataset(split, Words(), seed=4, augment=True)
    request = BatchRequest(2, 1, np.array([3, 0, 2]))
    torch.manual_seed(0)
    first = dataset[request].images
    torch.manual_seed(1)
    again = dataset[request].images
    assert first is not None
    assert again is not None
    assert torch.equal(first, again)
    other_epoch = dataset[BatchRequest(3, 1, np.array([3, 0, 2]))].images
    assert other_epoch is not None
    assert not torch.equal(first, other_epoch)
    assert not torch.equal(first[0], first[2])  # captions 3 and 2: one image, two crops


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK"])
def test_pictures_of_every_mode_become_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    photo().convert(mode).save(path)
    assert open_picture(path).mode == "RGB"
    assert load(path, CropTransform()).shape == (3, 224, 224)


def test_sixteen_bit_grey_is_scaled_not_cut(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 257 * 100], [257 * 200, 65535]], dtype=np.uint16)).save(tmp_path / "deep.png")
    picture = np.asarray(open_picture(tmp_path / "deep.png"))
    assert picture[..., 0].tolist() == [[0, 100], [200, 255]]
    assert (picture == picture[..., :1]).all()


def test_an_animation_is_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert open_picture(tmp_path / "a.gif").getpixel((0, 0)) == (255, 0, 0)


def test_a_picture_of_one_pixel_is_a_picture(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), "green").save(tmp_path / "dot.png")
    for transform in (CropTransform(), SquareTransform()):
        for generator in (None, np.random.default_rng(0)):
            pixels = load(tmp_path / "dot.png", transform, generator)
            assert torch.equal(pixels, pixels[:, :1, :1].expand_as(pixels))


def test_camera_orientation_is_followed_only_when_asked(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo(30, 20).save(tmp_path / "turned.jpg", exif=exif)
    assert open_picture(tmp_path / "turned.jpg").size == (30, 20)
    assert open_picture(tmp_path / "turned.jpg", upright=True).size == (20, 30)


def broken_files(folder: Path) -> list[Path]:
    photo(200, 200).save(folder / "cut.jpg")
    whole = (folder / "cut.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.png").write_text("no picture")
    (folder / "empty.jpg").touch()
    photo().save(folder / "page.eps")
    photo(1000, 2).save(folder / "strip.png")
    Image.new("F", (8, 8), 0.5).save(folder / "float.tif")
    names = ("cut.jpg", "text.png", "empty.jpg", "page.eps", "strip.png", "float.tif", "absent.png")
    return [folder / name for name in names]


def test_a_broken_picture_is_named_in_one_sentence(tmp_path: Path) -> None:
    for path in broken_files(tmp_path):
        with pytest.raises(InputError) as refused:
            load(path, CropTransform())
        message = str(refused.value)
        assert message.startswith(f"{path}: ")
        assert "--skip_broken" in message
        assert "\n" not in message


def test_content_of_no_known_format_is_told_by_the_formats(tmp_path: Path) -> None:
    (tmp_path / "page.jpg").write_text("<!DOCTYPE html>")
    expected = r"page\.jpg: cannot be decoded \(its content is none of JPEG, PNG, GIF, BMP, TIFF, WEBP, PPM\)"
    with pytest.raises(InputError, match=expected):
        load(tmp_path / "page.jpg", CropTransform())


def test_the_scan_finds_what_reading_would_refuse(tmp_path: Path) -> None:
    sound = tmp_path / "sound.jpg"
    photo(300, 200).save(sound)
    broken = broken_files(tmp_path)
    assert find_broken([sound, *broken, sound]) == list(range(1, 1 + len(broken)))


def test_broken_pictures_are_refused_or_left_out_and_counted(
    data_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data_set / "images/2.png").write_bytes(b"no picture")
    split = open_pictures(data_set, "train", CropTransform())
    with pytest.raises(InputError, match=r"2\.png"):
        split.images.read(np.arange(6))
    sound = open_pictures(data_set, "train", CropTransform(), skip_broken=True)
    assert "1 of 6 pictures left out with their captions, they cannot be decoded: 2.png" in capsys.readouterr().err
    assert len(sound.images) == 5
    assert len(sound.captions) == 10
    assert np.array(sound.captions_file.read_text().splitlines())[sound.lines].tolist() == sound.captions
    assert not list(data_set.glob("*unbroken*")), "looking at pictures writes nothing"
    assert "caption 4" not in sound.captions
    assert sound.captions[4] == "caption 6"
    assert sound.caption_image[4] == 2
    assert sound.images.paths[2].name == "3.png"  # type: ignore[attr-defined]


def test_a_missing_picture_is_found_before_training(data_set: Path) -> None:
    (data_set / "images/5.png").unlink()
    with pytest.raises(InputError, match=r"5\.png: no such picture"):
        open_pictures(data_set, "train", CropTransform())


def test_the_first_images_keep_their_captions(data_set: Path) -> None:
    open_split = picture_splits(SquareTransform("wsl", 0.125))
    split = open_split(data_set, "train", None, 4)
    with pytest.raises(InputError, match="--img_dim"):
        open_split(data_set, "train", 2048)
    assert len(split.images) == 4
    assert len(split.captions) == len(split.caption_image) == 8
    assert split.images.shape == (3, 32, 32)
    assert split.images.read(np.array([3, 1])).shape == (2, 3, 32, 32)


def test_reading_pictures_warns_about_nothing(data_set: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for transform in (CropTransform(), SquareTransform()):
            RawImages([data_set / "images/0.png"], transform).read(np.array([0]), np.random.default_rng(0))
