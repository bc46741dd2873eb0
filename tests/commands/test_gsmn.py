"""Every GSMN command line of the contract, verbatim, on small data sets laid out as the commands expect."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from vse.text.tokens import tokenise

SMALL = " --embed_size 32 --word_dim 8 --batch_size 16 --num_epochs 1"
REGIONS = 4


def add_boxes(folder: Path, published: bool = False, regions: int = REGIONS) -> None:
    """Boxes and sizes of every split; published: sizes as the pickled dictionaries of the published files."""
    generator = np.random.default_rng(1)
    for split in ("train", "dev", "test"):
        images = len(np.load(folder / f"{split}_ims.npy", mmap_mode="r"))
        sizes = generator.integers(300, 500, size=(images, 2))
        corner = generator.uniform(0, 0.5, size=(images, regions, 2)) * sizes[:, None]
        boxes = np.concatenate([corner, corner + 0.4 * sizes[:, None]], axis=-1).astype(np.float32)
        np.save(folder / f"{split}_ims_bbx.npy", boxes)
        if published:
            entries = np.array([{"image_w": int(w), "image_h": int(h)} for w, h in sizes], dtype=object)
            np.save(folder / f"{split}_ims_size.npy", entries, allow_pickle=True)
        else:
            np.save(folder / f"{split}_ims_size.npy", sizes.astype(np.float32))


def add_parses(folder: Path) -> None:
    """`*_caps.json`: the root, and every word attached to the one two places before it."""
    for path in folder.glob("*_caps.txt"):
        counts = [len(tokenise(line)) for line in path.read_text().splitlines()]
        parses = [[[0, 1], *([max(word - 2, 1), word] for word in range(2, count + 1))] for count in counts]
        path.with_suffix(".json").write_text(json.dumps(parses))


@pytest.fixture
def root(tmp_path: Path, make_data_set) -> Path:
    for name in ("f30k", "coco"):
        make_data_set(tmp_path / "data" / f"{name}_precomp")
        add_boxes(tmp_path / "data" / f"{name}_precomp", published=name == "f30k")
    add_parses(tmp_path / "data" / "f30k_precomp")
    return tmp_path / "data"


@pytest.mark.parametrize("name", ["f30k", "coco"])
def test_training_and_evaluation_commands(script, root: Path, name: str, tmp_path: Path) -> None:
    command = (
        f'python train.py --data_path "$DATA_PATH" --data_name {name}_precomp --vocab_path "$VOCAB_PATH" '
        "--logger_name runs/log --bi_gru --max_violation --lambda_softmax 20 --embed_size 1024 --is_sparse"
    )
    done = script("GSMN_LSEH", command + SMALL, DATA_PATH=root, VOCAB_PATH=tmp_path / "vocab")
    folder = done.folder / "runs/log"
    assert {"options.json", "metrics.jsonl", "checkpoint.pth.tar", "model_best.pth.tar", "vocab.json"} <= {
        path.name for path in folder.iterdir()
    }
    assert json.loads((folder / "options.json").read_text())["loss"] == "lseh"
    assert ("neighbouring words are connected" in done.output) == (name == "coco")
    assert "using a regular grid" not in done.output
    done = script("GSMN_LSEH", f"python test.py --model_path runs/log/model_best.pth.tar --json {tmp_path}/m.json")
    assert f"{name}_precomp test (8 images, 40 captions)" in done.output
    assert json.loads((tmp_path / "m.json").read_text())["rsum"] > 0


def test_two_models_are_averaged(script, root: Path, tmp_path: Path) -> None:
    train = f'python train.py --data_path "$DATA_PATH" --data_name f30k --graph propagate{SMALL}'
    script("GSMN_LSEH", train, DATA_PATH=root)
    script("GSMN_LSEH", f"{train} --is_sparse --logger_name runs/sparse --legacy_boxes", DATA_PATH=root)
    assert "f30k_precomp test" in script("GSMN_LSEH", "python test.py --save_similarities a.npy").output
    sparse = "runs/sparse/model_best.pth.tar"
    script("GSMN_LSEH", f"python evaluation.py --model_path {sparse} --save_similarities b.npy")
    done = script("GSMN_LSEH", f"python test.py --ensemble {sparse} --save_similarities c.npy")
    a, b, c = (np.load(done.folder / f"{name}.npy", allow_pickle=False) for name in "abc")
    assert not np.allclose(a, b, atol=1e-3)
    np.testing.assert_allclose((a + b) / 2, c, atol=1e-6)
    assert "mean of runs/runX" in done.output


def test_iaprtc12_and_a_grid_in_place_of_boxes(script, tmp_path: Path, make_data_set) -> None:
    make_data_set(tmp_path / "data" / "iaprtc12_precomp", captions=1, images=(40, 8, 8))
    train = 'python IAPRTC12/trainIAPRTC12.py --data_path "$DATA_PATH" --data_name IAPRTC_precomp --max_violation'
    done = script("GSMN_LSEH", train + SMALL, DATA_PATH=tmp_path / "data")
    assert "using a regular grid as the boxes of the 4 regions" in done.output
    done = script("GSMN_LSEH", "python IAPRTC12/evaluationIAPRTC12.py")
    assert "iaprtc12_precomp test (8 images, 8 captions)" in done.output


def test_mistakes_are_one_sentence_before_the_first_batch(script, root: Path, tmp_path: Path, make_data_set) -> None:
    make_data_set(tmp_path / "data" / "bare_precomp")
    small = f'python train.py --data_path "$DATA_PATH"{SMALL}'
    for flags, words in (
        ("--data_name bare --graph propagate", "--graph propagate needs the boxes"),
        ("--data_name f30k --feat_dim 8", "leave it out"),
        ("--data_name f30k --loss hal", "not bounded"),
        ("--data_name f30k --embed_size 40", "--embed_size 40: expected a multiple of num_block"),
    ):
        done = script("GSMN_LSEH", f"{small} {flags}", status=2, DATA_PATH=root)
        assert len(done.errors.splitlines()) == 1
        assert words in done.errors


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("executed"),))


def test_a_size_file_cannot_run_code(script, root: Path) -> None:
    entries = np.array([{"image_w": Evil(), "image_h": 1}] * 24, dtype=object)
    with (root / "f30k_precomp" / "train_ims_size.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": (24,)})
        pickle.dump(entries, file)
    train = f'python train.py --data_path "$DATA_PATH" --data_name f30k{SMALL}'
    done = script("GSMN_LSEH", train, status=2, DATA_PATH=root)
    assert "train_ims_size.npy: cannot be read (it asks for 'pathlib" in done.errors
    assert not (done.folder / "executed").exists()
