"""A user's mistake ends with exit status 2 and one sentence: the file, what was expected, the remedy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

COMMAND = (
    "python train.py --data_path $DATA_PATH --data_name small --logger_name $RUN --embed_size 16 --word_dim 8 "
    "--batch_size 8 --num_epochs 1"
)


def edit(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    np.save(path, change(np.load(path)), allow_pickle=True)


def with_nan(features: np.ndarray) -> np.ndarray:
    features[17, 1, 2] = np.nan
    return features


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def write_vectors(folder: Path, rows: int = 120, columns: int = 4, spoil: str = "") -> None:
    lines = [",".join(["0.5"] * columns) for _ in range(rows)]
    if spoil:
        lines[40] = spoil
    (folder / "train_svd.txt").write_text("\n".join(lines) + "\n")


def other_tokeniser(folder: Path) -> None:
    words = {word: index for index, word in enumerate(["<pad>", "<start>", "<end>", "<unk>", "dog"])}
    names = {str(index): word for word, index in words.items()}
    content = {"word2idx": words, "idx2word": names, "idx": 5, "tokeniser": "bytes-repr"}
    (folder / "vocab.json").write_text(json.dumps(content))
    (folder / "small_vocab.json").write_text(json.dumps(content))


CASES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "missing split": (lambda f: (f / "dev_caps.txt").unlink(), "", "dev_caps.txt: no such file"),
    "missing features": (lambda f: (f / "train_ims.npy").unlink(), "", "train_ims.npy: no such feature file"),
    "captions not a multiple of images": (
        lambda f: (f / "train_caps.txt").write_text("a dog\n" * 121),
        "",
        "24 rows do not divide the 121 captions",
    ),
    "empty caption file": (
        lambda f: (f / "train_caps.txt").write_bytes(b""),
        "",
        "train_caps.txt: the caption file is empty",
    ),
    "invalid UTF-8": (
        lambda f: (f / "train_caps.txt").write_bytes(b"a dog\n" * 2 + b"caf\xe9\n" + b"a dog\n" * 117),
        "",
        "train_caps.txt, line 3",
    ),
    "NUL byte": (
        lambda f: (f / "dev_caps.txt").write_bytes(b"a dog\n" * 39 + b"a \0 dog\n"),
        "",
        "dev_caps.txt, line 40",
    ),
    "features of wrong rank": (lambda f: edit(f / "train_ims.npy", lambda a: a[:, None]), "", "shape (24, 1, 4, 6)"),
    "integer features": (lambda f: edit(f / "train_ims.npy", lambda a: a.astype(int)), "", "dtype int64"),
    "object features": (lambda f: edit(f / "train_ims.npy", lambda a: a.astype(object)), "", "Python objects"),
    "truncated features": (lambda f: cut_off(f / "train_ims.npy"), "", "truncated"),
    "Fortran order": (lambda f: edit(f / "train_ims.npy", np.asfortranarray), "", "Fortran order"),
    "NaN row": (lambda f: edit(f / "train_ims.npy", with_nan), "", "row 17 holds NaN"),
    "contradicting img_dim": (lambda f: None, "--img_dim 2048", "contradict --img_dim 2048"),
    "vectors lack a row": (lambda f: write_vectors(f, rows=119), "", "train_svd.txt"),
    "vectors lack a column": (lambda f: write_vectors(f, spoil="0.5,0.5,0.5"), "", "line 41"),
    "NaN in vectors": (lambda f: write_vectors(f, spoil="0.5,nan,0.5,0.5"), "", "line 41"),
    "vocabulary of another tokeniser": (other_tokeniser, "", "bytes-repr"),
    "batch larger than the data": (lambda f: None, "--batch_size 121", "more than the 120 training captions"),
    "unknown device": (lambda f: None, "--device tpu", "--device tpu"),
    "missing checkpoint": (lambda f: None, "--resume nothing.pth.tar", "nothing.pth.tar: no such checkpoint"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_ends_with_one_sentence(script, data_root: Path, tmp_path: Path, case: str) -> None:
    spoil, flags, words = CASES[case]
    spoil(data_root / "small_precomp")
    done = script("VSEpp_LSEH", f"{COMMAND} {flags}", status=2, DATA_PATH=data_root, RUN=tmp_path / "run")
    error = done.errors.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert words in error
    assert len([line for line in done.errors.splitlines() if line.startswith("error")]) == 1
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()], "nothing half-written may stay"
    assert not (tmp_path / "run" / "checkpoint.pth.tar").exists()


def test_missing_folder_lists_what_was_looked_for(script, tmp_path: Path) -> None:
    done = script("VSEpp_LSEH", COMMAND, status=2, DATA_PATH=tmp_path, RUN=tmp_path / "run")
    assert "looked for small, small_precomp, small/precomp, precomp" in done.errors


def test_a_run_folder_that_cannot_be_written_is_refused(script, data_root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = script("VSEpp_LSEH", COMMAND, status=2, DATA_PATH=data_root, RUN=tmp_path / "file" / "run")
    assert "--logger_name" in done.errors
    assert "cannot be written" in done.errors


def test_a_nan_row_is_refused_from_a_loader_process_too(script, data_root: Path, tmp_path: Path) -> None:
    edit(data_root / "small_precomp" / "train_ims.npy", with_nan)
    done = script("VSEpp_LSEH", f"{COMMAND} --workers 1", status=2, DATA_PATH=data_root, RUN=tmp_path / "run")
    assert len(done.errors.strip().splitlines()) == 1
    assert "row 17 holds NaN" in done.errors


def test_evaluation_refuses_damaged_and_foreign_checkpoints(script, data_root: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    script("VSEpp_LSEH", COMMAND, DATA_PATH=data_root, RUN=run)
    whole = (run / "model_best.pth.tar").read_bytes()
    broken = tmp_path / "broken.pth.tar"
    weights = torch.load(run / "model_best.pth.tar", weights_only=True)["model"]["image_encoder.fc.weight"]
    place = whole.find(weights.numpy().tobytes()[:32]) + 5
    flipped = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
    for content, words in ((whole[:-1000], "damaged"), (flipped, "do not match their checksum")):
        broken.write_bytes(content)
        done = script("VSEpp_LSEH", f"python evaluation.py --model_path {broken}", status=2)
        assert words in done.errors
        assert str(broken) in done.errors


def test_empty_captions_and_unknown_words_are_legal(script, data_root: Path, tmp_path: Path) -> None:
    captions = data_root / "small_precomp" / "train_caps.txt"
    lines = captions.read_text().splitlines()
    lines[3], lines[7] = "", "zyzzyva qoph"
    captions.write_text("\n".join(lines) + "\n")
    assert "best dev score" in script("VSEpp_LSEH", COMMAND, DATA_PATH=data_root, RUN=tmp_path / "run").output


def test_check_names_every_problem_of_a_data_set(data_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from vse.tools import check
    from vse.tools.options import CheckOptions

    folder = data_root / "small_precomp"
    check.main(CheckOptions(str(data_root), "small"))
    assert "no problems found" in capsys.readouterr().out
    edit(folder / "train_ims.npy", with_nan)
    edit(folder / "dev_ims.npy", lambda a: np.where(np.arange(8)[:, None, None] == 3, 0, a).astype(a.dtype))
    write_vectors(folder, rows=119)
    np.save(folder / "test_ims_bbx.npy", np.zeros((7, 4, 4), np.float32))
    np.save(folder / "test_ims_size.npy", np.zeros((8, 2), np.float32))
    published = np.array([{"image_w": 300.0, "image_h": 200.0}] * 8, dtype=object)
    np.save(folder / "dev_ims_size.npy", published, allow_pickle=True)
    with pytest.raises(SystemExit, match="2"):
        check.main(CheckOptions(str(folder)))
    problems = [line for line in capsys.readouterr().out.splitlines() if line.startswith("problem: ")]
    for words in (
        "1 rows with NaN or infinity, first 17",
        "1 all-zero rows, first 3",
        "train_svd.txt",
        "7 rows",
        "not all positive",
    ):
        assert sum(words in problem for problem in problems) == 1, words
    assert not any("dev_ims_size" in problem for problem in problems)


def test_sgraf_refuses_images_of_different_numbers_of_regions(script, data_root: Path, tmp_path: Path) -> None:
    np.save(data_root / "small_precomp/train_ims_len.npy", np.arange(24) % 3 + 2)
    done = script("SGRAF_LSEH", COMMAND, status=2, DATA_PATH=data_root, RUN=tmp_path / "run")
    assert "images have 2 to 4 regions; SGRAF needs the same number in every image: cut them with" in done.errors
    assert not (tmp_path / "run").exists()


def test_losses_that_stay_non_finite_stop_the_run(script, data_root: Path, tmp_path: Path) -> None:
    command = f"{COMMAND} --loss sum_hinge --margin 3e38"
    done = script("VSEpp_LSEH", command, status=2, DATA_PATH=data_root, RUN=tmp_path / "run")
    assert "three times in a row, last for the batch at position 2 of epoch 0" in done.errors


def test_nan_rows_are_found_on_their_way_to_the_device(script, data_root: Path, tmp_path: Path) -> None:
    features = np.load(data_root / "small_precomp/train_ims.npy")
    features[5, 1, 2] = np.nan
    np.save(data_root / "small_precomp/train_ims.npy", features)
    command = f"{COMMAND} --features_on_device"
    done = script("VSEpp_LSEH", command, status=2, DATA_PATH=data_root, RUN=tmp_path / "run")
    assert "row 5 holds NaN or infinity" in done.errors
    assert not (tmp_path / "run").exists()


OWN_LOSS = """
import torch
from vse.losses.sum_hinge import SumHinge

class SometimesNaN(SumHinge):
    steps = 0

    def directions(self, scores, pairs):
        self.steps += 1
        return super().directions(scores * (float("nan") if self.steps % {every} == 0 else 1.0), pairs)
"""


@pytest.mark.parametrize(("every", "status"), [(20, 0), (2, 2)])
def test_steps_that_are_dropped_are_counted(script, data_root: Path, tmp_path: Path, every: int, status: int) -> None:
    (tmp_path / "own.py").write_text(OWN_LOSS.format(every=every))
    command = f"{COMMAND} --loss {tmp_path / 'own.py'}:SometimesNaN --num_epochs 6 --log_step 5"
    done = script("VSEpp_LSEH", command, status=status, DATA_PATH=data_root, RUN=tmp_path / "run")
    assert "1 of 5 steps were dropped" in done.errors or "2 of 5 steps were dropped" in done.errors
    assert ("11 of 22 steps were dropped because" in done.errors) == (status == 2)
    assert '"dropped_steps":' in (tmp_path / "run/metrics.jsonl").read_text()
