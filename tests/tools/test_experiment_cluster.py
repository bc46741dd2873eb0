"""Runs of an experiment as jobs of a cluster's queue."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools.experiments import table
from vse.errors import InputError
from vse.tools.experiment import main
from vse.tools.options import ExperimentOptions


def test_runs_are_submitted_as_jobs(plan: Path, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    plan.write_text(plan.read_text().replace("seeds = [0, 1]", "seeds = [0]") + "[cluster]\ntimeout_min = 5\n")
    main(ExperimentOptions(str(plan), out="out", cluster="local", jobs=2))
    assert [float(row["rsum"]) for row in table(tmp_path / "out")] == [75.0, 105.0]
    assert list((tmp_path / "out" / "cluster").iterdir())


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ('slurm_partitionn = "gpu"', r"\[cluster\] does not fit it \(Unknown argument 'partitionn'"),
        ('timeout_min = "five"', r"\[cluster\] does not fit it \(Parameter \"timeout_min\" expected type"),
    ],
)
def test_wrong_parameters_of_a_cluster_are_one_sentence(plan: Path, parameters: str, words: str) -> None:
    pytest.importorskip("submitit")
    plan.write_text(f"{plan.read_text()}[cluster]\n{parameters}\n")
    with pytest.raises(InputError, match=words) as refused:
        main(ExperimentOptions(str(plan), out="out", cluster="local"))
    assert "\n" not in str(refused.value)


def test_slurm_where_there_is_none_is_one_sentence(plan: Path, monkeypatch) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="--cluster slurm: cannot submit jobs from here"):
        main(ExperimentOptions(str(plan), out="out", cluster="slurm"))
