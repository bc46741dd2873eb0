"""Evaluate SGR, SAF or their ensemble, trained on IAPR TC-12."""

MODEL_PATH = "runs/iaprtc12_SGR/checkpoint/model_best.pth.tar"
MODEL_PATH2 = None  # second checkpoint: SGRAF is the mean of an SGR's and a SAF's scores
DATA_PATH = None  # folder of the data sets; None: the data that the model was trained on

from dataclasses import replace  # noqa: E402

from SGRAF_LSEH import evaluation  # noqa: E402
from vse.options import run  # noqa: E402


def main(options: evaluation.Options) -> None:
    """As evaluation.py, on IAPR TC-12 under `--data_path`: the published checkpoints call it f30k_precomp."""
    if options.data_path is not None and options.data_name is None:
        options = replace(options, data_name="iaprtc12")
    evaluation.main(options)


if __name__ == "__main__":
    defaults = {"model_path": MODEL_PATH, "model_path2": MODEL_PATH2, "data_path": DATA_PATH}
    run(main, evaluation.Options, defaults=defaults)
