"""Evaluate SGR, SAF or their ensemble SGRAF: recall of caption and image retrieval on a test split.

python evaluation.py
python evaluation.py --model_path SGR_CHECKPOINT --model_path2 SAF_CHECKPOINT        the ensemble SGRAF
python evaluation.py --model_path PUBLISHED --data_path $DATA_PATH --vocab_path $VOCAB_PATH --split testall --fold5
python evaluation.py --rerank 50                           score 50 candidates a query only
"""

# What `python train.py` saves; ours or of the published code.
MODEL_PATH = "runs/demo_SAF/checkpoint/model_best.pth.tar"
# Second checkpoint: SGRAF is the mean of an SGR's and a SAF's scores.
MODEL_PATH2 = None
# Folder of the data sets; None: the data that the model was trained on.
DATA_PATH = None

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from SGRAF_LSEH import train
from SGRAF_LSEH.model import SGRAF
from vse.cli import run
from vse.console import say
from vse.data.batches import EvaluationData
from vse.data.loading import check_regions
from vse.distributed import choose_device
from vse.errors import InputError
from vse.evaluation.reports import save_json
from vse.evaluation.scoring import best_candidates, candidate_recall, encode_split, ensemble, score_candidates
from vse.evaluation.script import evaluation_split, load_trained, progress_bar, report, restore, score, words_of
from vse.options import EvaluationOptions
from vse.text.vocabulary import Vocabulary


@dataclass
class Options(EvaluationOptions):
    """What to evaluate."""

    model_path2: str | None = None
    """Second checkpoint: evaluate the mean of both models' scores (SGRAF: one SGR, one SAF)."""
    rerank: int | None = None
    """Score each query's best K candidates by the cosine of global vectors only, the others follow in that order."""


class Model(NamedTuple):
    """A network with the split it is to be evaluated on, as it reads it."""

    path: str
    network: SGRAF
    vocabulary: Vocabulary
    data: EvaluationData
    name: str  # of data set and split


def load(options: EvaluationOptions, model_path: str) -> Model:
    """A checkpoint's network and the split that the options ask for.

    Raises:
        InputError: checkpoint or data are missing, damaged or do not belong together.
    """
    trained = load_trained(model_path, train.NAME, train.Options)
    split, folder = evaluation_split(options, trained)
    check_regions(split, train.NAME)
    # A published checkpoint's words are those of the data it was trained on, whatever it is evaluated on.
    vocabulary, data = words_of(split, folder, replace(options, data_name=None), trained)
    trained.options = replace(trained.options, memory_budget=options.memory_budget)
    network = train.build(trained.options, split.images.shape, len(vocabulary))
    restore(network, trained)
    return Model(model_path, network, vocabulary, data, f"{folder.name} {split.name}")


def load_both(options: Options) -> list[Model]:
    """The network, or the two of the ensemble, on the same split."""
    models = [load(options, options.model_path)]
    if options.model_path2 is not None:
        folder = str(models[0].data.split.captions_file.parent)
        split = models[0].data.split.name
        again = replace(options, data_path=folder, data_name=None, split=split)
        models.append(load(again, options.model_path2))
    return models


def rerank(models: Sequence[Model], options: Options) -> tuple[Tensor, dict[str, Any]]:
    """Scores [N, M] of each query's candidates, the same for all models, and what was left out.

    What is no candidate ranks behind all candidates, in the order of the cosines of the global vectors.
    """
    assert options.rerank is not None
    if options.rerank < 1:
        raise InputError(f"--rerank {options.rerank}: expected how many candidates of a query to score, 1 or more")
    device = choose_device(options.device)
    encodings = []
    for model in models:
        data = model.data
        encodings.append(encode_split(model.network.to(device), data.images(), data.texts(), device))
    cosines = ensemble([images.vectors @ captions.vectors.T for images, captions in encodings])
    candidates = best_candidates(cosines, options.rerank)
    budget = int(options.memory_budget * 2**30)
    scores = ensemble(
        [
            score_candidates(model.network, *encoded, candidates, budget, device, progress_bar)
            for model, encoded in zip(models, encodings, strict=True)
        ]
    )
    behind = cosines - (cosines.max() - scores[candidates].min() + 1)
    recall = candidate_recall(candidates, models[0].data.split.caption_image)
    share = 100 * candidates.float().mean().item()
    say(
        f"--rerank {options.rerank}: {share:.1f} % of all pairs were scored, each query's best {options.rerank} by the "
        f"cosine of global vectors; a match is among the candidates of {recall['image_to_text']:.1f} % of the images "
        f"and {recall['text_to_image']:.1f} % of the captions"
    )
    summary = {"candidates": options.rerank, "scored": share, "recall": recall}
    return torch.where(candidates, scores, behind), {"rerank": summary}


def main(options: Options) -> None:
    """Print the recall table; write similarities and metrics if asked."""
    models = load_both(options)
    extra: dict[str, Any] = {}
    if options.rerank is None:
        scores = ensemble([score(model.network, model.data, options) for model in models])
    else:
        scores, extra = rerank(models, options)
    title = " and ".join(model.path for model in models)
    title = f"mean of {title}" if len(models) > 1 else title
    metrics = report(scores, models[0].data.split, options, f"{title} on {models[0].name}")
    if extra and options.json is not None:
        save_json(options.json, {**metrics, **extra})


if __name__ == "__main__":
    run(main, Options, defaults={"model_path": MODEL_PATH, "model_path2": MODEL_PATH2, "data_path": DATA_PATH})
