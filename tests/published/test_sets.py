"""Names of the published data sets."""

from __future__ import annotations

from vse.published.sets import canonical_name


def test_names_of_one_data_set_are_the_same() -> None:
    assert {canonical_name(n) for n in ("iaprtc12", "IAPRTC12", "IAPRTC", "IAPR", "IAPRTC_precomp")} == {"iaprtc12"}
    assert canonical_name("f30k_precomp") == "f30k"
    assert canonical_name("mine") == "mine"
