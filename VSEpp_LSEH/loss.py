"""How VSE++'s objectives differ from the library's defaults: not at all."""

from vse.options import NetworkDefaults

DEFAULTS = NetworkDefaults()
