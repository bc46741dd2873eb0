"""The original name of evaluation.py, which has MODEL_PATH and DATA_PATH: evaluate trained GSMN networks."""

from GSMN_LSEH.evaluation import DEFAULTS, Options, main
from vse.cli import run

if __name__ == "__main__":
    run(main, Options, defaults=DEFAULTS)
