"""NeighborRetr: weight hubs, learn from good neighbours, and encourage every item to be retrieved equally often."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vse.errors import InputError
from vse.losses.memory import Queue
from vse.losses.objective import Pairs, Roles
from vse.losses.temperature import TemperatureObjective, cross_entropy

SINKHORN_STEPS = 50
"""As in the original code."""


@dataclass(eq=False, repr=False)
class NeighborRetr(TemperatureObjective):
    """Balance hubs while training: three terms for every query, mean over queries and over both directions.

    Lin et al., "NeighborRetr: Balancing hub centrality in cross-modal retrieval", CVPR 2025. With S the scores:

    1. Centrality weighting: exp(centrality_scale * c) times InfoNCE, where c is the mean cosine of the query with the
       batch's items of its own modality.
    2. Neighbour adjusting: cross-entropy of softmax(S) over the query and its `neighbors` best wrong answers, with
       soft targets: 1 for the partner and softmax(neighbor_scale * (S - h)) for the neighbours, normalised. h is the
       mean score of a candidate with the bank's items of the other modality, so that a hub counts less. S and h are
       each scaled by the range of the candidates that are no neighbours, as in the original code.
    3. Uniform regularisation: cross-entropy of softmax(neighbor_scale * S) with plan_weight * P + (1 - plan_weight) *
       identity, where P is the Sinkhorn plan of S / plan_temperature that retrieves every item equally often.

    The original method has two levels, tokens and merged tokens of a CLIP network. A network of this repository has
    one, which both share, and the divergence between them is 0. The original code has the option of the plan's
    temperature, 0.1, but does not read it, which is `plan_temperature` 1. It fills its bank before every epoch and
    pushes batches; here the bank is the last `bank_size` pairs. Gradients flow through the weights of terms 1 and 2,
    as in the original code, but not into the bank's scores.

    Args:
        temperature: where the temperature of InfoNCE starts; its logarithm is learned with the network.
        centrality_scale: how much a central item weighs more.
        neighbors: wrong answers that may be right, at most those there are.
        neighbor_scale: inverse temperature of terms 2 and 3.
        plan_weight: share of the plan in the targets of term 3 (beta).
        plan_temperature: of the plan.
        bank_size: pairs in the bank.

    Raises:
        InputError: a constant is out of range.
    """

    centrality_scale: float = 0.3
    neighbors: int = 20
    neighbor_scale: float = 3.0
    plan_weight: float = 0.7
    plan_temperature: float = 0.1
    bank_size: int = 512

    needs_embeddings = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("neighbors", "bank_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)}: expected a number of at least 1")
        if not self.plan_temperature > 0:
            raise InputError(f"plan_temperature {self.plan_temperature}: expected a number above 0, such as 0.1")
        self.queue = Queue(self.bank_size)

    def directions(self, scores: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Return the three terms of both directions, and remember the batch in the bank."""
        images, captions = pairs.images, pairs.captions
        if images is None or captions is None:
            raise ValueError("this objective needs Pairs.images and Pairs.captions")
        roles = self.roles(pairs)
        plan = sinkhorn(scores / self.plan_temperature, roles)
        logits = scores * self.inverse_temperature()
        centralities = self._bank_scores(images, captions)
        image_to_text = (
            self._weighted(logits, images, roles)
            + self._adjusted(scores, centralities[1], roles)
            + self._uniform(scores, plan, roles)
        )
        text_to_image = (
            self._weighted(logits.T, captions, roles)
            + self._adjusted(scores.T, centralities[0], roles)
            + self._uniform(scores.T, plan.T, roles)
        )
        self.queue.push(images, captions)
        return image_to_text.mean() / 2, text_to_image.mean() / 2

    @torch.no_grad()
    def _bank_scores(self, images: Tensor, captions: Tensor) -> tuple[Tensor, Tensor]:
        """Mean score of each image with the bank's captions and of each caption with its images, [B] twice."""
        if not len(self.queue):
            return images.new_zeros(len(images)), captions.new_zeros(len(captions))
        return images @ self.queue.captions.mean(dim=0), captions @ self.queue.images.mean(dim=0)

    def _weighted(self, logits: Tensor, queries: Tensor, roles: Roles) -> Tensor:
        centrality = torch.nn.functional.normalize(queries, dim=1)
        centrality = centrality @ centrality.mean(dim=0)
        return (self.centrality_scale * centrality).exp() * cross_entropy(logits, roles)

    def _adjusted(self, scores: Tensor, hubness: Tensor, roles: Roles) -> Tensor:
        best = scores.detach().masked_fill(~roles.negatives, -torch.inf).topk(min(self.neighbors, len(scores)), dim=1)
        neighbors = torch.zeros_like(roles.negatives).scatter(1, best.indices, best.values.isfinite())
        far = roles.negatives & ~neighbors
        adjusted = _scaled(scores, far) - _scaled(hubness.expand_as(scores), far)
        exponents = (self.neighbor_scale * adjusted).masked_fill(~neighbors, -torch.inf)
        alone = ~neighbors.any(dim=1, keepdim=True)
        targets = torch.softmax(exponents.masked_fill(alone, 0.0), dim=1).masked_fill(~neighbors, 0.0)
        targets = torch.where(roles.positives, 1.0, targets)
        return _soft_cross_entropy(scores, targets / targets.sum(dim=1, keepdim=True), roles.positives | neighbors)

    def _uniform(self, scores: Tensor, plan: Tensor, roles: Roles) -> Tensor:
        own = roles.positives / roles.positives.sum(dim=1, keepdim=True)
        targets = self.plan_weight * plan + (1 - self.plan_weight) * own
        return _soft_cross_entropy(self.neighbor_scale * scores, targets, roles.positives | roles.negatives)


@torch.no_grad()
def sinkhorn(logits: Tensor, roles: Roles) -> Tensor:
    """Return the matrix diag(u) exp(logits) diag(v) whose columns, and nearly whose rows, add up to 1, [B, B]."""
    kernel = (logits - logits.amax(dim=1, keepdim=True)).exp()
    kernel = kernel.masked_fill(~(roles.positives | roles.negatives), 0.0)
    columns = torch.ones_like(kernel[0])
    for _ in range(SINKHORN_STEPS):
        rows = 1 / (kernel @ columns)
        columns = 1 / (rows @ kernel)
    return rows[:, None] * kernel * columns


def _scaled(values: Tensor, where: Tensor) -> Tensor:
    """Values [B, B] minus the smallest entry of each row that counts, over the range; 0 in rows without a range."""
    smallest = values.masked_fill(~where, torch.inf).amin(dim=1, keepdim=True)
    largest = values.masked_fill(~where, -torch.inf).amax(dim=1, keepdim=True)
    flat = ~(largest > smallest)
    span = (largest - smallest).masked_fill(flat, 1.0)
    return ((values - smallest.masked_fill(flat, 0.0)) / span).masked_fill(flat, 0.0)


def _soft_cross_entropy(logits: Tensor, targets: Tensor, where: Tensor) -> Tensor:
    """Cross-entropy of each row's softmax over the entries that count with targets, [B]."""
    logs = torch.log_softmax(logits.masked_fill(~where, -torch.inf), dim=1)
    return -(targets * logs.masked_fill(~where, 0.0)).sum(dim=1)
