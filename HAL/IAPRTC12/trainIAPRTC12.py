"""Train HAL on IAPR TC-12 (one caption an image); the objective's constants are MS-COCO's, none are published for it.

python IAPRTC12/trainIAPRTC12.py --data_path $DATA_PATH --data_name IAPRTC_precomp --logger_name runs/IAPRTC
"""

from HAL import train
from vse.cli import run

DEFAULTS = {"data_name": "iaprtc12", "logger_name": "runs/iaprtc12", "learning_rate": 0.001}

if __name__ == "__main__":
    run(train.main, train.Options, defaults=DEFAULTS, shown=train.loss.DEFAULTS.shown)
