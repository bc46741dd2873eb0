"""How VSE++'s objectives differ from the library's defaults: not at all, except on the demo."""

from vse.options import NetworkDefaults

DEFAULTS = NetworkDefaults()

DEMO = NetworkDefaults(warmup_epochs=5, warmup_form="mean", constants={"hal": {"positive_term": "repaired"}})
"""Hardest negatives begin with sums over all; HAL, which also pulls pairs that score 0 and less, stays far behind."""
