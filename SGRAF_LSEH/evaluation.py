"""Evaluate SGR, SAF or their ensemble SGRAF: recall of caption and image retrieval on a test split.

python evaluation.py
python evaluation.py --model_path SGR_CHECKPOINT --ensemble SAF_CHECKPOINT           the ensemble SGRAF
python evaluation.py --model_path ORIGINAL --data_path $DATA_PATH --vocab_path $VOCAB_PATH --split testall --fold5
python evaluation.py --rerank 50                           score 50 candidates a query only
"""

# What `python train.py` saves; ours or of the original code.
MODEL_PATH = "runs/demo_SAF/checkpoint/model_best.pth.tar"
# Further checkpoints: SGRAF is the mean of an SGR's and a SAF's scores.
ENSEMBLE: tuple[str, ...] = ()
# Folder of the data sets; None: the data that the model was trained on.
DATA_PATH = None

from dataclasses import dataclass, replace

from SGRAF_LSEH.network import FOLDER
from vse.cli import run
from vse.networks import Trained
from vse.options import EvaluationOptions, Maybe
from vse.ranges import AtLeast1


@dataclass
class Options(EvaluationOptions):
    """What to evaluate, and what to write."""

    rerank: Maybe[AtLeast1] = None
    """Score each query's best K candidates by the cosine of global vectors only, the others follow in that order."""


def main(options: Options) -> None:
    """Print the recall table; write scores and metrics if asked."""
    from SGRAF_LSEH.reranking import rerank
    from vse.evaluation.script import joined, open_models, report, run_evaluation

    def with_budget(trained: Trained) -> Trained:
        return replace(trained, options=replace(trained.options, memory_budget=options.memory_budget))

    if options.rerank is None:
        run_evaluation(FOLDER, options, with_budget)
        return
    with joined(options.device) as first:
        models = open_models(FOLDER, options, with_budget)
        scores, summary = rerank(models, options.rerank, options)
        if first:
            report(scores, models, options, more={"rerank": summary}, protocol={"rerank": options.rerank})


DEFAULTS = {"model_path": MODEL_PATH, "ensemble": ENSEMBLE, "data_path": DATA_PATH}

if __name__ == "__main__":
    run(main, Options, defaults=DEFAULTS)
