"""Train GSMN with LSEH on IAPR TC-12 (one caption an image); there is no published recipe, GSMN's own is meant.

python IAPRTC12/trainIAPRTC12.py --data_path "$DATA_PATH" --data_name IAPRTC_precomp --bi_gru --max_violation
"""

from GSMN_LSEH import train
from vse.cli import run

DEFAULTS = {"data_name": "iaprtc12", "logger_name": "runs/iaprtc12"}

if __name__ == "__main__":
    run(train.main, train.Options, defaults=DEFAULTS, shown=train.loss.DEFAULTS.shown)
