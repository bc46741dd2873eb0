"""Train VSE-infinity with LSEH on IAPR TC-12 (one caption an image), with the published options of that data set.

python IAPRTC12/trainIAPRTC12.py --data_path $DATA_PATH --data_name iaprtc12 --logger_name runs/IAPR --model_name runs/IAPR
"""  # noqa: E501

from __future__ import annotations

from dataclasses import dataclass

from vse.options import run
from VSEinfty_LSEH import train


@dataclass
class Options(train.Options):
    """Defaults of the published IAPR TC-12 script."""

    data_name: str | None = "iaprtc12"
    """Data set."""
    logger_name: str = "runs/IAPR"
    """Run folder."""
    batch_size: int = 84
    """Pairs in a training batch (of each process, under torchrun), items in an evaluation batch."""


if __name__ == "__main__":
    run(train.main, Options)
