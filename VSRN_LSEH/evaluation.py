"""Evaluate a trained VSRN network: recall of caption and image retrieval on a test split, and captions it generates.

python evaluation.py
python evaluation.py --captions 20                         generated captions beside the true ones, with BLEU-4
"""

# What `python train.py` saves; any checkpoint of ours or the original code.
MODEL_PATH = "runs/runX/model_best.pth.tar"
# Folder of the data sets; None: the data that the model was trained on.
DATA_PATH = None

from dataclasses import dataclass

from vse.cli import run
from vse.errors import InputError
from vse.options import EvaluationOptions
from vse.ranges import AtLeast0, AtLeast1
from VSRN_LSEH.network import FOLDER


@dataclass
class Options(EvaluationOptions):
    """What to evaluate, and what to write."""

    captions: AtLeast0 = 0
    """Generate captions of this many images, spread evenly over the split."""
    beam_size: AtLeast1 = 5
    """Beam of the generated captions that are printed beside the greedy ones."""


def main(options: Options) -> None:
    """Print the recall table and generated captions; write scores and metrics if asked."""
    from vse.evaluation.scoring import ensemble
    from vse.evaluation.script import joined, open_models, report, score
    from VSRN_LSEH.generated import show_captions

    with joined(options.device) as first:
        models = open_models(FOLDER, options)
        if options.captions and models[0].trained.options.no_captioning:
            raise InputError(
                f"--captions: {options.model_path} holds no caption-generation branch (a checkpoint of the original "
                "code, or --no_captioning); train one with train.py"
            )
        scores = ensemble([score(model, options) for model in models])
        if not first:
            return
        bleu = {}
        if options.captions:
            bleu = show_captions(models[0], options.captions, options.beam_size, options.batch_size)
        report(scores, models, options, more=bleu)


if __name__ == "__main__":
    run(main, Options, defaults={"model_path": MODEL_PATH, "data_path": DATA_PATH})
