"""LSEH: hinge whose margin grows with the semantic similarity of the negative."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from torch import Tensor

from vse.errors import InputError
from vse.losses.hinge import hinges
from vse.losses.objective import Objective, Pairs, described
from vse.losses.semantics import Normalise, description_similarity
from vse.options import SameImage


@dataclass(eq=False, repr=False)
class LSEH(Objective):
    """Semantically enhanced hard negatives: margin[i, j] = margin + semantic_weight * similarity of captions i and j.

    Gong & Cosma, "Improving visual-semantic embeddings by learning semantically-enhanced hard negatives for
    cross-modal information retrieval", Pattern Recognition 137, 2023. The closer a negative is in meaning, the lower it
    must score. The same margins [image, caption] serve both directions. The defaults compute what the
    original code computes, for any number of captions per image.

    Args:
        margin: margin of an unrelated negative (alpha; 0.07 in GSMN).
        semantic_weight: what similarity 1 adds to it (lambda; 0.05 in GSMN).
        max_violation: each query's hardest negative instead of the sum over all.
        semantic_normalise: see `description_similarity`.
        semantic_symmetrise: average the similarity of i to j and of j to i; `cosine` is symmetric anyway.
        same_image: as for every objective; `zero_margin` makes other captions of the image negatives with margin 0,
            as published.
        same_image_key: `legacy_div5` compares image ids with caption ids // 5, as the original code does even where
            images have one caption each and unrelated pairs lose their margin by it.
    """

    margin: float = 0.185
    semantic_weight: float = 0.025
    max_violation: bool = False
    semantic_normalise: Normalise = "rowmax"
    semantic_symmetrise: bool = False
    same_image: SameImage = field(default="zero_margin", kw_only=True)
    same_image_key: Literal["image_ids", "legacy_div5"] = "image_ids"

    same_image_rules: ClassVar[tuple[SameImage, ...]] = ("zero_margin", "negative", "ignore", "positive")
    needs_descriptions = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.sparse_gradient = self.max_violation
        if self.same_image_key == "legacy_div5" and self.same_image != "zero_margin":
            raise InputError(
                f"same_image_key legacy_div5: computes what the original code computes, which has same_image "
                f"zero_margin, not {self.same_image}; leave one of them out"
            )

    def margins(self, pairs: Pairs) -> Tensor:
        """Return the margin of every pair, [B, B] in the type of the descriptions."""
        margins = description_similarity(described(pairs), self.semantic_normalise)
        if self.semantic_symmetrise:
            margins = (margins + margins.T).div_(2)
        margins.mul_(self.semantic_weight).add_(self.margin)
        if self.same_image == "zero_margin":
            columns = pairs.image_ids if self.same_image_key == "image_ids" else pairs.caption_ids // 5
            margins.masked_fill_(pairs.image_ids[:, None] == columns[None, :], 0.0)
        return margins

    def directions(self, scores: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Return the sums of hinges with semantic margins."""
        return hinges(scores, self.margins(pairs).to(scores.dtype), self.roles(pairs), self.max_violation)

    def sum_form(self) -> Objective | None:
        """Return LSEH without `max_violation`; None if it already is."""
        return replace(self, max_violation=False) if self.max_violation else None
