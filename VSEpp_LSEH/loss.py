"""How VSE++'s objectives differ from the library's defaults: not at all, except on the demo."""

from vse.options import NetworkDefaults

DEFAULTS = NetworkDefaults()

DEMO = NetworkDefaults(warmup_epochs=5, warmup_form="mean", constants={"hal": {"positive_term": "repaired"}})
"""Any objective trains: hardest negatives begin with sums, and HAL pulls pairs whose cosines fall to 0 and less."""
