"""LSEH: hinge whose margin grows with the semantic similarity of the negative."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from vse.losses.hinge import hinges
from vse.losses.objective import Objective, Pairs
from vse.losses.semantics import Normalise, description_similarity


class LSEH(Objective):
    """Semantically enhanced hard negatives: margin[i, j] = margin + semantic_weight * similarity of captions i and j.

    Gong & Cosma, "Improving visual-semantic embeddings by learning semantically-enhanced hard negatives for
    cross-modal information retrieval", Pattern Recognition 137, 2023. The nearer a negative is in meaning, the further
    it must stay behind. The same margins [image, caption] serve both directions. The defaults compute what the
    published code computes, for any number of captions per image.

    Args:
        margin: margin of an unrelated negative (alpha; 0.07 in GSMN).
        semantic_weight: what similarity 1 adds to it (lambda; 0.05 in GSMN).
        max_violation: each query's hardest negative instead of the sum over all.
        semantic_normalise: see `description_similarity`.
        semantic_symmetrise: average the similarity of i to j and of j to i (only `cosine` is symmetric of itself).
        same_image: what other captions of the image are: negatives with margin 0 (published), no negatives at all
            (`exclude`), or negatives like any other (`keep`).
        same_image_key: `legacy_div5` compares image ids with caption ids // 5, as the published code does even where
            images have one caption each and unrelated pairs lose their margin by it.
    """

    needs_descriptions = True

    def __init__(
        self,
        margin: float = 0.185,
        semantic_weight: float = 0.025,
        max_violation: bool = False,
        semantic_normalise: Normalise = "rowmax",
        semantic_symmetrise: bool = False,
        same_image: Literal["zero_margin", "exclude", "keep"] = "zero_margin",
        same_image_key: Literal["image_ids", "legacy_div5"] = "image_ids",
    ) -> None:
        super().__init__()
        self.margin = margin
        self.semantic_weight = semantic_weight
        self.max_violation = self.sparse_gradient = max_violation
        self.semantic_normalise: Normalise = semantic_normalise
        self.semantic_symmetrise = semantic_symmetrise
        self.same_image = same_image
        self.same_image_key = same_image_key

    def margins(self, pairs: Pairs) -> Tensor:
        """[B, B] in the type of the descriptions; -inf where a pair is no negative."""
        assert pairs.descriptions is not None, "LSEH needs Pairs.descriptions"
        margins = description_similarity(pairs.descriptions, self.semantic_normalise)
        if self.semantic_symmetrise:
            margins = (margins + margins.T).div_(2)
        margins.mul_(self.semantic_weight).add_(self.margin)
        if self.same_image != "keep":
            columns = pairs.image_ids if self.same_image_key == "image_ids" else pairs.caption_ids // 5
            same = pairs.image_ids[:, None] == columns[None, :]
            margins.masked_fill_(same, 0.0 if self.same_image == "zero_margin" else -torch.inf)
        return margins.fill_diagonal_(-torch.inf)

    def directions(self, scores: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
        return hinges(scores, self.margins(pairs).to(scores.dtype), self.max_violation)
