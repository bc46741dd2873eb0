"""How SGRAF's objectives differ from the library's defaults: the hardest negative is the default."""

from vse.options import NetworkDefaults

DEFAULTS = NetworkDefaults(max_violation=True)
"""In its original code a flag turned the hardest negatives off, and the recipes do not give it."""

DEMO = NetworkDefaults()
"""SAF leaves the plateau within a hundred steps with sums of hinges; with hardest negatives it takes epochs."""
