"""Similarity of the captions of a batch, from their description vectors."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

Normalise = Literal["rowmax", "cosine", "self"]


def description_similarity(descriptions: Tensor, normalise: Normalise) -> Tensor:
    """Similarity of description vectors [B, K], no gradient: [B, B]. A zero vector is like nothing, itself included.

    Args:
        normalise: what the inner products G are divided by: `rowmax`, the largest of each row, as LSEH's published
            code does under the name of a cosine (at most 1, not symmetric); `self`, the diagonal of each row;
            `cosine`, both norms.
    """
    descriptions = descriptions.detach()
    similarity = descriptions @ descriptions.T
    if normalise == "cosine":
        norms = similarity.diagonal().sqrt()
        norms = norms.masked_fill(norms == 0, 1.0)
        return similarity.div_(norms[:, None]).div_(norms)
    scale = similarity.amax(dim=1) if normalise == "rowmax" else similarity.diagonal().clone()
    return similarity.div_(scale.masked_fill(scale == 0, 1.0)[:, None])
