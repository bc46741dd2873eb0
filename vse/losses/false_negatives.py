"""A filter that takes probable false negatives out of the negatives of any objective."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vse.errors import InputError
from vse.losses.semantics import description_similarity


@dataclass(frozen=True)
class Gist:
    """Drop a negative whose caption is nearly as close in meaning to the query's caption as that caption is to itself.

    A caption j is no negative of image i, nor image j of caption i, where sim[i, j] > sim[i, i] - margin, or
    sim[i, j] > ratio * sim[i, i]; sim is the cosine of description vectors, so that sim[i, i] is 1. Source: GISTEmbed
    (Solatorio, arXiv 2402.16829) with the absolute margin of sentence-transformers, and the ratio of NV-Retriever
    (de Souza P. Moreira et al., arXiv 2407.15831). A caption without a description (a zero vector) keeps all its
    negatives.

    Args:
        margin: 0.05 unless `ratio` is given.
        ratio: share of the similarity with itself above which a negative is dropped, such as 0.95; infinity drops
            nothing.

    Raises:
        InputError: both are given, the ratio is not above 0, or the margin is negative.
    """

    margin: float | None = None
    ratio: float | None = None

    def __post_init__(self) -> None:
        if self.margin is not None and self.ratio is not None:
            raise InputError(f"gist_margin {self.margin}: is another form of gist_ratio, give one of them")
        if self.margin is None and self.ratio is None:
            object.__setattr__(self, "margin", 0.05)
        if self.margin is not None and not self.margin >= 0:
            raise InputError(f"gist_margin {self.margin}: expected a number of at least 0, such as 0.05")
        if self.ratio is not None and not self.ratio > 0:
            raise InputError(f"gist_ratio {self.ratio}: expected a number above 0, such as 0.95")

    def suspects(self, descriptions: Tensor) -> Tensor:
        """Return which pairs of descriptions [B, K] are too close to be negatives: bool [B, B], symmetric."""
        similarity = description_similarity(descriptions, "cosine")
        threshold = self.ratio if self.ratio is not None else 1.0 - (self.margin or 0.0)
        described = similarity.diagonal() > 0
        return (similarity > threshold) & described[:, None] & described[None, :]
