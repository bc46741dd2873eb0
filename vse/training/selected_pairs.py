"""Train pairwise networks in bounded memory: gradients go through the pairs that the objective selects."""

from __future__ import annotations

import torch
from torch import Tensor

from vse.losses.objective import Objective, Pairs
from vse.nn.network import CaptionsT, ImagesT, PairwiseNetwork
from vse.nn.precision import full_float32
from vse.nn.transfer import send


def training_scores(
    network: PairwiseNetwork[ImagesT, CaptionsT],
    images: ImagesT,
    captions: CaptionsT,
    objective: Objective,
    pairs: Pairs,
) -> Tensor:
    """Score B images against B captions -> [B, B], with the gradient through as few pairs as `objective` needs.

    The gradient of an objective of hardest negatives (`sparse_gradient`) is zero at all but at most 3 B of the B x B
    scores. All scores are then computed without gradient, and the selected ones again with it.
    """
    if torch.is_grad_enabled() and objective.sparse_gradient and not network.dense_only:
        return selected_pair_scores(network, images, captions, objective, pairs)
    return network.similarity(images, captions)


def selected_pair_scores(
    network: PairwiseNetwork[ImagesT, CaptionsT],
    images: ImagesT,
    captions: CaptionsT,
    objective: Objective,
    pairs: Pairs,
) -> Tensor:
    """Score B images against B captions -> [B, B], with a gradient only where `objective` has one and on the diagonal.

    The values are those of the dense pass to the last bit: rounding in the second pass cannot select other pairs.
    Dropout belongs into the encodings, which both passes share.
    """
    with torch.no_grad():
        dense = network.similarity(images, captions)
    leaf = dense.detach().requires_grad_()
    with full_float32():  # as where the loss is computed: both must choose the same pairs
        (gradient,) = torch.autograd.grad(objective(leaf, pairs), leaf)
    # With the matching pairs, every parameter has a gradient, even if no pair costs anything.
    # The only wait for the device in a step: how many pairs there are decides on the blocks.
    selected = (gradient != 0).fill_diagonal_(True).cpu().nonzero(as_tuple=True)
    if len(selected[0]) > 3 * len(dense):  # SelHN averages over all negatives where training stands still
        return network.similarity(images, captions)
    scores = network.similarity_of_pairs(images, captions, *selected)
    places = send(torch.stack(selected), dense.device).unbind()
    return dense.index_put(places, scores - scores.detach(), accumulate=True)
