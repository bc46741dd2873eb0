"""Train VSRN with LSEH on IAPR TC-12 (one caption an image), with the published options of that data set.

python IAPRTC12/trainIAPRTC12.py --data_path $DATA_PATH --data_name IAPRTC12_precomp --logger_name runs/IAPR_VSRN --max_violation --max_len 60
"""  # noqa: E501

from vse.cli import run
from VSRN_LSEH import train

DEFAULTS = {"data_name": "iaprtc12", "logger_name": "runs/iaprtc12_VSRN", "learning_rate": 0.0005, "lr_update": 20}

if __name__ == "__main__":
    run(train.main, train.Options, defaults=DEFAULTS, shown=train.loss.DEFAULTS.shown)
