"""SAM: hinge whose margin shrinks with the semantic similarity of the negative."""

from __future__ import annotations

import torch
from torch import Tensor

from vse.losses.hinge import hinges
from vse.losses.objective import Objective, Pairs
from vse.losses.semantics import description_similarity


class SAM(Objective):
    """Semantic adaptive margin: margin[i, j] = margin - semantic_weight * cosine of captions i and j.

    After Biten et al., "Is an image worth five sentences?", WACV 2022: a negative that means nearly the same may score
    nearly the same, the opposite of what LSEH asks. They measure meaning by CIDEr against all captions of the image,
    in a table computed beforehand, and have a temperature in place of the weight; here it is the cosine of the two
    captions' description vectors. Other captions of the same image are no negatives at all.

    Args:
        margin: margin of an unrelated negative.
        semantic_weight: what cosine 1 takes off it; the default leaves a paraphrase no margin. Both defaults are ours.
        max_violation: each query's hardest negative instead of the sum over all.
    """

    needs_descriptions = True

    def __init__(self, margin: float = 0.2, semantic_weight: float = 0.2, max_violation: bool = False) -> None:
        super().__init__()
        self.margin = margin
        self.semantic_weight = semantic_weight
        self.max_violation = self.sparse_gradient = max_violation

    def directions(self, scores: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
        assert pairs.descriptions is not None, "SAM needs Pairs.descriptions"
        margins = description_similarity(pairs.descriptions, "cosine").mul_(-self.semantic_weight).add_(self.margin)
        margins.masked_fill_(pairs.image_ids[:, None] == pairs.image_ids[None, :], -torch.inf)
        return hinges(scores, margins.to(scores.dtype), self.max_violation)
