"""Evaluate VSE-infinity networks trained on IAPR TC-12: the published name of evaluationIAPRTC12.py."""

from vse.cli import run_on_iaprtc12
from VSEinfty_LSEH import evaluation
from VSEinfty_LSEH.IAPRTC12.evaluationIAPRTC12 import DEFAULTS

if __name__ == "__main__":
    run_on_iaprtc12(evaluation.main, evaluation.Options, DEFAULTS)
