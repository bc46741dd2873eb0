"""Evaluate SGR, SAF or their ensemble, trained on IAPR TC-12."""

MODEL_PATH = "runs/iaprtc12_SGR/checkpoint/model_best.pth.tar"
MODEL_PATH2 = None  # second checkpoint: SGRAF is the mean of an SGR's and a SAF's scores
DATA_PATH = None  # folder of the data sets; None: the data that the model was trained on

from dataclasses import dataclass, replace  # noqa: E402

from SGRAF_LSEH import evaluation  # noqa: E402
from vse.options import run  # noqa: E402


@dataclass
class Options(evaluation.Options):
    """What to evaluate."""

    model_path: str = MODEL_PATH
    """Checkpoint to evaluate."""
    model_path2: str | None = MODEL_PATH2
    """Second checkpoint: evaluate the mean of both models' scores (SGRAF: one SGR, one SAF)."""
    data_path: str | None = DATA_PATH
    """Folder that holds the data set folders; default: where the checkpoint's training data was."""


def main(options: Options) -> None:
    """As evaluation.py, on IAPR TC-12 under `--data_path`: the published checkpoints call it f30k_precomp."""
    if options.data_path is not None and options.data_name is None:
        options = replace(options, data_name="iaprtc12")
    evaluation.main(options)


if __name__ == "__main__":
    run(main, Options)
