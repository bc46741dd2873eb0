"""Evaluate VSE-infinity networks trained on IAPR TC-12: the published name of evaluationIAPRTC12.py."""

from vse.cli import run
from vse.options import on_iaprtc12
from VSEinfty_LSEH import evaluation
from VSEinfty_LSEH.IAPRTC12.evaluationIAPRTC12 import DEFAULTS

if __name__ == "__main__":
    run(lambda options: evaluation.main(on_iaprtc12(options)), evaluation.Options, defaults=DEFAULTS)
