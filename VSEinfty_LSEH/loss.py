"""How VSE-infinity's objectives differ from the library's defaults: the hardest negative is the default."""

from vse.options import NetworkDefaults

DEFAULTS = NetworkDefaults(max_violation=True)
"""No other mode of the original LSEH variant runs."""

DEMO = NetworkDefaults(max_violation=True, warmup_epochs=4, constants={"hal": {"local_alpha": 60.0, "local_ep": 0.7}})
"""Hardest negatives and HAL begin with sums over all negatives; HAL's constants are Flickr30K's."""
