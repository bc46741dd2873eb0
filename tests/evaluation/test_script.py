"""What an evaluation script opens: the data that its options mean, and one split for all checkpoints."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.trained import write_checkpoint
from vse import REPOSITORY
from vse.errors import InputError
from vse.evaluation.reports import load_evaluation
from vse.evaluation.script import evaluation_folder, open_models, run_evaluation, split_name, title
from vse.networks import folder as folder_of
from vse.options import DataOptions, EvaluationOptions


@pytest.fixture
def root(tmp_path: Path, make_data_set: Callable[..., Path]) -> Path:
    """Two data sets, `first` and `second`."""
    for name in ("first_precomp", "second_precomp"):
        make_data_set(tmp_path / "data" / name)
    return tmp_path / "data"


def test_a_folder_of_a_data_set_needs_no_name(root: Path) -> None:
    trained_on = DataOptions(data_path="elsewhere", data_name="first")
    named = EvaluationOptions(data_path=str(root / "second_precomp"))
    assert evaluation_folder(named, trained_on) == root / "second_precomp"


def test_the_data_set_of_the_training_is_the_default(root: Path) -> None:
    trained_on = DataOptions(data_path=str(root), data_name="second")
    assert evaluation_folder(EvaluationOptions(), trained_on) == root / "second_precomp"
    moved = EvaluationOptions(data_path=str(root))
    assert evaluation_folder(moved, DataOptions(data_path="before", data_name="first")) == root / "first_precomp"


def test_five_folds_are_of_the_whole_test_split(tmp_path: Path) -> None:
    folds = EvaluationOptions(fold5=True)
    assert split_name(folds, tmp_path) == "test"
    (tmp_path / "testall_caps.txt").touch()
    assert split_name(folds, tmp_path) == "testall"
    assert split_name(EvaluationOptions(), tmp_path) == "test"
    assert split_name(EvaluationOptions(fold5=True, split="dev"), tmp_path) == "dev"


def test_an_ensemble_is_evaluated_on_the_first_ones_split(tmp_path: Path, root: Path) -> None:
    paths = [str(write_checkpoint(tmp_path / f"{name}.pth.tar", name)) for name in ("VSEpp", "VSRN")]
    options = EvaluationOptions(paths[0], (paths[1],), data_path=str(root), data_name="second", split="dev")
    models = open_models(None, options)
    assert {model.data.split.captions_file for model in models} == {root / "second_precomp" / "dev_caps.txt"}
    assert title(models) == f"mean of {paths[0]} and {paths[1]} on second_precomp dev"


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "model.pth.tar", "VSEpp")
    with pytest.raises(InputError, match="VSEpp"):
        open_models(folder_of("HAL"), EvaluationOptions(str(path)))


def test_judgments_are_measured_in_every_evaluation(
    tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = root / "second_precomp"
    names = [f"{number}.jpg" for number in range(8)]
    (folder / "dev_names.txt").write_text("\n".join(names) + "\n")
    lines = [f"{names[0]}\t{name}#0\t1\t{1 + number % 4}\t2\n" for number, name in enumerate(names)]
    (tmp_path / "grades.txt").write_text("".join(lines))
    path, out = str(write_checkpoint(tmp_path / "a.pth.tar")), tmp_path / "out.json"
    options = EvaluationOptions(
        path,
        data_path=str(root),
        data_name="second",
        split="dev",
        annotations=str(tmp_path / "grades.txt"),
        json=str(out),
    )
    run_evaluation(folder_of("VSEpp"), options)
    assert -1 <= load_evaluation(out).metrics["graded_spearman"] <= 1
    assert capsys.readouterr().out.endswith(f"metrics, ranks and record: {out}\n")


def test_an_evaluation_of_features_imports_no_picture_library(tmp_path: Path, root: Path) -> None:
    arguments = [str(write_checkpoint(tmp_path / "a.pth.tar")), "--data_path", str(root), "--data_name", "second"]
    program = (
        "import runpy, sys\n"
        "slow = {'torchvision', 'torch._dynamo', 'scipy.stats', 'scipy.ndimage', 'torch.utils.tensorboard'}\n"
        "sys.argv[1:] = ['--device', 'cpu', '--model_path', *sys.argv[1:]]\n"
        "sys.argv[0] = 'VSEpp_LSEH/evaluation.py'\n"
        "try:\n    runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "finally:\n    print(slow & set(sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "set()"


def test_a_result_that_cannot_be_written_is_refused_first(tmp_path: Path) -> None:
    for wanted in ({"json": str(tmp_path)}, {"save_similarities": str(tmp_path / "nowhere" / "scores.npy")}):
        with pytest.raises(InputError, match="cannot be written"):
            open_models(None, EvaluationOptions("nothing.pth.tar", **wanted))
