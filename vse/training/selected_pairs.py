"""Training pairwise scorers in bounded memory: gradients through the selected pairs only, or block by block."""

from __future__ import annotations

import torch
from torch import Tensor

from vse.losses.objective import Objective, Pairs
from vse.nn.network import Encoding, PairScorer


def training_scores(
    network: PairScorer, images: Encoding, captions: Encoding, objective: Objective, pairs: Pairs
) -> Tensor:
    """Scores [B, B] whose gradient is exact for `objective`, computed through as few pairs as it needs.

    An objective that looks at the hardest negatives only (`sparse_gradient`) has a gradient of zero at all but at most
    3 B of the B x B scores. All are then computed without gradient, and those few once more with it.
    """
    if torch.is_grad_enabled() and objective.sparse_gradient and not network.dense_only:
        return selected_pair_scores(network, images, captions, objective, pairs)
    return network.similarity(images, captions)


def selected_pair_scores(
    network: PairScorer, images: Encoding, captions: Encoding, objective: Objective, pairs: Pairs
) -> Tensor:
    """Scores [B, B] that carry a gradient only where `objective` has one, and at the matching pairs.

    The values are those of the one dense pass, to the last bit: rounding in the second pass cannot select other pairs.
    Dropout must have happened in the encodings, which both passes share.
    """
    with torch.no_grad():
        dense = network.similarity(images, captions)
    leaf = dense.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(objective(leaf, pairs), leaf)
    # The matching pairs always, so that every parameter has a gradient, be it zero, when no pair costs anything.
    selected = (gradient != 0).fill_diagonal_(True).nonzero(as_tuple=True)
    scores = network.similarity_of_pairs(images, captions, *selected)
    return dense.index_put(selected, scores - scores.detach(), accumulate=True)


def selected_pair_loss(
    network: PairScorer, images: Encoding, captions: Encoding, objective: Objective, pairs: Pairs
) -> Tensor:
    """`objective` of the scores of B images and their B captions; see `training_scores`."""
    loss: Tensor = objective(training_scores(network, images, captions, objective, pairs), pairs)
    return loss
