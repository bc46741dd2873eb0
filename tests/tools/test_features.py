from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

import vse.tools.features
from tests.photos import photo, tiny_detector
from vse.data.datasets import open_split
from vse.data.decoding import TowerTransform
from vse.data.images import CropTransform, open_pictures, picture_splits
from vse.errors import InputError
from vse.nn.extractors import TokenExtractor
from vse.nn.towers.tower import build_image_tower
from vse.tools.features import main
from vse.tools.options import FeaturesOptions

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums of another order differ in their last bits; processes that are compared bit by bit compute alike."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Eleven photos of different sizes and a table of two captions each, seven of them for training."""
    folder = tmp_path / "photos"
    folder.mkdir()
    lines = ["image,caption,split"]
    for number in range(11):
        photo(60 + 5 * number, 50, number).save(folder / f"{number}.png")
        split = "train" if number < 7 else "val" if number < 9 else "test"
        lines += [f"{number}.png,caption {k} of {number},{split}" for k in range(2)]
    (tmp_path / "captions.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def resnet(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--model resnet18` with weights of its own, always the same, in place of torchvision's."""
    torch.manual_seed(0)
    state = torchvision.models.resnet18().state_dict()
    monkeypatch.setattr("vse.nn.towers.from_torchvision.fetch_weights", lambda *_: state)


def extract(photos: Path, out: Path, **options: Any) -> Path:
    defaults: dict[str, Any] = {
        "captions": photos.parent / "captions.csv",
        "model": "resnet18",
        "grid": 2,
        "image_size": 64,
    }
    defaults |= {"images": photos, "out": out, "batch_size": 3, "device": "cpu"}
    main(FeaturesOptions(**(defaults | options)))
    return out


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.usefixtures("resnet")
def test_grid_features_make_a_data_set_folder(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = extract(photos, tmp_path / "out", dtype="float32")
    assert "not bottom-up-attention features" in capsys.readouterr().out
    for name, numbers in {"train": range(7), "dev": range(7, 9), "test": range(9, 11)}.items():
        split = open_split(out, name)
        assert split.images.shape == (4, 512)
        assert split.captions == [f"caption {k} of {number}" for number in numbers for k in range(2)]
        assert (out / f"{name}_ids.txt").read_text().split() == [str(number) for number in numbers]
        sizes = np.load(out / f"{name}_ims_size.npy")
        assert sizes["image_w"].tolist() == [60 + 5 * number for number in numbers]
        assert set(sizes["image_h"].tolist()) == {50}
        boxes = np.load(out / f"{name}_ims_bbx.npy")
        half = sizes["image_w"][0] / 2
        assert boxes[0].tolist() == [
            [0, 0, half, 25],
            [half, 0, 2 * half, 25],
            [0, 25, half, 50],
            [half, 25, 2 * half, 50],
        ]
    record = json.loads((out / "features.json").read_text())
    assert (record["model"], record["regions"], record["dimensions"]) == ("resnet18", 4, 512)
    assert not [path for path in out.iterdir() if path.name.startswith(".")]
    pictures = open_pictures(out, "dev", CropTransform())
    assert pictures.images.read(np.array([1])).shape == (1, 3, 224, 224)


@pytest.mark.usefixtures("resnet")
def test_features_do_not_change_with_workers_or_batches(photos: Path, tmp_path: Path) -> None:
    one = np.load(extract(photos, tmp_path / "one", dtype="float32") / "train_ims.npy")
    two = np.load(extract(photos, tmp_path / "two", dtype="float32", workers=2) / "train_ims.npy")
    other = np.load(extract(photos, tmp_path / "other", dtype="float32", batch_size=5) / "train_ims.npy")
    half = np.load(extract(photos, tmp_path / "half") / "train_ims.npy")
    assert np.array_equal(one, two)
    np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5)
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, one, rtol=1e-3, atol=1e-4)


class StoppedError(Exception):
    pass


def stop_after(monkeypatch: pytest.MonkeyPatch, batches: int) -> None:
    calls: Iterator[int] = iter(range(batches))
    original = TokenExtractor.__call__

    def run(self: TokenExtractor, *arguments: Any) -> Any:
        if next(calls, None) is None:
            raise StoppedError
        return original(self, *arguments)

    monkeypatch.setattr(TokenExtractor, "__call__", run)


@pytest.mark.usefixtures("resnet")
@pytest.mark.parametrize("batches", [1, 3])
def test_an_interrupted_extraction_ends_in_the_same_bits(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    whole = content(extract(photos, tmp_path / "whole"))
    monkeypatch.setattr(vse.tools.features, "SAVE_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        stop_after(patch, batches)
        with pytest.raises(StoppedError):
            extract(photos, tmp_path / "out")
    assert not (tmp_path / "out/train_ims.npy").exists()
    assert not (tmp_path / "out/train_caps.txt").exists()
    with monkeypatch.context() as patch:
        stop_after(patch, 4 - batches)  # of four batches only the others are computed
        extract(photos, tmp_path / "out")
    assert content(tmp_path / "out") == whole


@pytest.mark.usefixtures("resnet")
def test_an_extraction_stopped_while_moving_files_goes_on(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = content(extract(photos, tmp_path / "whole"))

    def stop(*_: object) -> None:
        raise StoppedError

    for name in ("vse.data.feature_writer.sync_folder", "vse.tools.features.write_index"):
        with monkeypatch.context() as patch:
            patch.setattr(name, stop)
            with pytest.raises(StoppedError):
                extract(photos, tmp_path / "out")
    extract(photos, tmp_path / "out")
    assert content(tmp_path / "out") == whole


@pytest.mark.usefixtures("resnet")
def test_parts_that_were_deleted_are_made_again(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vse.tools.features, "SAVE_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(StoppedError):
            extract(photos, tmp_path / "out")
    (tmp_path / "out/.train_ims.npy.part").unlink()
    extract(photos, tmp_path / "out")
    assert content(tmp_path / "out") == content(extract(photos, tmp_path / "whole"))


def test_a_killed_process_leaves_nothing_half_written(photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    slow = """
import sys, time, torch, vse.tools.features as extract
from vse.cli import run
save = extract._save_progress
extract.SAVE_SECONDS = 0.0
extract._save_progress = lambda *arguments: (save(*arguments), time.sleep(0.1))
torch.set_num_threads(1)
run(extract.main, extract.FeaturesOptions)
"""
    options = {"model": "efficientnet_lite0", "image_size": 64, "grid": 2, "batch_size": 1, "device": "cpu"}
    command = [sys.executable, "-c", slow, str(photos), f"--captions={tmp_path / 'captions.csv'}"]
    command += [f"--out={tmp_path / 'out'}", *(f"--{name}={value}" for name, value in options.items())]
    killed = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    progress = tmp_path / "out/.features.0.json"
    while killed.poll() is None and not (progress.exists() and len(json.loads(progress.read_text())["done"]) >= 2):
        time.sleep(0.002)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert not list((tmp_path / "out").glob("*_caps.txt"))
    for out in ("out", "whole"):
        extract(photos, tmp_path / out, **options)
    assert content(tmp_path / "out") == content(tmp_path / "whole")


@pytest.mark.usefixtures("resnet")
def test_a_finished_folder_is_left_alone(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = extract(photos, tmp_path / "out")
    before = content(out)
    extract(photos, out)
    assert "complete already" in capsys.readouterr().out
    with pytest.raises(InputError, match="differ in asked"):
        extract(photos, out, grid=1)
    (tmp_path / "captions.csv").write_text((tmp_path / "captions.csv").read_text().replace("caption 0", "other"))
    with pytest.raises(InputError, match="differ in splits"):
        extract(photos, out)
    assert content(out) == before
    (out / "features.json").unlink()
    with pytest.raises(InputError, match=r"train_ims\.npy: is there already"):
        extract(photos, out)


@pytest.mark.usefixtures("resnet")
def test_broken_pictures_are_named_or_left_out(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "2.png").write_bytes((photos / "2.png").read_bytes()[:60])
    (photos / "8.png").unlink()
    with pytest.raises(InputError, match=r"8\.png: no such picture"):
        extract(photos, tmp_path / "out")
    photo(20, 20, 8).save(photos / "8.png")
    with pytest.raises(InputError, match=r"2\.png: cannot be decoded .* --skip_broken"):
        extract(photos, tmp_path / "out")
    with pytest.raises(InputError, match=r"2\.png: cannot be decoded"):
        extract(photos, tmp_path / "workers", workers=1)
    out = extract(photos, tmp_path / "skipped", skip_broken=True)
    assert "1 of 7 pictures left out" in capsys.readouterr().err
    assert len(open_split(out, "train").images) == 6
    assert "caption 0 of 2" not in open_split(out, "train").captions


@pytest.mark.usefixtures("resnet")
def test_odd_pictures_get_features(photos: Path, tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), "red").save(photos / "0.png")
    photo(30, 30, 1).convert("L").save(photos / "1.png")
    Image.fromarray(np.arange(900, dtype=np.uint16).reshape(30, 30)).save(photos / "2.png")
    out = extract(photos, tmp_path / "out")
    features = open_split(out, "train").images.read(np.arange(7))
    assert torch.isfinite(features).all()
    assert np.load(out / "train_ims_bbx.npy")[0, 3].tolist() == [0.5, 0.5, 1, 1]


def test_none_writes_captions_and_ids_for_training_on_pictures(photos: Path, tmp_path: Path) -> None:
    out = extract(photos, tmp_path / "out", model="none")
    assert sorted(content(out)) == sorted(
        [f"{split}_{kind}.txt" for split in ("train", "dev", "test") for kind in ("caps", "ids", "names")]
        + ["id_mapping.json", "index.json", "pictures.json"]
    )
    assert len(open_pictures(out, "train", CropTransform()).images) == 7


@pytest.mark.usefixtures("resnet")
def test_uneven_captions_are_cut_only_by_a_flag(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "captions.csv"
    table.write_text(table.read_text() + "3.png,a third one,train\n")
    assert open_split(extract(photos, tmp_path / "out"), "train").captions_per_image.tolist() == [2, 2, 2, 3, 2, 2, 2]
    cut = open_split(extract(photos, tmp_path / "cut", captions_per_image=2), "train")
    assert (cut.captions_per_image == 2).all()
    assert "train: 1 captions left out by --captions_per_image 2" in capsys.readouterr().out
    with pytest.raises(InputError, match="no dev image has --captions_per_image 3"):
        extract(photos, tmp_path / "three", captions_per_image=3)


def test_region_features_make_a_data_set_folder(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = tiny_detector()
    monkeypatch.setattr("vse.nn.extractors.fetch_weights", lambda *_: detector.state_dict())
    monkeypatch.setattr("torchvision.models.get_model", lambda *_, **__: detector)
    out = extract(photos, tmp_path / "out", model="fasterrcnn_mobilenet_v3_large_320_fpn", regions=5)
    assert open_split(out, "train").images.shape == (5, 1024)
    assert np.load(out / "test_ims_bbx.npy").shape == (2, 5, 4)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"model": "resnet9000"}, "resnet9000: no such image tower"),
        ({"model": "retinanet_resnet50_fpn"}, "no features of single regions"),
        ({"grid": 3}, "2 x 2 cells at --image_size 64"),
        ({"pooled": True}, "--grid 2 and --pooled"),
        ({"pooled": True, "grid": None, "model": "fasterrcnn_resnet50_fpn"}, "--pooled: fasterrcnn_resnet50_fpn is a"),
        ({"weights": Path("absent.pth")}, r"absent\.pth: cannot be read"),
        ({"images": Path("absent")}, "absent: no such folder"),
        ({"captions": Path("captions.txt")}, r"captions\.txt: cannot be read"),
    ],
)
@pytest.mark.usefixtures("resnet")
def test_what_cannot_be_done_is_said_in_one_sentence(
    photos: Path, tmp_path: Path, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint) as refused:
        extract(photos, tmp_path / "out", **options)
    assert "\n" not in str(refused.value)
    assert not list((tmp_path / "out").glob("*_ims.npy"))


@pytest.mark.usefixtures("resnet")
def test_tokens_are_those_of_the_tower_inside_a_network(photos: Path, tmp_path: Path) -> None:
    out = extract(photos, tmp_path / "out", dtype="float32", grid=None)
    tower = build_image_tower("torchvision:resnet18", 64).eval()
    images = picture_splits(TowerTransform(tower.input))(out, "dev").images
    with torch.inference_mode():
        tokens = tower(images.read(np.arange(2)))
    np.testing.assert_allclose(np.load(out / "dev_ims.npy"), tokens.numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("resnet")
def test_a_pooled_tower_gives_one_vector_and_the_whole_box(photos: Path, tmp_path: Path) -> None:
    tokens = np.load(extract(photos, tmp_path / "tokens", dtype="float32", grid=None) / "dev_ims.npy")
    out = extract(photos, tmp_path / "out", dtype="float32", grid=None, pooled=True)
    assert open_split(out, "dev").images.shape == (512,)
    np.testing.assert_allclose(np.load(out / "dev_ims.npy"), tokens.mean(axis=1), rtol=1e-5, atol=1e-6)
    assert np.load(out / "dev_ims_bbx.npy")[0].tolist() == [[0, 0, 60 + 5 * 7, 50]]
    record = json.loads((out / "features.json").read_text())
    assert (record["regions"], record["dimensions"], record["asked"]["pooled"]) == (1, 512, True)
    with pytest.raises(InputError, match="differ in asked"):
        extract(photos, out, dtype="float32", grid=None)


WORKER = """
import torch, torchvision, vse.tools.features as extract
from vse.cli import run
from vse.nn.towers import from_torchvision
torch.manual_seed(0)
state = torchvision.models.resnet18().state_dict()
from_torchvision.fetch_weights = lambda *_: state
torch.set_num_threads(1)
run(extract.main, extract.FeaturesOptions)
"""


@pytest.mark.usefixtures("resnet")
def test_two_processes_share_the_batches_and_give_the_same_bits(photos: Path, tmp_path: Path) -> None:
    whole = content(extract(photos, tmp_path / "whole", batch_size=1))
    command = [sys.executable, "-c", WORKER, str(photos), f"--captions={tmp_path / 'captions.csv'}"]
    command += [f"--out={tmp_path / 'out'}", "--model=resnet18", "--grid=2", "--image_size=64"]
    command += ["--batch_size=1", "--device=cpu"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen(command, cwd=ROOT, env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(2)
    ]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert content(tmp_path / "out") == whole


@pytest.mark.usefixtures("resnet")
def test_what_several_processes_did_is_not_done_again(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = content(extract(photos, tmp_path / "whole"))
    monkeypatch.setattr(vse.tools.features, "SAVE_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(StoppedError):
            extract(photos, tmp_path / "out")
    first = tmp_path / "out/.features.0.json"
    record = json.loads(first.read_text())
    assert record["done"] == [0, 1]
    (tmp_path / "out/.features.1.json").write_text(json.dumps({**record, "done": [1]}))
    first.write_text(json.dumps({**record, "done": [0]}))
    with monkeypatch.context() as patch:
        stop_after(patch, 2)  # of four batches only two are left
        extract(photos, tmp_path / "out")
    assert content(tmp_path / "out") == whole
