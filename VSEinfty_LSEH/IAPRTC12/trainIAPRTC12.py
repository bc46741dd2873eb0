"""Train VSE-infinity with LSEH on IAPR TC-12 (one caption an image), with the published options of that data set.

python IAPRTC12/trainIAPRTC12.py --data_path $DATA_PATH --data_name iaprtc12 --logger_name runs/IAPR --model_name runs/IAPR
"""  # noqa: E501

from vse.cli import run
from VSEinfty_LSEH import train

DEFAULTS = {"data_name": "iaprtc12", "logger_name": "runs/IAPR", "batch_size": 84}

if __name__ == "__main__":
    run(train.main, train.Options, defaults=DEFAULTS, shown=train.loss.DEFAULTS.shown)
