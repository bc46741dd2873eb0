"""How VSE++'s objectives differ from the library's defaults: not at all, except on the demo."""

from vse.options import NetworkDefaults

DEFAULTS = NetworkDefaults()

DEMO = NetworkDefaults(warmup_epochs=5, warmup_form="mean", constants={"hal": {"local_alpha": 60.0, "local_ep": 0.7}})
"""Objectives other than sums over all negatives begin with one; HAL's constants are Flickr30K's."""
