"""HAL: hubness-aware loss, which weights all negatives softly by the batch and, optionally, by a memory bank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from vse.errors import InputError
from vse.losses.memory_bank import MemoryBank
from vse.losses.objective import Objective, Pairs, Roles
from vse.losses.pairs import BankScores
from vse.losses.sum_hinge import SumHinge


@dataclass(eq=False, repr=False)
class HAL(Objective):
    """Take the mean over the batch of the log-sum-exp of each row and column of negatives, less a term of the positive.

    Liu et al., "HAL: Improved text-image matching by mitigating visual semantic hubs", AAAI 2020. With
    X = exp(local_alpha * (S - local_ep)) off the diagonal, a pair costs [log(1 + its row of X) + log(1 + its column)]
    / local_alpha - log(1 + max(0, positive)): a hub, which scores high with many queries, is pushed hardest. The
    defaults are MS-COCO's; Flickr30K has local_alpha 60 and local_ep 0.7.

    With `Pairs.bank` the exponents are weighted by how much of the neighbourhood of a pair is in the bank's nearest
    rows, and the positive by how much is not (global weighting). No gradient flows through weights or bank.

    What the original code computes is the default. Its diagonal leaks a constant into every sum, exp(-local_alpha *
    local_ep), with a bank 1; its `global_ep_nega` is outside the product with global_beta and so barely counts;
    `global_ep_posi` cancels out.

    Args:
        local_alpha, local_ep: scale and threshold of the batch's negatives.
        global_alpha, global_ep_posi: scale and threshold of the positive's weight.
        global_beta, global_ep_nega: scale and threshold of the negatives' weights.
        memory_bank: global weighting; from the first time that `bank` is filled.
        mb_rate: share of the training captions to remember.
        mb_k: nearest rows of the bank that count; at most B of them in the published weighting.
        positive_term: the published term gives a pair that scores 0 or less no gradient, which ends some runs for
            good; `repaired` goes on with slope 1 below 0.
        global_weighting: `repaired` puts the threshold inside the exponent's product, leaves the diagonal out of the
            sums, takes rows of the batch's images out of the bank, and counts mb_k rows whatever B is.
    """

    local_alpha: float = 30.0
    local_ep: float = 0.3
    global_alpha: float = 40.0
    global_beta: float = 40.0
    global_ep_posi: float = 0.2
    global_ep_nega: float = 0.1
    memory_bank: bool = False
    mb_rate: float = 0.05
    mb_k: int = 250
    positive_term: Literal["published", "repaired"] = "published"
    global_weighting: Literal["published", "repaired"] = "published"

    needs_bounded_scores = True
    averaged = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.local_alpha <= 0:
            raise InputError(f"local_alpha {self.local_alpha}: expected a number above 0, such as 30")
        if self.mb_k < 1:
            raise InputError(f"mb_k {self.mb_k}: expected at least 1 neighbour, such as 250")
        self.positive_repaired = self.positive_term == "repaired"
        self.global_repaired = self.global_weighting == "repaired"
        if self.memory_bank:
            self.bank = MemoryBank(self.mb_rate, exclude="images" if self.global_repaired else "captions")

    def sum_form(self) -> Objective:
        """Return the sum of hinges with VSE++'s margin, 0.2, which the paper compares HAL with."""
        return SumHinge(same_image=self.same_image, false_negatives=self.false_negatives)

    def directions(self, scores: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Return the log-sum-exp of the negatives less half the positive term, by rows and by columns."""
        roles = self.roles(pairs)
        exponents = self.local_alpha * (scores - self.local_ep)
        leak, positive_weights = -self.local_alpha * self.local_ep, None
        if pairs.bank is not None:
            negative_weights, positive_weights = self.global_weights(scores.diagonal(), pairs.bank)
            exponents = exponents * negative_weights
            leak = -torch.inf if self.global_repaired else 0.0
        # Each sum begins with 1 and the leak. With their logarithm on the diagonal, the log-sum-exp of a query is the
        # cross-entropy of its diagonal but for a constant, which has one kernel forward and one backward.
        beginning = float(np.logaddexp(0.0, leak))
        others = torch.full_like(scores, -torch.inf).fill_diagonal_(beginning)
        exponents = torch.where(roles.negatives, exponents, others)
        by_rows, by_columns = (
            (beginning - exponents.log_softmax(dim).diagonal().mean()) / self.local_alpha - pull / 2
            for dim, pull in zip((1, 0), self._pulls(scores, positive_weights, roles), strict=True)
        )
        return by_rows, by_columns

    def _pulls(self, scores: Tensor, weights: Tensor | None, roles: Roles) -> tuple[Tensor, Tensor]:
        """Average the attraction of the positives over the queries of each direction, by rows and by columns."""
        if roles.one_positive:
            pull = self._attraction(scores.diagonal(), weights).mean()
            return pull, pull
        weights = None if weights is None else weights[:, None]
        by_rows, by_columns = (
            self._attraction(queries, weights).masked_fill(~roles.positives, 0.0).sum(1) / roles.positives.sum(1)
            for queries in (scores, scores.T)
        )
        return by_rows.mean(), by_columns.mean()

    def _attraction(self, positives: Tensor, weights: Tensor | None) -> Tensor:
        """Return what each positive takes off the cost of its pair."""
        if weights is not None:
            positives = positives * weights
        log = positives.relu().log1p()
        return torch.where(positives > 0, log, positives) if self.positive_repaired else log

    @torch.no_grad()
    def global_weights(self, positives: Tensor, bank: BankScores) -> tuple[Tensor, Tensor]:
        """Weights of the negatives [B, B] (their diagonal means nothing) and of the positives [B], in [0, 1]."""
        k = min(self.mb_k, bank.images.shape[1])
        if not self.global_repaired:
            k = min(k, len(positives))
        image_nearest = bank.images.topk(k, dim=1, sorted=False).values
        caption_nearest = bank.captions.topk(k, dim=1, sorted=False).values

        threshold = self.global_ep_nega * (self.global_beta if self.global_repaired else 1.0)
        image_hubness = _log_sum_exp(self.global_beta * image_nearest) - threshold
        caption_hubness = _log_sum_exp(self.global_beta * caption_nearest) - threshold
        own = self.global_beta * positives
        negative_weights = torch.sigmoid(
            torch.logaddexp(image_hubness[:, None], caption_hubness[None, :])
            - torch.logaddexp(own[:, None], own[None, :])
        )
        image_rivals = _log_sum_exp(self.global_alpha * (image_nearest - self.global_ep_posi))
        caption_rivals = _log_sum_exp(self.global_alpha * (caption_nearest - self.global_ep_posi))
        positive_weights = torch.sigmoid(
            torch.logaddexp(image_rivals, caption_rivals) - self.global_alpha * (positives - self.global_ep_posi)
        )
        return negative_weights, positive_weights

    def constants(self) -> dict[str, Any]:
        """Return the constants, those of the memory bank only if there is one."""
        constants = super().constants()
        return constants if self.memory_bank else {k: v for k, v in constants.items() if not k.startswith(BANK)}

    def diagnose(self, scores: Tensor) -> str | None:
        """Return a warning if the published positive term pulls less than half of the matching pairs."""
        if self.positive_repaired or (scores.diagonal() <= 0).float().mean() <= 0.5:
            return None
        return (
            "hal: more than half of the matching pairs score 0 or less and get no pull from the published positive "
            "term, which ends some runs for good; positive_term repaired pulls them, a lower learning rate may"
        )


BANK = ("mb_", "global_")
"""Beginnings of the names of the constants that only the memory bank reads."""


def _log_sum_exp(exponents: Tensor) -> Tensor:
    """[B, k] -> [B]. A bank whose rows are all excluded says nothing: +inf, which makes every weight 1."""
    log_sum = torch.logsumexp(exponents, dim=1)
    return log_sum.masked_fill(log_sum == -torch.inf, torch.inf)
