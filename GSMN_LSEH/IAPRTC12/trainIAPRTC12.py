"""Train GSMN with LSEH on IAPR TC-12 (one caption an image); there is no published recipe, GSMN's own is meant.

python IAPRTC12/trainIAPRTC12.py --data_path "$DATA_PATH" --data_name IAPRTC_precomp --bi_gru --max_violation
"""

from __future__ import annotations

from dataclasses import dataclass

from GSMN_LSEH import train
from vse.options import run


@dataclass
class Options(train.Options):
    """Defaults for IAPR TC-12."""

    data_name: str | None = "iaprtc12"
    """Data set."""
    logger_name: str = "runs/iaprtc12"
    """Run folder."""


if __name__ == "__main__":
    run(train.main, Options)
