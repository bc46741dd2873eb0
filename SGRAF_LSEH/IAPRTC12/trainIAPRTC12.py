"""Train SGRAF with LSEH on IAPR TC-12 (one caption an image), with the published options of that data set.

python IAPRTC12/trainIAPRTC12.py --data_name IAPRTC_precomp --module_name SGR
python IAPRTC12/trainIAPRTC12.py --data_name IAPRTC_precomp --module_name SAF
"""

from __future__ import annotations

from dataclasses import dataclass

from SGRAF_LSEH import train
from vse.options import run


@dataclass
class Options(train.Options):
    """Defaults of the published IAPR TC-12 script."""

    data_name: str | None = "iaprtc12"
    """Data set."""
    batch_size: int = 128
    """Pairs in a training batch (of each process, under torchrun), items in an evaluation batch."""


if __name__ == "__main__":
    run(train.main, Options)
