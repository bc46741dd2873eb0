"""Train VSE++ with LSEH on IAPR TC-12 (one caption an image), with the published options of that data set.

python IAPRTC12/trainIAPRTC12.py --data_path $DATA_PATH --data_name IAPRTC_precomp --max_violation
"""

from __future__ import annotations

from dataclasses import dataclass

from vse.options import run
from VSEpp_LSEH import train


@dataclass
class Options(train.Options):
    """Defaults of the published IAPR TC-12 script."""

    data_name: str | None = "iaprtc12"
    """Data set."""
    logger_name: str = "runs/iaprtc12_vse++"
    """Run folder."""
    learning_rate: float = 0.0008
    """Initial learning rate."""
    lr_update: int = 8
    """Epochs between divisions of the learning rate by ten."""


if __name__ == "__main__":
    run(train.main, Options)
