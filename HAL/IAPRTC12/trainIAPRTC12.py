"""Train HAL on IAPR TC-12 (one caption an image); the objective's constants are MS-COCO's, none are published for it.

python IAPRTC12/trainIAPRTC12.py --data_path $DATA_PATH --data_name IAPRTC_precomp --logger_name runs/IAPRTC
"""

from __future__ import annotations

from dataclasses import dataclass

from HAL import train
from vse.options import run


@dataclass
class Options(train.Options):
    """HAL's defaults on IAPR TC-12."""

    data_name: str | None = "iaprtc12"
    """Data set."""
    logger_name: str = "runs/iaprtc12"
    """Run folder."""
    learning_rate: float = 0.001
    """Initial learning rate, that of the published commands."""


if __name__ == "__main__":
    run(train.main, Options)
