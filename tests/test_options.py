"""Options in groups: names of flags in and out, and what a network's own constants are shown as."""

from __future__ import annotations

from dataclasses import dataclass, field

from vse.options import (
    DataOptions,
    EmbeddingOptions,
    EvaluationOptions,
    NetworkDefaults,
    as_dict,
    on_demo,
    on_iaprtc12,
    with_values,
)


@dataclass
class Options:
    data: DataOptions = field(default_factory=DataOptions)
    network: EmbeddingOptions = field(default_factory=EmbeddingOptions)


def test_groups_in_groups_are_dissolved_into_flags() -> None:
    saved = as_dict(Options())
    assert saved.keys() >= {"data_path", "measure", "image_tower"}
    assert not saved.keys() & {"data", "network", "towers"}


def test_saved_flags_make_the_options_they_were_saved_from() -> None:
    options = Options(DataOptions(data_name="f30k"), EmbeddingOptions(measure="order"))
    options.network.towers.image_tower = "timm:test_vit"
    saved = as_dict(options)
    assert with_values(Options(), {**saved, "of_an_older_version": 1}) == options


def test_with_values_leaves_the_given_options_alone() -> None:
    options = Options()
    changed = with_values(options, {"image_size": 64})
    assert changed.network.towers.image_size == 64
    assert options.network.towers.image_size is None


def test_the_demo_is_meant_where_no_data_set_is_named() -> None:
    assert on_demo(DataOptions(batch_size=3))
    assert not on_demo(DataOptions(data_path="data"))
    assert not on_demo(DataOptions(data_name="f30k"))


def test_iaprtc12_is_meant_unless_another_name_is_given() -> None:
    assert on_iaprtc12(EvaluationOptions(data_path="data")).data_name == "iaprtc12"
    assert on_iaprtc12(EvaluationOptions(data_path="data", data_name="x")).data_name == "x"
    assert on_iaprtc12(EvaluationOptions()).data_name is None


def test_help_shows_the_networks_constants_and_the_objectives() -> None:
    shown = NetworkDefaults(constants={"lseh": {"margin": 0.07}}).shown()
    assert (shown["loss"], shown["margin"], shown["semantic_weight"]) == ("lseh", 0.07, 0.025)
    assert "temperature" not in shown
