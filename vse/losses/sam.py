"""SAM: hinge whose margin shrinks with the semantic similarity of the negative."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from torch import Tensor

from vse.losses.hinge import hinges
from vse.losses.objective import Objective, Pairs, described
from vse.losses.semantics import description_similarity
from vse.options import SameImage


@dataclass(eq=False, repr=False)
class SAM(Objective):
    """Semantic adaptive margin: margin[i, j] = margin - semantic_weight * cosine of captions i and j.

    After Biten et al., "Is an image worth five sentences?", WACV 2022: a negative that means nearly the same may score
    nearly the same, the opposite of what LSEH asks. They measure meaning by CIDEr against all captions of the image,
    in a table computed beforehand, and have a temperature in place of the weight; here it is the cosine of the two
    captions' description vectors. Other captions of the same image are ignored.

    Args:
        margin: margin of an unrelated negative.
        semantic_weight: what cosine 1 takes off it; the default leaves a paraphrase no margin. Both defaults are ours.
        max_violation: each query's hardest negative instead of the sum over all.
    """

    margin: float = 0.2
    semantic_weight: float = 0.2
    max_violation: bool = False
    same_image: SameImage = field(default="ignore", kw_only=True)

    needs_descriptions = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.sparse_gradient = self.max_violation

    def directions(self, scores: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Return the sums of hinges with semantic margins."""
        margins = description_similarity(described(pairs), "cosine").mul_(-self.semantic_weight).add_(self.margin)
        return hinges(scores, margins.to(scores.dtype), self.roles(pairs), self.max_violation)

    def sum_form(self) -> Objective | None:
        """Return SAM without `max_violation`; None if it already is."""
        return replace(self, max_violation=False) if self.max_violation else None
