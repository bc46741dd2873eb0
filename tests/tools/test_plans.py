"""Plans: TOML files that become commands of the training and evaluation scripts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from vse.errors import InputError
from vse.tools.plans import Task, read_plan, tasks_of

PLAN = """
seeds = [0, 1, 2]
flags = "--embed_size 16"
[networks]
"VSE++" = "VSEpp_LSEH/train.py --word_dim 8"
VSRN = "VSRN_LSEH/train.py"
[objectives]
LMH = "--loss lmh"
"LSEH, mine" = "--loss lseh --max_violation"
[data]
f8k = "--data_path $F8K --data_name f8k"
"""


@pytest.fixture(autouse=True)
def f8k(monkeypatch) -> None:
    monkeypatch.setenv("F8K", "/data sets/f8k")


def tasks(tmp_path: Path, text: str) -> list[Task]:
    path = tmp_path / "plan.toml"
    path.write_text(text)
    return tasks_of(read_plan(path, "out"))


def test_a_grid_is_every_combination_once(tmp_path: Path) -> None:
    found = tasks(tmp_path, PLAN)
    assert len({task.folder for task in found}) == len(found) == 3 * 2 * 2
    assert {task.row for task in found} == {"VSE++, LMH", "VSE++, LSEH, mine", "VSRN, LMH", "VSRN, LSEH, mine"}
    assert [task.seeds for task in found[:4]] == [(0,)] * 4  # seed by seed


def test_a_run_is_a_plain_command_of_the_script(tmp_path: Path) -> None:
    first = tasks(tmp_path, PLAN)[0]
    assert first.train == (
        str(ROOT / "VSEpp_LSEH" / "train.py"),
        *("--word_dim", "8", "--embed_size", "16", "--data_path", "/data sets/f8k", "--data_name", "f8k"),
        *("--loss", "lmh", "--seed", "0", "--logger_name", "out/f8k__vse++__lmh__seed_0", "--resume", "auto"),
    )
    assert first.evaluate == (
        str(ROOT / "VSEpp_LSEH" / "evaluation.py"),
        *("--model_path", "out/f8k__vse++__lmh__seed_0/model_best.pth.tar"),
        *("--json", "out/f8k__vse++__lmh__seed_0/test.json"),
    )


def test_rows_of_a_single_network_bear_the_objectives_name(tmp_path: Path) -> None:
    found = tasks(tmp_path, PLAN.replace('VSRN = "VSRN_LSEH/train.py"\n', ""))
    assert {task.row for task in found} == {"LMH", "LSEH, mine"}


def test_options_are_an_axis_of_their_own(tmp_path: Path) -> None:
    found = tasks(tmp_path, PLAN + '[options]\nsmall = ""\nlarge = "--embed_size 512"\n')
    assert len(found) == 24
    assert "VSRN, LMH, large" in {task.row for task in found}
    large = next(task for task in found if task.row.endswith("large"))
    assert large.train.index("512") > large.train.index("16")  # the later flag wins


def test_warm_starts_are_trained_once_for_all_objectives(tmp_path: Path) -> None:
    found = tasks(tmp_path, 'warm_start = "--loss sum_hinge"\ntrain = "--num_epochs 12"\n' + PLAN)
    warm = [task for task in found if not task.row]
    assert len(warm) == 3 * 2
    assert "--num_epochs" not in warm[0].train
    for task in found:
        if task.row:
            (need,) = task.needs
            (start,) = [other for other in warm if other.name == need]
            assert start.seeds == () or start.seeds == task.seeds
            model = task.train[task.train.index("--init_model") + 1]
            assert model == str(start.folder / "model_best.pth.tar")
            assert f"seed_{task.seeds[0]}" in model


def test_seeds_are_evaluated_together_as_an_ensemble(tmp_path: Path) -> None:
    found = tasks(tmp_path, "ensembles = [[0, 2]]\n" + PLAN)
    together = [task for task in found if not task.train]
    assert len(together) == 4
    first = together[0]
    assert first.row == "VSE++, LMH, mean of seeds 0 and 2"
    assert first.evaluate[-2:] == ("--ensemble", "out/f8k__vse++__lmh__seed_2/model_best.pth.tar")
    assert first.result == Path("out/f8k__vse++__lmh__seed_0_2/test.json")
    assert len(first.needs) == 2


def test_the_scripts_of_iaprtc12_are_found(tmp_path: Path) -> None:
    text = PLAN.replace("VSRN_LSEH/train.py", "VSRN_LSEH/IAPRTC12/trainIAPRTC12.py")
    (last, *_) = reversed(tasks(tmp_path, text))
    assert last.evaluate[0].endswith("VSRN_LSEH/IAPRTC12/evaluationIAPRTC12.py")


def test_evaluating_every_epoch_needs_their_number(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs --num_epochs N"):
        tasks(tmp_path, "test_every_epoch = true\n" + PLAN)
    with pytest.raises(InputError, match="needs --num_epochs N"):
        tasks(tmp_path, 'test_every_epoch = true\ntrain = "--num_epochs \u00b2"\n' + PLAN)
    with pytest.raises(InputError, match="--num_epochs 2000000000; expected at most 10000"):
        tasks(tmp_path, 'test_every_epoch = true\ntrain = "--num_epochs 2000000000"\n' + PLAN)
    found = tasks(tmp_path, 'test_every_epoch = true\ntrain = "--num-epochs 7"\n' + PLAN)
    assert {task.epochs for task in found} == {7}
    found = tasks(tmp_path, 'test_every_epoch = true\ntrain = "--num_epochs 3 --num_epochs=7"\n' + PLAN)
    assert {task.epochs for task in found} == {7}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("seeds = [0, 1, 2]", "seeds = [0, 0]"), "expected different whole numbers"),
        (("seeds = [0, 1, 2]", 'seeds = "0"'), "seeds = '0'; expected a list"),
        (("seeds = [0, 1, 2]", ""), "no seeds"),
        (("seeds = [0, 1, 2]", "seeds = [0, 1, 2]\nseed = 3"), "seed is no entry of a plan; did you mean seeds"),
        (("seeds = [0, 1, 2]", "seeds = [0, 1, 2"), "expected a TOML file"),
        (("seeds = [0, 1, 2]", "seeds = [0, 1, 2]\nensembles = [[0, 5]]"), "expected two or more of the seeds"),
        (("seeds = [0, 1, 2]", 'seeds = [0, 1, 2]\nmetric = "bleu"'), "metric bleu"),
        (
            ("seeds = [0, 1, 2]", 'seeds = [0]\ncolumns = ["rsum", "r1", "antihub"]'),
            "antihub among columns .* mean antihubs",
        ),
        (("seeds = [0, 1, 2]", 'seeds = [0]\ncolumns = ["r1", "r1"]'), "columns r1, r1; expected different metrics"),
        (("seeds = [0, 1, 2]", 'seeds = [0]\nfolder = ""'), "folder is empty; expected the name of a folder"),
        (("seeds = [0, 1, 2]", "seeds = [0]\ncolumns = [1]"), "1 among columns is no metric; did you mean r1"),
        (("seeds = [0, 1, 2]", 'seeds = [0]\nagainst = "L"'), "plan.toml: against L: several rows fit; .*: 1 VSE"),
        (("$F8K", "$F9K"), r"\$F9K is not set; put F9K="),
        (('VSRN = "VSRN_LSEH/train.py"', 'VSRN = "VSRM/train.py"'), "VSRM/train.py: no such script"),
        (('VSRN = "VSRN_LSEH/train.py"', 'VSRN = "VSRN_LSEH/model.py"'), "expected the training script"),
        (("seeds = [0, 1, 2]", "seeds = [true]"), "expected lists of whole numbers from 0"),
        (("seeds = [0, 1, 2]", "seeds = [2147483648]"), "expected lists of whole numbers from 0 to 2147483647"),
        (("seeds = [0, 1, 2]", "seeds = [0, 1, 2]\nensembles = [5]"), "expected lists of whole numbers from 0"),
        (('LMH = "--loss lmh"', """LMH = '--loss "lmh'"""), "No closing quotation"),
        (('LMH = "--loss lmh"', "LMH = 3"), "objectives.LMH = 3; expected flags as text"),
        (('LMH = "--loss lmh"', '"" = "--loss lmh"'), r"a name in \[objectives\] is empty"),
        (('VSRN = "VSRN_LSEH/train.py"', 'VSRN = " "'), "networks.VSRN is empty; expected a training script"),
        (('f8k = "--data_path $F8K --data_name f8k"', ""), r"\[data\] is empty; leave it out"),
        (("--embed_size 16", "--seed 3"), "--seed among the plan's flags"),
        (("--embed_size 16", "--model-name=x"), "--model-name=x among the plan's flags"),
        (("--embed_size 16", "--resume auto"), "--resume among the plan's flags"),
        (("seeds = [0, 1, 2]", 'seeds = [0]\nevaluate = "--json x"'), "--json among the plan's flags"),
        (
            ("seeds = [0, 1, 2]", 'seeds = [0]\nwarm_start = "--loss lmh"\ntrain = "--init_model x"'),
            "--init_model among the plan's flags",
        ),
        (('LMH = "--loss lmh"', 'LMH = "--loss lmh"\nlmh = "--loss hal"'), "share the folder"),
    ],
)
def test_a_wrong_plan_is_refused_in_one_sentence(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    assert change[0] in PLAN
    with pytest.raises(InputError, match=words) as refused:
        tasks(tmp_path, PLAN.replace(*change))
    assert "\n" not in str(refused.value)


def test_rows_of_one_name_are_refused(tmp_path: Path) -> None:
    text = PLAN.replace('VSRN = "', '"VSE++, LSEH" = "').replace("[objectives]", '[objectives]\nmine = ""')
    with pytest.raises(InputError, match=r"several rows are called VSE\+\+, LSEH, mine"):
        tasks(tmp_path, text)


def test_a_plan_of_no_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text('folder = "a\\u0000"\n' + PLAN)
    with pytest.raises(InputError, match="expected the name of a folder"):
        read_plan(path)


def test_a_plan_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert tasks(tmp_path, f"\ufeff{PLAN}") == tasks(tmp_path, PLAN)


def test_a_plan_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.toml: cannot be read"):
        read_plan(tmp_path / "none.toml")


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks" / "plans").glob("*.toml")), ids=lambda path: path.stem)
def test_the_plans_of_this_repository_are_sound(path: Path, monkeypatch) -> None:
    for name in re.findall(r"\$(\w+)", path.read_text()):
        monkeypatch.setenv(name, "/data sets/some")
    found = tasks_of(read_plan(path))
    assert all(Path(task.evaluate[0]).is_file() for task in found if task.evaluate)
    assert len(found) > 1


def test_a_grid_without_end_is_refused(tmp_path: Path) -> None:
    seeds = ", ".join(map(str, range(10_001)))
    with pytest.raises(InputError, match=r"plan\.toml: a grid of 40004 runs; expected at most 10000"):
        tasks(tmp_path, PLAN.replace("0, 1, 2", seeds))
