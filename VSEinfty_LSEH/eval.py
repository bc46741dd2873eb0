"""Evaluate trained VSE-infinity networks: the published name of evaluation.py, which holds MODEL_PATH and DATA_PATH."""

from vse.cli import run
from VSEinfty_LSEH.evaluation import DEFAULTS, Options, main

if __name__ == "__main__":
    run(main, Options, defaults=DEFAULTS)
