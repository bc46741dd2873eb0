"""Evaluate VSE-infinity networks trained on IAPR TC-12: the published name of evaluationIAPRTC12.py."""

from vse.options import run
from VSEinfty_LSEH import evaluation
from VSEinfty_LSEH.IAPRTC12.evaluationIAPRTC12 import DEFAULTS

if __name__ == "__main__":
    run(evaluation.main, evaluation.Options, defaults=DEFAULTS)
