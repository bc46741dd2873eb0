"""What `--help` shows as constants is what trains."""

from __future__ import annotations

import importlib

import pytest

from vse.losses import resolve

NETWORKS = ("VSEpp_LSEH", "VSRN_LSEH", "VSEinfty_LSEH", "SGRAF_LSEH", "GSMN_LSEH", "HAL")


@pytest.mark.parametrize("network", NETWORKS)
def test_constants_in_the_help_are_those_that_train(network: str) -> None:
    defaults = importlib.import_module(f"{network}.loss").DEFAULTS
    trained = vars(resolve(defaults.options(), defaults))
    assert defaults.shown() == {name: value for name, value in trained.items() if value is not None}
