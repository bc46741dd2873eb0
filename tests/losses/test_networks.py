"""The networks' own defaults of the objectives."""

from __future__ import annotations

from importlib import import_module

import pytest

from vse.losses import OBJECTIVES, NetworkDefaults, ObjectiveOptions, build_objective, resolve

NETWORKS = ("VSEpp_LSEH", "VSRN_LSEH", "VSEinfty_LSEH", "SGRAF_LSEH", "GSMN_LSEH", "HAL")


def defaults(network: str) -> list[NetworkDefaults]:
    """Those of a network, and those of its demo where they differ."""
    loss = import_module(f"{network}.loss")
    return [loss.DEFAULTS, *([loss.DEMO] if hasattr(loss, "DEMO") else [])]


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("network", NETWORKS)
def test_every_objective_can_be_chosen_by_its_name_alone(network: str, name: str):
    for given in defaults(network):
        assert build_objective(resolve(ObjectiveOptions(loss=name), given))


@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_states_only_what_differs_from_the_objectives(network: str):
    for given in defaults(network):
        for name, constants in given.constants.items():
            objective = OBJECTIVES[name]().constants()
            assert all(objective[constant] != value for constant, value in constants.items())


@pytest.mark.parametrize(
    ("network", "text"),
    [
        ("VSEpp_LSEH", "LSEH(margin=0.185, semantic_weight=0.025, max_violation=False)"),
        ("VSRN_LSEH", "LSEH(margin=0.185, semantic_weight=0.025, max_violation=False)"),
        ("VSEinfty_LSEH", "LSEH(margin=0.185, semantic_weight=0.025, max_violation=True)"),
        ("SGRAF_LSEH", "LSEH(margin=0.185, semantic_weight=0.025, max_violation=True)"),
        ("GSMN_LSEH", "LSEH(margin=0.07, semantic_weight=0.05, max_violation=False)"),
        ("HAL", "HAL(local_alpha=30.0, local_ep=0.3)"),
    ],
)
def test_objective_that_trains_without_a_flag(network: str, text: str):
    given = defaults(network)[0]
    assert repr(build_objective(resolve(given.options(), given))) == text
