"""Options reach the objective they belong to, and what makes no sense is refused."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from inspect import signature
from typing import get_args

import pytest
import torch
import tyro

from vse.errors import InputError
from vse.losses import (
    ALIASES,
    HAL,
    LSEH,
    LUWM,
    OBJECTIVES,
    InfoNCE,
    LossName,
    MaxHinge,
    ObjectiveOptions,
    Pairs,
    Rescaled,
    SumHinge,
    build_objective,
    check_combination,
)


@dataclass
class NetworkOptions(ObjectiveOptions):
    """A network whose published recipe has the hardest negatives on."""

    loss: LossName = "hal"
    max_violation: bool = True


def parse(line: str, kind: type = ObjectiveOptions) -> ObjectiveOptions:
    return tyro.cli(kind, args=line.split(), use_underscores=True)


def test_every_name_builds_its_objective():
    assert set(get_args(LossName)) == {*OBJECTIVES, *ALIASES}
    for name in get_args(LossName):
        objective = build_objective(ObjectiveOptions(loss=name))
        assert type(objective) is OBJECTIVES[ALIASES.get(name, name)]
        check_combination(objective, ObjectiveOptions(loss=name), pairwise=False, bounded_scores=True)


def test_every_option_is_a_parameter_and_every_parameter_an_option():
    options = {field.name for field in fields(ObjectiveOptions)} - {"loss", "score_scale"}
    parameters = {name for kind in OBJECTIVES.values() for name in signature(kind).parameters}
    assert options == parameters


def test_help_states_the_constructors_defaults():
    """Each option's line names the published constant; the constructors hold it."""
    lines = {
        "semantic_weight": "lseh, 0.025",
        "margin": "lseh: base margin, 0.185",
        "local_alpha": "30",
        "local_ep": "0.3",
        "mb_rate": "0.05",
        "mb_k": "250",
        "global_alpha": "40",
        "global_beta": "40",
        "global_ep_posi": "0.2",
        "global_ep_nega": "0.1",
        "temperature": "0.07",
        "sharpness": "10",
    }
    text = tyro.extras.get_parser(ObjectiveOptions).format_help()
    flat = " ".join(text.replace("│", " ").split())
    for option, stated in lines.items():
        assert stated in flat, option
        kinds = [LSEH] if "lseh" in stated else OBJECTIVES.values()
        defaults = [
            signature(kind).parameters[option].default for kind in kinds if option in signature(kind).parameters
        ]
        assert any(f"{default:g}" in stated for default in defaults), option


def test_the_published_hal_command_line_parses():
    options = parse(
        "--local_alpha 30.00 --local_ep 0.3 --memory_bank --global_alpha 40.00 --global_beta 40.00 "
        "--global_ep_posi 0.20 --global_ep_nega 0.10 --mb_rate 0.05 --mb_k 250 --no-max_violation",
        NetworkOptions,
    )
    objective = build_objective(options)
    check_combination(objective, options, pairwise=False, bounded_scores=True)
    assert isinstance(objective, HAL)
    assert objective.bank is not None
    assert (objective.mb_k, objective.bank.rate, objective.local_alpha) == (250, 0.05, 30.0)


def test_six_coefficients_of_luwm_come_from_the_command_line():
    options = parse("--loss luwm --positive_coefficients 0.6 -0.7 0.2 --negative_coefficients 0.03 -0.3 1.8")
    objective = build_objective(options)
    assert isinstance(objective, LUWM)
    assert objective.positive_coefficients == (0.6, -0.7, 0.2)
    assert objective.negative_coefficients == (0.03, -0.3, 1.8)


def test_the_users_value_wins_over_the_networks_and_that_over_the_default():
    published = {"lseh": {"margin": 0.07, "semantic_weight": 0.05}, "lmh": {"margin": 0.3}}
    options = ObjectiveOptions(margin=0.1, max_violation=True)
    objective = build_objective(options, published)
    assert isinstance(objective, LSEH)
    assert (objective.margin, objective.semantic_weight) == (0.1, 0.05)
    assert objective.sparse_gradient
    assert build_objective(ObjectiveOptions(loss="max_hinge"), published).margin == 0.3
    assert build_objective(ObjectiveOptions(loss="sum_hinge"), published).margin == 0.2


def test_zero_is_a_value():
    assert build_objective(ObjectiveOptions(loss="lmh", margin=0.0)).margin == 0.0


def test_max_violation_selects_the_hardest_negative_except_where_the_name_decides():
    for given in (False, True):
        assert build_objective(ObjectiveOptions(max_violation=given)).sparse_gradient == given
        assert isinstance(build_objective(ObjectiveOptions(loss="lmh", max_violation=given)), MaxHinge)
        assert isinstance(build_objective(ObjectiveOptions(loss="lsh", max_violation=given)), SumHinge)
    assert build_objective(parse("--loss lseh", NetworkOptions)).sparse_gradient


def test_an_unknown_loss_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"triplet.*lseh.*lmh"):
        build_objective(replace(ObjectiveOptions(), loss="triplet"))


@pytest.mark.parametrize(
    ("line", "pairwise", "bounded", "message"),
    [
        ("--loss hal --memory_bank", True, True, "scores pairs"),
        ("--loss hal", False, False, "--score_scale"),
        ("--loss luwm", True, False, "--score_scale"),
        ("--loss infonce", True, False, "--score_scale"),
        ("--loss hal --memory_bank --score_scale 2", False, True, "cosines"),
        ("--loss hal --memory_bank --score_scale 2", False, False, "cosines"),
        ("--loss lseh --memory_bank", False, True, "choose hal"),
        ("--loss hal --mb_k 20", False, True, "--memory_bank"),
        ("--loss hal --global_alpha 20", False, True, "--memory_bank"),
        ("--loss lmh --local_alpha 30", False, True, "choose hal"),
        ("--loss lmh --semantic_weight 0.1", False, True, "lseh or sam"),
        ("--loss hal --margin 0.2", False, True, "--margin does nothing"),
        ("--loss lmh --same_image exclude", False, True, "choose lseh"),
    ],
)
def test_senseless_combinations_are_refused(line: str, pairwise: bool, bounded: bool, message: str):
    options = parse(line)
    objective = build_objective(options)
    with pytest.raises(InputError, match=message) as refusal:
        check_combination(objective, options, pairwise, bounded)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["lseh", "lmh", "lsh", "soft_margin", "sam"])
def test_objectives_of_differences_take_unbounded_scores(name: str):
    options = ObjectiveOptions(loss=name)
    check_combination(build_objective(options), options, pairwise=True, bounded_scores=False)


def test_rescaling_makes_bounded_objectives_legal_and_keeps_what_they_state():
    for name in ("luwm", "hal", "infonce"):
        options = ObjectiveOptions(loss=name, score_scale=4.0)
        objective = build_objective(options)
        check_combination(objective, options, pairwise=True, bounded_scores=False)
        plain = build_objective(replace(options, score_scale=None))
        assert isinstance(objective, Rescaled)
        assert objective.sparse_gradient == plain.sparse_gradient
        assert len(list(objective.parameters())) == len(list(plain.parameters()))
    assert build_objective(ObjectiveOptions(score_scale=1.0)).needs_descriptions


def test_rescaled_is_the_objective_of_the_hyperbolic_tangent():
    generator = torch.Generator().manual_seed(0)
    scores = 8 * torch.randn(5, 5, generator=generator, dtype=torch.float64)
    ids = torch.arange(5)
    found = Rescaled(InfoNCE().double(), 4.0)(scores, Pairs(ids, ids))
    torch.testing.assert_close(found, InfoNCE().double()(torch.tanh(scores / 4), Pairs(ids, ids)))
    dead = -torch.eye(5)
    assert Rescaled(HAL(), 4.0).diagnose(dead) == HAL().diagnose(dead)


def test_a_scale_that_is_not_positive_is_refused():
    with pytest.raises(InputError, match="--score_scale"):
        build_objective(ObjectiveOptions(loss="hal", score_scale=0.0))
