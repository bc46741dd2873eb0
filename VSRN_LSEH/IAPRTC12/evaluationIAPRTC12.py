"""Evaluate a VSRN network trained on IAPR TC-12."""

MODEL_PATH = "runs/iaprtc12_VSRN/model_best.pth.tar"
# Folder of the data sets; None: the data that the model was trained on.
DATA_PATH = None

from dataclasses import replace

from vse.options import run
from VSRN_LSEH import evaluation


def main(options: evaluation.Options) -> None:
    """As evaluation.py, on IAPR TC-12 under `--data_path`: the published checkpoints call it f30k_precomp."""
    if options.data_path is not None and options.data_name is None:
        options = replace(options, data_name="iaprtc12")
    evaluation.main(options)


if __name__ == "__main__":
    run(main, evaluation.Options, defaults={"model_path": MODEL_PATH, "data_path": DATA_PATH})
