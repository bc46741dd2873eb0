"""Train SGRAF with LSEH on IAPR TC-12 (one caption an image), with the published options of that data set.

python IAPRTC12/trainIAPRTC12.py --data_name IAPRTC_precomp --module_name SGR
python IAPRTC12/trainIAPRTC12.py --data_name IAPRTC_precomp --module_name SAF
"""

from __future__ import annotations

from SGRAF_LSEH import train
from vse.cli import run

DEFAULTS = {"data_name": "iaprtc12", "batch_size": 128}

if __name__ == "__main__":
    run(train.main, train.Options, defaults=DEFAULTS, shown=train.loss.DEFAULTS.shown)
