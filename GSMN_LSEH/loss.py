"""How GSMN's objectives differ from the library's defaults: the two constants of LSEH."""

from vse.options import NetworkDefaults

DEFAULTS = NetworkDefaults(constants={"lseh": {"margin": 0.07, "semantic_weight": 0.05}})
"""From Gong & Cosma's original code."""

DEMO = NetworkDefaults(max_violation=True, constants=DEFAULTS.constants)
