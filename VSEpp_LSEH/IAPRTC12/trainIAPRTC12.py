"""Train VSE++ with LSEH on IAPR TC-12 (one caption an image), with the published options of that data set.

python IAPRTC12/trainIAPRTC12.py --data_path $DATA_PATH --data_name IAPRTC_precomp --max_violation
"""

from vse.cli import run
from VSEpp_LSEH import train

DEFAULTS = {"data_name": "iaprtc12", "logger_name": "runs/iaprtc12_vse++", "learning_rate": 0.0008, "lr_update": 8}

if __name__ == "__main__":
    run(train.main, train.Options, defaults=DEFAULTS, shown=train.loss.DEFAULTS.shown)
