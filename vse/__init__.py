"""Visual-semantic embeddings: what two or more of the networks in this repository share."""

from pathlib import Path

__version__ = "0.1.0"

REPOSITORY = Path(__file__).resolve().parent.parent
"""Folder of the checkout: holds `data/` (data sets), `output/` (description vectors) and the network folders."""
