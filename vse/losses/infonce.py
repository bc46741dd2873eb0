"""InfoNCE: each query classifies its partner among the items of the batch."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from vse.losses.objective import Pairs, Roles
from vse.losses.temperature import TemperatureObjective, cross_entropy
from vse.options import SameImage


@dataclass(eq=False, repr=False)
class InfoNCE(TemperatureObjective):
    """Symmetric cross-entropy over rows and columns of scores / temperature, mean over the batch and both directions.

    van den Oord et al., "Representation learning with contrastive predictive coding", 2018; symmetric and with a
    learned temperature: Radford et al., "CLIP", ICML 2021. Captions of one image that meet in a batch are all right
    answers, in equal shares (the outer form of Khosla et al., "Supervised contrastive learning", NeurIPS 2020, eq. 2).

    Args:
        temperature: where the temperature starts; its logarithm is learned with the network.
    """

    same_image: SameImage = field(default="positive", kw_only=True)

    def costs(self, logits: Tensor, roles: Roles, pairs: Pairs) -> Tensor:
        """Return the cross-entropy of each query's positives."""
        return cross_entropy(logits, roles)
