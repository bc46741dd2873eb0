"""The options of visualize.py are there without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("network", ["SGRAF_LSEH", "GSMN_LSEH"])
def test_help_of_visualize_imports_no_torch(network: str) -> None:
    command = [sys.executable, "-X", "importtime", "visualize.py", "--help"]
    done = subprocess.run(command, cwd=ROOT / network, capture_output=True, text=True, check=True)
    assert "--caption" in done.stdout
    assert not [line for line in done.stderr.splitlines() if line.endswith(("| torch", "| numpy"))]
