"""Soft labels: InfoNCE, and a target distribution over the batch from the captions' similarity in meaning."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from vse.errors import InputError
from vse.losses.objective import Pairs, Roles, described
from vse.losses.semantics import description_similarity
from vse.losses.temperature import TemperatureObjective, cross_entropy
from vse.options import SameImage


@dataclass(eq=False, repr=False)
class SoftLabels(TemperatureObjective):
    """InfoNCE + soft_weight * KL(softmax(similarity of captions / soft_temperature) || softmax(logits)).

    The cross-modal part of Huang et al., "Cross-modal and uni-modal soft-label alignment for image-text retrieval",
    AAAI 2024 (CUSA). Their teachers are pretrained encoders of images and of captions; here the cosine of description
    vectors teaches both directions, so that it takes descriptions that mean something. The uni-modal part is left out:
    it needs projections of its own in the network. A query whose caption has no description learns from InfoNCE alone.

    Args:
        temperature: where the temperature starts; its logarithm is learned with the network.
        soft_weight: weight of the divergence.
        soft_temperature: of the teacher's distribution.

    Raises:
        InputError: `soft_temperature` is not above 0.
    """

    soft_weight: float = 0.1
    soft_temperature: float = 0.45
    same_image: SameImage = field(default="positive", kw_only=True)

    needs_descriptions = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.soft_temperature > 0:
            raise InputError(f"soft_temperature {self.soft_temperature}: expected a number above 0, such as 0.45")

    def costs(self, logits: Tensor, roles: Roles, pairs: Pairs) -> Tensor:
        """Return cross-entropy and divergence from the teacher."""
        similarity = description_similarity(described(pairs), "cosine").to(logits.dtype)
        others = ~(roles.positives | roles.negatives)
        teacher = torch.log_softmax((similarity / self.soft_temperature).masked_fill(others, -torch.inf), dim=1)
        student = torch.log_softmax(logits.masked_fill(others, -torch.inf), dim=1)
        gap = (teacher - student).masked_fill(others, 0.0)
        divergence = (teacher.exp() * gap).sum(dim=1).masked_fill(similarity.diagonal() == 0, 0.0)
        return cross_entropy(logits, roles) + self.soft_weight * divergence
