"""How VSE-infinity's objectives differ from the library's defaults: the hardest negative is the default."""

from vse.options import NetworkDefaults

DEFAULTS = NetworkDefaults(max_violation=True)
"""The original code of its LSEH variant has no other mode that runs."""

DEMO = NetworkDefaults(max_violation=True, warmup_epochs=1, constants={"hal": {"positive_term": "repaired"}})
"""Hardest negatives begin with sums, and HAL pulls pairs whose cosines fall to 0 and less."""
