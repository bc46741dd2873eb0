"""How VSE-infinity's objectives differ from the library's defaults: the hardest negative is the default."""

from vse.options import NetworkDefaults

DEFAULTS = NetworkDefaults(max_violation=True)
"""The original code of its LSEH variant has no other mode that runs."""

DEMO = NetworkDefaults(max_violation=True, warmup_epochs=4, constants={"hal": {"local_alpha": 60.0, "local_ep": 0.7}})
"""Hardest negatives and HAL begin with sums; HAL's constants are Flickr30K's, the smaller data set."""
