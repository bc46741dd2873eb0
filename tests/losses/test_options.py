"""Options reach the objective they belong to, and what makes no sense is refused."""

from __future__ import annotations

import json
from dataclasses import asdict, fields

import pytest
import tyro

from vse.cli import CONFIG
from vse.errors import InputError
from vse.losses import (
    ALIASES,
    HAL,
    LSEH,
    LUWM,
    OBJECTIVES,
    Gist,
    MaxHinge,
    NetworkDefaults,
    ObjectiveOptions,
    Rescaled,
    SumHinge,
    Warmup,
    build_objective,
    check_combination,
    read_saved,
    resolve,
)

NAMES = [*OBJECTIVES, *ALIASES]
HARDEST = NetworkDefaults(max_violation=True)
GSMN = NetworkDefaults(constants={"lseh": {"margin": 0.07, "semantic_weight": 0.05}, "max_hinge": {"margin": 0.3}})


def parse(line: str) -> ObjectiveOptions:
    return tyro.cli(ObjectiveOptions, args=line.split(), use_underscores=True, config=CONFIG)


def built(line: str, network: NetworkDefaults = NetworkDefaults()):  # noqa: B008
    return build_objective(resolve(parse(line), network))


# --- from flags to constants -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_name_builds_its_objective(name: str):
    options = resolve(ObjectiveOptions(loss=name))
    assert type(build_objective(options)) is OBJECTIVES[ALIASES.get(name, name)]
    check_combination(options, pairwise=False, bounded_scores=True)


def test_every_constant_is_a_flag_and_every_flag_a_constant():
    flags = {field.name for field in fields(ObjectiveOptions)}
    others = {"loss", "score_scale", "warmup_epochs", "warmup_form", "gist_margin", "gist_ratio"}
    assert flags - others == {field.name for kind in OBJECTIVES.values() for field in fields(kind)}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_resolved_options_hold_every_constant_that_trains(name: str):
    options = resolve(ObjectiveOptions(loss=name))
    constants = build_objective(options).constants()
    constants.pop("false_negatives")
    assert {key: getattr(options, key) for key in constants} == constants
    assert options.max_violation in (True, False)
    assert json.loads(json.dumps(asdict(options)))["loss"] == name


@pytest.mark.parametrize("name", OBJECTIVES)
def test_constants_of_other_objectives_stay_none(name: str):
    options = resolve(ObjectiveOptions(loss=name))
    own = {"loss", "max_violation", "warmup_epochs", *build_objective(options).constants()}
    assert all(value is None for key, value in vars(options).items() if key not in own)


def test_user_wins_over_network_and_network_over_default():
    objective = built("--margin 0.1", GSMN)
    assert isinstance(objective, LSEH)
    assert (objective.margin, objective.semantic_weight) == (0.1, 0.05)
    assert built("--loss lmh", GSMN).margin == 0.3
    assert built("--loss sum_hinge", GSMN).margin == 0.2


def test_options_without_a_word_show_the_networks_numbers():
    shown = resolve(GSMN.options(), GSMN)
    assert (shown.loss, shown.margin, shown.semantic_weight) == ("lseh", 0.07, 0.05)
    assert NetworkDefaults(loss="hal").options().loss == "hal"


def test_zero_is_a_value():
    assert built("--loss lmh --margin 0").margin == 0.0


def test_six_coefficients_of_luwm_come_from_the_command_line():
    objective = built("--loss luwm --positive_coefficients 0.6 -0.7 0.2 --negative_coefficients 0.03 -0.3 1.8")
    assert isinstance(objective, LUWM)
    assert objective.positive_coefficients == (0.6, -0.7, 0.2)
    assert objective.negative_coefficients == (0.03, -0.3, 1.8)


def test_the_published_hal_command_line_parses():
    objective = built(
        "--loss hal --local_alpha 30.00 --local_ep 0.3 --memory_bank --global_alpha 40.00 --global_beta 40.00 "
        "--global_ep_posi 0.20 --global_ep_nega 0.10 --mb_rate 0.05 --mb_k 250"
    )
    assert isinstance(objective, HAL)
    assert objective.bank is not None
    assert (objective.mb_k, objective.bank.rate, objective.local_alpha) == (250, 0.05, 30.0)


def test_constants_of_the_memory_bank_are_recorded_only_with_one():
    assert resolve(parse("--loss hal")).global_alpha is None
    assert resolve(parse("--loss hal --memory_bank")).global_alpha == 40


# --- max_violation ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "network", "hardest"),
    [
        ("", NetworkDefaults(), False),
        ("", HARDEST, True),
        ("--max_violation", NetworkDefaults(), True),
        ("--no_max_violation", HARDEST, False),
        ("--loss sam", HARDEST, True),
        ("--loss lmh", NetworkDefaults(), True),
        ("--loss luwm", NetworkDefaults(), True),
        ("--loss sum_hinge", HARDEST, False),
        ("--loss infonce", HARDEST, False),
    ],
)
def test_record_says_whether_only_the_hardest_negative_counts(line: str, network: NetworkDefaults, hardest: bool):
    options = resolve(parse(line), network)
    assert options.max_violation is hardest
    assert build_objective(options).max_violation is hardest


@pytest.mark.parametrize("loss", ["lmh", "sum_hinge", "infonce", "hal", "luwm"])
@pytest.mark.parametrize("flag", ["--max_violation", "--no_max_violation"])
def test_max_violation_is_refused_where_it_does_nothing(loss: str, flag: str):
    with pytest.raises(InputError, match=rf"^--max_violation does nothing for --loss {loss}: .* lseh"):
        resolve(parse(f"--loss {loss} {flag}"), HARDEST)


# --- warm-up ---------------------------------------------------------------------------------------------------------


def test_warm_up_comes_from_flags():
    objective = built("--loss lmh --warmup_epochs 0.5 --warmup_form mean")
    assert isinstance(objective, Warmup)
    assert (objective.epochs, objective.form, type(objective.first)) == (0.5, "mean", SumHinge)


def test_a_networks_warm_up_counts_where_the_objective_has_one():
    network = NetworkDefaults(max_violation=True, warmup_epochs=1)
    assert isinstance(built("", network), Warmup)
    assert isinstance(built("--loss infonce", network), OBJECTIVES["infonce"])
    assert isinstance(built("--no_max_violation", network), LSEH)
    assert isinstance(built("--warmup_epochs 0", network), LSEH)


def test_record_holds_the_warm_up():
    network = NetworkDefaults(warmup_epochs=2, warmup_form="mean")
    assert (resolve(parse("--loss lmh"), network).warmup_epochs, resolve(parse("--loss lmh"), network).warmup_form) == (
        2,
        "mean",
    )
    assert resolve(parse("--loss infonce"), network).warmup_epochs == 0


def test_warm_up_without_a_sum_is_refused():
    with pytest.raises(InputError, match=r"^--warmup_epochs 1: InfoNCE.* has no sum"):
        built("--loss infonce --warmup_epochs 1")


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--loss lsh", "sum_hinge"),
        ("--loss triplet", "lseh.*lmh.*FILE.py:ClassName"),
        ("--loss lseh --memory_bank", "choose hal"),
        ("--loss hal --mb_k 20", "--memory_bank"),
        ("--loss hal --global_alpha 20", "--memory_bank"),
        ("--loss lmh --local_alpha 30", "choose hal"),
        ("--loss lmh --semantic_weight 0.1", "lseh or sam"),
        ("--loss hal --margin 0.2", "--margin does nothing"),
        ("--gist_margin 0.1", "--false_negatives gist"),
        ("--warmup_form mean", "--warmup_epochs"),
        ("--loss lmh --same_image zero_margin", "--same_image zero_margin: expected one of negative, ignore, positive"),
        ("--same_image ignore --same_image_key legacy_div5", "--same_image_key legacy_div5"),
        ("--false_negatives gist --gist_margin 0.1 --gist_ratio 0.9", "--gist_margin 0.1: .*gist_ratio"),
        ("--false_negatives gist --gist_ratio 0", "--gist_ratio 0.0: expected"),
        ("--loss hal --memory_bank --mb_rate 1.5", "--mb_rate 1.5: expected"),
        ("--loss hal --local_alpha 0", "--local_alpha 0.0: expected"),
        ("--loss infonce --temperature 0", "--temperature 0.0: expected"),
        ("--score_scale 0", "--score_scale 0"),
    ],
)
def test_what_does_nothing_or_is_out_of_range_is_refused(line: str, message: str):
    with pytest.raises(InputError, match=message) as refusal:
        built(line)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("line", "pairwise", "bounded", "message"),
    [
        ("--loss hal --memory_bank", True, True, "scores pairs"),
        ("--loss hal", False, False, "--score_scale"),
        ("--loss luwm", True, False, "--score_scale"),
        ("--loss infonce", True, False, "--score_scale"),
        ("--loss hal --memory_bank --score_scale 2", False, True, "cosines"),
        ("--loss hal --memory_bank --score_scale 2", False, False, "cosines"),
    ],
)
def test_what_the_network_cannot_give_is_refused(line: str, pairwise: bool, bounded: bool, message: str):
    with pytest.raises(InputError, match=message) as refusal:
        check_combination(resolve(parse(line)), pairwise, bounded)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["lseh", "lmh", "sum_hinge", "soft_margin", "sam"])
def test_objectives_of_differences_take_unbounded_scores(name: str):
    check_combination(resolve(ObjectiveOptions(loss=name)), pairwise=True, bounded_scores=False)


@pytest.mark.parametrize("name", ["luwm", "hal", "infonce"])
def test_rescaling_makes_bounded_objectives_legal(name: str):
    options = resolve(ObjectiveOptions(loss=name, score_scale=4.0))
    check_combination(options, pairwise=True, bounded_scores=False)
    assert isinstance(build_objective(options), Rescaled)


# --- the filter of false negatives, older records --------------------------------------------------------------------


def test_filter_and_its_threshold_come_from_flags():
    options = resolve(parse("--loss lmh --false_negatives gist"))
    assert (options.gist_margin, options.gist_ratio) == (0.05, None)
    objective = build_objective(options)
    assert isinstance(objective, MaxHinge)
    assert objective.false_negatives == Gist(margin=0.05)
    assert objective.needs_descriptions
    assert built("--false_negatives gist --gist_ratio 0.9").false_negatives == Gist(ratio=0.9)


def test_older_records_are_read_in_todays_words():
    old = {"loss": "lsh", "same_image": "exclude", "margin": None}
    assert read_saved(old) == {"loss": "sum_hinge", "same_image": "ignore", "margin": None}
    assert read_saved({"same_image": "keep"}) == {"same_image": "negative"}
    assert read_saved({"loss": "lseh", "same_image": "zero_margin"}) == {"loss": "lseh", "same_image": "zero_margin"}


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("--max_violation", "LSEH(margin=0.185, semantic_weight=0.025, max_violation=True)"),
        ("--loss lmh --same_image ignore", "MaxHinge(margin=0.2, same_image='ignore')"),
        ("--loss lmh --false_negatives gist", "MaxHinge(margin=0.2, false_negatives=Gist(margin=0.05, ratio=None))"),
        ("--loss hal", "HAL(local_alpha=30.0, local_ep=0.3)"),
        ("--semantic_weight -0.1", "LSEH(margin=0.185, semantic_weight=-0.1, max_violation=False)"),
    ],
)
def test_representation_names_the_constants(line: str, text: str):
    assert repr(built(line)) == text


def test_saved_lists_are_read_as_they_are() -> None:
    assert read_saved({"lr_milestones": [], "loss": "lsh"}) == {"lr_milestones": [], "loss": "sum_hinge"}
