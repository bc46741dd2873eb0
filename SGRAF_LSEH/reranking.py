"""Score only the candidates that the cosine of SGRAF's global vectors finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from SGRAF_LSEH.model import SGRAF
from vse.console import say
from vse.distributed import choose_device
from vse.evaluation.scoring import best_candidates, candidate_recall, encode_data, ensemble, score_candidates
from vse.evaluation.script import EvaluatedModel, progress_bar
from vse.options import EvaluationOptions


def rerank(models: Sequence[EvaluatedModel], count: int, options: EvaluationOptions) -> tuple[Tensor, dict[str, Any]]:
    """Score each query's best candidates by the cosine of the global vectors, the same ones for all models.

    What is no candidate ranks behind all candidates, in the order of the cosines. Processes that have joined share the
    candidates' scores.

    Args:
        count: candidates of a query.

    Returns:
        Scores [N, M], and how much was scored and what recall the candidates allow, for `--json`.
    """
    device = choose_device(options.device)
    networks = [cast(SGRAF, model.network.to(device)) for model in models]
    encodings = [encode_data(network, model.data, device) for network, model in zip(networks, models, strict=True)]
    cosines = ensemble([images.vectors @ captions.vectors.T for images, captions in encodings])
    candidates = best_candidates(cosines, count)
    budget = int(options.memory_budget * 2**30)
    scores = ensemble(
        [
            score_candidates(network, *encoded, candidates, budget, device, progress_bar, share=True)
            for network, encoded in zip(networks, encodings, strict=True)
        ]
    )
    behind = cosines - (cosines.max() - scores[candidates].min() + 1)
    recall = candidate_recall(candidates, models[0].data.split.caption_image)
    share = 100 * candidates.float().mean().item()
    say(
        f"--rerank {count}: {share:.1f} % of all pairs were scored, each query's best {count} by the "
        f"cosine of global vectors; a match is among the candidates of {recall['image_to_text']:.1f} % of the images "
        f"and {recall['text_to_image']:.1f} % of the captions"
    )
    summary = {"candidates": count, "scored": share, "recall": recall}
    return torch.where(candidates, scores, behind), summary
