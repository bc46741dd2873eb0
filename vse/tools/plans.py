"""Plans of experiments: a TOML file -> the runs of a grid as commands of the training and evaluation scripts."""

from __future__ import annotations

import math
import os
import re
import shlex
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import product
from pathlib import Path
from string import Template
from typing import Any

import torch

from vse import REPOSITORY
from vse.errors import InputError
from vse.evaluation.ranking import evaluate
from vse.evaluation.row_names import pick
from vse.evaluation.significance import METRICS
from vse.files import read_text
from vse.ranges import LARGEST

COLUMNS = ("r1", "r5", "r10", "r1i", "r5i", "r10i", "rsum")
"""Metrics in the table of a plan that names none."""

OF_FLAGS = ("graded_spearman", "graded_ndcg", "graded_ndcgi", "bleu4_greedy", "bleu4_beam")
"""Metrics that a flag of the evaluation adds: --annotations, and of VSRN --captions."""


OF_TRAINING = ("seed", "logger_name", "model_name", "resume")
OF_EVALUATION = ("model_path", "json")
"""Flags that an experiment gives to every command, and a plan must not."""

PLACES = ("data_path", "vocab_path", "logger_name", "init_model", "model_path", "json", "ensemble")
"""Flags that say where files lie."""

MOST_RUNS = 10_000
"""Runs of a grid; a larger one is a slip."""


@dataclass(frozen=True)
class Plan:
    """Content of a plan file, which `docs/evaluation.md` describes."""

    title: str
    folder: Path
    seeds: tuple[int, ...]
    networks: Mapping[str, str]  # name in the table -> script and its flags
    objectives: Mapping[str, str]  # name in the table -> flags; so are the next two
    data: Mapping[str, str] = field(default_factory=lambda: {"demo": ""})
    options: Mapping[str, str] = field(default_factory=lambda: {"": ""})
    flags: str = ""  # of every training, warm starts included
    train: str = ""  # of every training but the warm starts
    warm_start: str = ""  # flags of a training that all others of the same seed begin with
    evaluate: str = ""  # flags of every evaluation
    test_every_epoch: bool = False
    ensembles: tuple[tuple[int, ...], ...] = ()  # seeds that are evaluated together as well, by the mean of scores
    columns: tuple[str, ...] = COLUMNS
    metric: str = "rsum"  # of differences and plots
    against: str = ""  # row that the others are compared with; default: the first
    cluster: Mapping[str, Any] = field(default_factory=dict)  # submitit's parameters


@dataclass(frozen=True)
class Task:
    """One folder of an experiment and the commands that fill it."""

    name: str
    folder: Path
    train: tuple[str, ...]  # script and flags; empty for an ensemble
    evaluate: tuple[str, ...]  # the same; empty for a warm start
    needs: tuple[str, ...] = ()  # names of tasks that must be done first
    row: str = ""  # name of its row in the table; empty for a warm start
    data: str = ""
    seeds: tuple[int, ...] = ()
    epochs: int = 0  # evaluate after each of these epochs as well; 0: only after the last

    @property
    def result(self) -> Path:
        """The file of its evaluation."""
        return self.folder / "test.json"


def read_plan(path: str | Path, folder: str | None = None) -> Plan:
    """Read a plan file.

    Args:
        folder: where the runs go instead of where the plan says.

    Raises:
        InputError: no such file, not TOML, an unknown or missing entry, or a wrong type.
    """
    path = Path(path)
    try:
        content = tomllib.loads(read_text(path, "utf-8-sig"))
    except OSError as problem:
        raise InputError(f"{path}: cannot be read ({problem.strerror}); expected a plan, a TOML file") from None
    except (ValueError, RecursionError) as problem:  # not TOML, or numbers and tables that no plan has
        raise InputError(f"{path}: {problem}; expected a TOML file") from None
    _check_types(path, content)
    if content.get("folder") == "":
        raise InputError(f"{path}: folder is empty; expected the name of a folder")
    content["folder"] = Path(folder or content.get("folder", f"runs/{path.stem}"))
    content.setdefault("title", path.stem)
    for name in ("seeds", "columns"):
        if name in content:
            content[name] = tuple(content[name])
    content["ensembles"] = tuple(tuple(seeds) for seeds in content.get("ensembles", ()))
    plan = Plan(**content)
    _check(path, plan)
    rows = row_names(plan)
    if twice := [name for name, times in Counter(rows).items() if times > 1]:
        raise InputError(f"{path}: several rows are called {twice[0]}, by networks, options and objectives; rename one")
    if "\0" in str(plan.folder):
        raise InputError(f"{path}: folder = {str(plan.folder)!r}; expected the name of a folder")
    return replace(plan, against=rows[pick(rows, plan.against, f"{path}: against")] if plan.against else rows[0])


def tasks_of(plan: Plan) -> list[Task]:
    """List the tasks of a plan in their order: seed by seed, so that an unfinished comparison is a fair one.

    `$NAME` among the flags stands for the environment variable of that name.

    Raises:
        InputError: a script is not there, a variable is not set, or two rows have one folder.
    """
    tasks: dict[Path, Task] = {}

    def add(task: Task) -> Task:
        if task.folder in tasks:
            raise InputError(f"{task.name} and {tasks[task.folder].name} share the folder {task.folder}; rename one")
        tasks[task.folder] = task
        return task

    rows: dict[tuple[str, str], list[Task]] = {}
    for seed, data, network, option in product(plan.seeds, plan.data, plan.networks, plan.options):
        script, *network_flags = _split(plan.networks[network])
        common = [*network_flags, *_split(plan.flags, plan.data[data], plan.options[option])]
        place = [data, network, option]
        warm = None
        if plan.warm_start:
            folder = _folder(plan.folder, [*place, "warm_start"], seed)
            command = _training(script, [*common, *_split(plan.warm_start)], seed, folder)
            warm = add(Task(f"warm start of {_title(place)}, seed {seed}", folder, command, ()))
        for objective in plan.objectives:
            row = _row(plan, network, option, objective)
            folder = _folder(plan.folder, [*place, objective], seed)
            flags = [*common, *_split(plan.train, plan.objectives[objective])]
            if warm is not None:
                _refuse(flags, ["init_model"])
                flags += ["--init_model", str(warm.folder / "model_best.pth.tar")]
            task = Task(
                name=f"{_title([data, row])}, seed {seed}",
                folder=folder,
                train=_training(script, flags, seed, folder),
                evaluate=_evaluation(script, plan.evaluate, folder / "model_best.pth.tar", folder / "test.json"),
                needs=() if warm is None else (warm.name,),
                row=row,
                data=data,
                seeds=(seed,),
                epochs=_num_epochs(flags) if plan.test_every_epoch else 0,
            )
            rows.setdefault((data, row), []).append(add(task))
    for (_data, row), members in rows.items():
        for seeds in plan.ensembles:
            add(_ensemble(row, [task for seed in seeds for task in members if task.seeds == (seed,)]))
    return list(tasks.values())


def _ensemble(row: str, members: Sequence[Task]) -> Task:
    seeds = tuple(seed for task in members for seed in task.seeds)
    folder = members[0].folder.with_name(f"{members[0].folder.name.rsplit('_', 1)[0]}_{'_'.join(map(str, seeds))}")
    others = [str(task.folder / "model_best.pth.tar") for task in members[1:]]
    command = list(members[0].evaluate)
    command[command.index("--json") + 1] = str(folder / "test.json")
    return Task(
        name=f"mean of {' and '.join(task.name for task in members)}",
        folder=folder,
        train=(),
        evaluate=(*command, "--ensemble", *others),
        needs=tuple(task.name for task in members),
        row=f"{row}, mean of seeds {' and '.join(map(str, seeds))}",
        data=members[0].data,
        seeds=seeds,
    )


def without_places(arguments: Sequence[str]) -> list[str]:
    """Leave out the flags that say where files lie: what is left is what a command does, on any machine."""
    left: list[str] = []
    skipping = False
    for word in arguments:
        if name := _flag(word):
            skipping = name in PLACES
        if not skipping:
            left.append(word)
    return left


def _training(script: str, flags: Sequence[str], seed: int, folder: Path) -> tuple[str, ...]:
    _refuse(flags, OF_TRAINING)
    # With --resume auto from the start, a run that was cut off is begun and continued by one command.
    return (str(_script(script)), *flags, "--seed", str(seed), "--logger_name", str(folder), "--resume", "auto")


def _evaluation(script: str, flags: str, model: Path, result: Path) -> tuple[str, ...]:
    words = _split(flags)
    _refuse(words, OF_EVALUATION)
    path = _script(script)
    other = path.with_name(path.name.replace("train", "evaluation", 1))
    if other == path or not other.exists():
        raise InputError(f"{path}: no {other.name} beside it; expected the training script of a network")
    return (str(other), "--model_path", str(model), "--json", str(result), *words)


def _flag(word: str) -> str:
    """Return the name of a flag, `num_epochs` for `--num-epochs=3`; of another word nothing."""
    return word[2:].partition("=")[0].replace("-", "_") if word.startswith("--") else ""


def _refuse(flags: Sequence[str], names: Sequence[str]) -> None:
    for flag in flags:
        if _flag(flag) in names:
            raise InputError(f"{flag} among the plan's flags: the experiment sets it for every run; take it out")


def _script(name: str) -> Path:
    for path in (REPOSITORY / name, Path(name)):
        if path.is_file():
            return path.resolve()
    raise InputError(f"{name}: no such script; expected a network's training script, such as VSEpp_LSEH/train.py")


def _num_epochs(flags: Sequence[str]) -> int:
    for word, following in reversed(list(zip(flags, [*flags[1:], ""], strict=True))):
        value = word.partition("=")[2] or following
        if _flag(word) == "num_epochs" and re.fullmatch(r"\d{1,18}", value):
            if int(value) > MOST_RUNS:
                raise InputError(f"test_every_epoch with --num_epochs {value}; expected at most {MOST_RUNS}")
            return int(value)
    raise InputError("test_every_epoch needs --num_epochs N among the flags of every run; add it to `train`")


def _row(plan: Plan, network: str, option: str, objective: str) -> str:
    """Name a row by those of network, objective and options that the plan has several of."""
    parts = [
        name
        for name, choices in ((network, plan.networks), (objective, plan.objectives), (option, plan.options))
        if len(choices) > 1 and name
    ]
    return ", ".join(parts) or objective


def _folder(root: Path, names: Sequence[str], seed: int) -> Path:
    return root / "__".join([short for name in names if (short := slug(name))] + [f"seed_{seed}"])


def slug(name: str) -> str:
    """Turn a name into a part of a folder's name."""
    return re.sub(r"[^a-z0-9.+]+", "_", name.lower()).strip("_")


def _title(names: Sequence[str]) -> str:
    return ", ".join(name for name in names if name)


def _split(*flags: str) -> list[str]:
    try:
        words = [word for text in flags for word in shlex.split(text)]
    except ValueError as problem:
        raise InputError(f"flags {' '.join(flags)}: {problem}; close the quotation") from None
    try:
        return [Template(word).substitute(os.environ) for word in words]
    except KeyError as missing:
        name = missing.args[0]
        raise InputError(f"the plan's ${name} is not set; put {name}=... before the command") from None
    except ValueError:
        raise InputError(f"flags {' '.join(words)}: a lone $; write $$ for it, or $NAME for a variable") from None


_TABLES = ("networks", "objectives", "data", "options")

_KINDS: dict[str, type] = {
    **dict.fromkeys(("title", "folder", "flags", "train", "warm_start", "evaluate", "metric", "against"), str),
    **dict.fromkeys((*_TABLES, "cluster"), dict),
    **dict.fromkeys(("seeds", "ensembles", "columns"), list),
    "test_every_epoch": bool,
}

_WORDS: dict[type, str] = {str: "text", dict: "a table", list: "a list", bool: "true or false"}


def _check_types(path: Path, content: Mapping[str, Any]) -> None:
    for name, value in content.items():
        if name not in _KINDS:
            raise InputError(f"{path}: {name} is no entry of a plan; {_meant(name, sorted(_KINDS))}")
        if not isinstance(value, _KINDS[name]):
            raise InputError(f"{path}: {name} = {value!r}; expected {_WORDS[_KINDS[name]]}")
    for name in ("seeds", "networks", "objectives"):
        if not content.get(name):
            raise InputError(f"{path}: no {name}; a plan needs seeds, networks and objectives")
    for seeds in (content["seeds"], *content.get("ensembles", [])):
        if not isinstance(seeds, list) or not all(type(seed) is int and 0 <= seed <= LARGEST for seed in seeds):
            raise InputError(
                f"{path}: {seeds} among seeds and ensembles; expected lists of whole numbers from 0 to {LARGEST}"
            )
    for table in _TABLES:
        if not content.get(table, True):
            raise InputError(f"{path}: [{table}] is empty; leave it out, or name what it is to vary")
        for name, flags in content.get(table, {}).items():
            if not isinstance(flags, str):
                raise InputError(f"{path}: {table}.{name} = {flags!r}; expected flags as text")
            if not name.strip() and table != "options":  # one of several options may be to leave all as it is
                raise InputError(f"{path}: a name in [{table}] is empty; the report calls its runs by it")
            if not flags.strip() and table == "networks":
                raise InputError(f"{path}: networks.{name} is empty; expected a training script and its flags")


def _check(path: Path, plan: Plan) -> None:
    runs = math.prod(map(len, (plan.seeds, plan.data, plan.networks, plan.options, plan.objectives)))
    if runs > MOST_RUNS:
        raise InputError(f"{path}: a grid of {runs} runs; expected at most {MOST_RUNS}, make several plans of it")
    if len(set(plan.seeds)) != len(plan.seeds) or not all(isinstance(seed, int) for seed in plan.seeds):
        raise InputError(f"{path}: seeds {list(plan.seeds)}; expected different whole numbers")
    for seeds in plan.ensembles:
        if len(set(seeds)) < 2 or not set(seeds) <= set(plan.seeds):
            raise InputError(f"{path}: ensembles {list(seeds)}; expected two or more of the seeds {list(plan.seeds)}")
    if plan.metric not in METRICS:
        raise InputError(f"{path}: metric {plan.metric}; {_meant(plan.metric, METRICS)}")
    toy = evaluate(torch.eye(2), torch.arange(2))
    if len(set(plan.columns)) != len(plan.columns):
        raise InputError(f"{path}: columns {', '.join(map(str, plan.columns))}; expected different metrics")
    for column in plan.columns:
        if column not in (known := [*toy, *OF_FLAGS]):
            raise InputError(f"{path}: {column} among columns is no metric; {_meant(column, known)}")


def _meant(name: object, known: Iterable[str]) -> str:
    near = get_close_matches(str(name), list(known), 1)
    return f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"


def row_names(plan: Plan) -> list[str]:
    """Return the names of a plan's rows in their order, but for ensembles."""
    grid = product(plan.networks, plan.options, plan.objectives)
    return [_row(plan, network, option, objective) for network, option, objective in grid]
