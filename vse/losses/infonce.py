"""InfoNCE: each query picks its partner out of the batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vse.errors import InputError
from vse.losses.objective import Objective, Pairs

SMALLEST_TEMPERATURE = 0.01
"""As in CLIP, whose logits are never scaled by more than 100."""


class InfoNCE(Objective):
    """Symmetric cross-entropy over rows and columns of scores / temperature, mean over the batch and both directions.

    van den Oord et al., "Representation learning with contrastive predictive coding", 2018; symmetric and with a
    learned temperature: Radford et al., "CLIP", ICML 2021. Captions of one image that meet in a batch are all right
    answers, in equal shares (the outer form of Khosla et al., "Supervised contrastive learning", NeurIPS 2020, eq. 2).

    Args:
        temperature: where the temperature starts; its logarithm is learned with the network.
    """

    needs_bounded_scores = True

    def __init__(self, temperature: float = 0.07) -> None:
        super().__init__()
        if not SMALLEST_TEMPERATURE <= temperature < math.inf:
            raise InputError(f"--temperature {temperature}: expected at least {SMALLEST_TEMPERATURE}, such as 0.07")
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)))

    def directions(self, scores: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
        # Clamping the parameter, not its value in the graph: at the bound it still gets a gradient and can come back.
        with torch.no_grad():
            self.log_temperature.clamp_(min=math.log(SMALLEST_TEMPERATURE))
        logits = scores * torch.exp(-self.log_temperature)
        right = (pairs.image_ids[:, None] == pairs.image_ids[None, :]).to(logits.dtype)
        right_logits = (logits * right).sum(dim=1) / right.sum(dim=1), (logits * right).sum(dim=0) / right.sum(dim=0)
        image_to_text = torch.logsumexp(logits, dim=1) - right_logits[0]
        text_to_image = torch.logsumexp(logits, dim=0) - right_logits[1]
        return image_to_text.mean() / 2, text_to_image.mean() / 2
