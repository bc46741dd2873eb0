"""What a run tells: metrics.jsonl, TensorBoard, the terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vse.training import logs
from vse.training.logs import RunLog, keep_until

TAGS = {"loss": "Le", "rsum": "Sum of Recall"}
NUMBERS = {"lr": 0.0002, "pairs_per_second": 812.3, "data_share": 0.02, "batch_time": 0.1, "data_time": 0.01}
RECALLS = {"r1": 18.6, "r5": 42.5, "r10": 56.3, "r1i": 15.0, "r5i": 38.7, "r10i": 51.8}
METRICS = {**RECALLS, "medr": 8.0, "meanr": 31.2, "medri": 9.0, "meanri": 44.4, "rsum": 222.9, "images": 1000}


def open_log(folder: Path, **more: Any) -> RunLog:
    values = {"step": 0, "steps_per_epoch": 4, "num_epochs": 3, "pairs_per_step": 16, "window": 4, **more}
    return RunLog(folder, **values)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def scalars(folder: Path) -> dict[str, list[float]]:
    events = EventAccumulator(str(folder)).Reload()
    return {tag: [event.value for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def log_epoch(log: RunLog, last_pairs: int = 3, mean: bool = False) -> None:
    """Four steps of loss 0.5 a pair, the last one small."""
    for pairs in (16, 16, 16, last_pairs):
        log.add({"loss": torch.tensor(0.5 if mean else 0.5 * pairs)}, pairs, averaged=mean)
    log.training(4, NUMBERS, TAGS)
    log.close()


def test_a_loss_is_logged_per_pair_and_as_the_published_sum(tmp_path: Path) -> None:
    log_epoch(open_log(tmp_path))
    assert rows_of(tmp_path)[0]["loss"] == pytest.approx(0.5)
    assert scalars(tmp_path)["train/loss"] == pytest.approx([0.5])
    assert scalars(tmp_path)["published/Le"] == pytest.approx([8.0])


def test_a_mean_objective_is_published_as_a_mean(tmp_path: Path) -> None:
    log_epoch(open_log(tmp_path), mean=True)
    assert rows_of(tmp_path)[0]["loss"] == pytest.approx(0.5)
    assert scalars(tmp_path)["published/Le"] == pytest.approx([0.5])


def test_a_small_last_batch_makes_no_spike(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for pairs, loss in ((16, 1.0), (16, 1.0), (16, 1.0), (1, 50.0)):
        log.add({"loss": torch.tensor(loss)}, pairs, averaged=True)
    log.training(4, NUMBERS, TAGS)
    assert rows_of(tmp_path)[0]["loss"] == pytest.approx((3 * 16 + 50) / 49)


def test_losses_are_means_over_the_last_log_step_steps(tmp_path: Path) -> None:
    log = open_log(tmp_path, window=2)
    for step in range(1, 5):
        log.add({"loss": torch.tensor(16.0 * step)}, 16)
        log.training(step, NUMBERS, TAGS)
    assert [row["loss"] for row in rows_of(tmp_path)] == pytest.approx([1.0, 1.5, 2.5, 3.5])


def test_rows_load_as_two_clean_tables(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for step in range(1, 9):
        log.add({"loss": torch.tensor(8.0)}, 16)
        log.training(step, NUMBERS, TAGS)
        if step in (4, 6, 8):
            log.validation(step, METRICS, TAGS, best=step == 4)
    log.close()
    table = pd.read_json(tmp_path / "metrics.jsonl", lines=True)
    train, dev = (table[table.kind == kind].dropna(axis=1, how="all") for kind in ("train", "dev"))
    assert list(train.epoch) == [1, 1, 1, 1, 2, 2, 2, 2]
    assert list(train.columns) == ["kind", "step", "epoch", "loss", "lr", "pairs_per_second", "data_share"]
    assert list(dev.epoch) == [1, 2, 2]
    assert [bool(ends) for ends in dev.ends_epoch] == [True, False, True]
    assert list(dev.rsum) == [222.9] * 3
    assert not dev.isna().any(axis=None)


def test_a_loss_that_is_not_finite_is_still_json(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.add({"loss": torch.tensor(float("nan"))}, 16)
    log.training(1, NUMBERS, TAGS)
    assert rows_of(tmp_path)[0]["loss"] is None


def test_tensorboard_has_groups_and_published_tags(tmp_path: Path) -> None:
    log = open_log(tmp_path, options={"data": {"batch_size": 16}, "loss": "lseh"})
    log.add({"loss": torch.tensor(8.0), "captioning": torch.tensor(1.6)}, 16)
    log.training(1, NUMBERS, {**TAGS, "captioning": "Le_caption"})
    log.validation(4, METRICS, TAGS, best=True)
    log.close()
    found = scalars(tmp_path)
    assert {"train/loss", "train/captioning", "train/lr", "dev/r1", "dev/rsum"} <= found.keys()
    assert {"published/Le", "published/Le_caption", "published/Eit", "published/r5i"} <= found.keys()
    assert found["published/Sum of Recall"] == pytest.approx([222.9])
    assert {tag.split("/")[0] for tag in found} == {"train", "dev", "published"}
    tensors = EventAccumulator(str(tmp_path)).Reload().Tags()["tensors"]
    assert "options/text_summary" in tensors


@pytest.mark.parametrize("step", [4, 6])
def test_a_validation_line_fits_eighty_columns(tmp_path: Path, capsys, step: int) -> None:
    perfect = dict.fromkeys(RECALLS, 100.0) | {"rsum": 600.0}
    log = open_log(tmp_path, selected_by="R@1+R@5", steps_per_epoch=4, num_epochs=999)
    log.validation(4 * 998 + step, METRICS | perfect, TAGS, best=True)
    line = capsys.readouterr().out.rstrip("\n")
    assert len(line) <= 80
    assert line.endswith("rsum 600.0 (best R@1+R@5)")
    assert line.startswith("epoch 999  i2t" if step == 4 else "epoch 999.50  i2t")


def test_a_validation_that_is_not_the_best_says_nothing_of_it(tmp_path: Path, capsys) -> None:
    open_log(tmp_path).validation(4, METRICS, TAGS, best=False)
    assert capsys.readouterr().out == "epoch 1  i2t 18.6 42.5 56.3  t2i 15.0 38.7 51.8  rsum 222.9\n"


def test_a_training_line_names_epoch_step_and_loss(tmp_path: Path, capsys) -> None:
    log = open_log(tmp_path, steps_per_epoch=1340, num_epochs=30, step=1349, pairs_per_step=128)
    log.add({"loss": torch.tensor(12.8)}, 128)
    log.training(1350, NUMBERS, TAGS)
    line = capsys.readouterr().out.rstrip("\n")
    assert line.startswith("epoch 2/30  step 1350/40200  loss 0.1  lr 0.0002  812 pairs/s  left ")
    assert len(line) <= 80


class Terminal:
    """A stand-in for stderr on a terminal that keeps what is drawn."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.drawn: list[str] = []

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> None:
        self.drawn.append(text)

    def flush(self) -> None:
        pass


def test_the_bar_fits_eighty_columns_and_moves_in_validation(tmp_path: Path, monkeypatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "200")
    log = open_log(tmp_path, steps_per_epoch=10_000, num_epochs=100)
    log.add({"loss": torch.tensor(1.23456e7)}, 16)
    log.training(1, NUMBERS, TAGS)
    assert list(log.validating(range(50))) == list(range(50))
    log.close()
    drawn = [line.strip("\n") for text in terminal.drawn for line in text.split("\r")]
    assert max(map(len, drawn)) <= 80
    assert any("epoch 1/100 loss" in line for line in drawn)
    assert any("validating" in line for line in drawn)


def test_resuming_drops_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    rows = [{"kind": "train", "step": step, "epoch": 1, "loss": 1.0} for step in (1, 2, 3)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    open_log(tmp_path, step=2)
    assert [row["step"] for row in rows_of(tmp_path)] == [1, 2]
    assert not list(tmp_path.glob("*.damaged"))


def test_damaged_lines_are_set_aside_with_a_warning(tmp_path: Path, capsys) -> None:
    good = '{"kind":"train","step":1,"epoch":1,"loss":1.0}\n'
    (tmp_path / "metrics.jsonl").write_text(f'{good}[1, 2]\n{{"loss": 3}}\n{{"kind":"dev","st')
    keep_until(tmp_path / "metrics.jsonl", 5)
    assert (tmp_path / "metrics.jsonl").read_text() == good
    assert (tmp_path / "metrics.jsonl.damaged").read_text() == '[1, 2]\n{"loss": 3}\n{"kind":"dev","st\n'
    assert "3 damaged lines moved to metrics.jsonl.damaged" in capsys.readouterr().err


def test_validations_that_a_resumed_run_makes_again_are_dropped(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for step in (2, 4):
        log.add({"loss": torch.tensor(1.0)}, 16)
        log.training(step, NUMBERS, TAGS)
        log.validation(step, METRICS, TAGS, best=True)
    log.close()
    open_log(tmp_path, step=4, validated=2).close()
    assert [(row["kind"], row["step"]) for row in rows_of(tmp_path)] == [("train", 2), ("dev", 2), ("train", 4)]


def test_a_log_that_cannot_be_written_costs_one_warning(tmp_path: Path, capsys) -> None:
    (tmp_path / "metrics.jsonl").mkdir()
    log = open_log(tmp_path)
    for step in range(1, 4):
        log.add({"loss": torch.tensor(1.0)}, 16)
        log.training(step, NUMBERS, TAGS)
    log.close()
    warnings = [line for line in capsys.readouterr().err.splitlines() if "metrics.jsonl" in line]
    assert len(warnings) == 1
    assert "the run goes on without it" in warnings[0]
    assert len(scalars(tmp_path)["train/loss"]) == 3


def test_a_broken_tensorboard_does_not_stop_the_rest(tmp_path: Path, monkeypatch, capsys) -> None:
    log = open_log(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log._events, "add_scalar", full)
    for step in (1, 2):
        log.add({"loss": torch.tensor(1.0)}, 16)
        log.training(step, NUMBERS, TAGS)
    assert capsys.readouterr().err.count("TensorBoard cannot be written") == 1
    assert len(rows_of(tmp_path)) == 2


def test_a_process_that_does_not_write_leaves_no_trace(tmp_path: Path, capsys) -> None:
    log = open_log(tmp_path, writes=False)
    log.add({"loss": torch.tensor(1.0)}, 16)
    log.training(1, NUMBERS, TAGS)
    log.validation(4, METRICS, TAGS, best=True)
    log.line("hello")
    log.close()
    assert not list(tmp_path.iterdir())
    assert capsys.readouterr().out == ""


def test_tensorboard_is_imported_when_it_writes() -> None:
    program = f"import sys; import {logs.__name__}; sys.exit('torch.utils.tensorboard' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_a_term_that_begins_later_starts_a_new_mean(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.add({"loss": torch.tensor(160.0)}, 16)
    log.add({"loss": torch.tensor(16.0), "captioning": torch.tensor(8.0)}, 16)
    log.training(2, NUMBERS, TAGS)
    assert (rows_of(tmp_path)[0]["loss"], rows_of(tmp_path)[0]["captioning"]) == pytest.approx((1.0, 0.5))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_log_that_is_a_device_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    keep_until(tmp_path / "metrics.jsonl", 5)
    assert (tmp_path / "metrics.jsonl").is_symlink()


def test_how_well_losses_tell_noise_is_logged_everywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = open_log(tmp_path)
    log.noise(8, 0.8766, 120)
    log.close()
    assert rows_of(tmp_path) == [{"kind": "noise", "step": 8, "epoch": 2, "auc": 0.8766, "pairs": 120}]
    assert scalars(tmp_path)["train/noise_auc"] == pytest.approx([0.8766])
    assert "epoch 2  AUC of the losses of 120 pairs for mismatched ones: 0.877" in capsys.readouterr().out
    keep_until(tmp_path / "metrics.jsonl", 8)
    assert len(rows_of(tmp_path)) == 1
