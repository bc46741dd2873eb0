"""Evaluate SGR, SAF or their ensemble, trained on IAPR TC-12."""

MODEL_PATH = "runs/iaprtc12_SGR/checkpoint/model_best.pth.tar"
# Second checkpoint: SGRAF is the mean of an SGR's and a SAF's scores.
MODEL_PATH2 = None
# Folder of the data sets; None: the data that the model was trained on.
DATA_PATH = None

from dataclasses import replace

from SGRAF_LSEH import evaluation
from vse.options import run


def main(options: evaluation.Options) -> None:
    """As evaluation.py, on IAPR TC-12 under `--data_path`: the published checkpoints call it f30k_precomp."""
    if options.data_path is not None and options.data_name is None:
        options = replace(options, data_name="iaprtc12")
    evaluation.main(options)


if __name__ == "__main__":
    defaults = {"model_path": MODEL_PATH, "model_path2": MODEL_PATH2, "data_path": DATA_PATH}
    run(main, evaluation.Options, defaults=defaults)
