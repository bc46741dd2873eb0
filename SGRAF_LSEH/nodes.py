"""The similarity vectors of SGRAF, computed for blocks of images x captions.

The vectors are the nodes that SGR reasons over and SAF filters (Diao et al. 2021, section 3.2). For each image-word
pair the original code keeps several tensors of size E for the backward pass; here only the result of size S is kept
and the rest is computed again, which costs a fifth of the forward pass.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

from vse.nn.attention import attention_over_regions, inner_products
from vse.nn.encoders import NORM_EPSILON

TEMPERATURE = 9.0  # inverse temperature of the attention over regions, constant in the original code


def similarity_nodes(
    regions: Tensor,
    gram: Tensor,
    image_vectors: Tensor,
    words: Tensor,
    caption_vectors: Tensor,
    local_map: nn.Linear,
    global_map: nn.Linear,
    workspace: Tensor,
) -> Tensor:
    """Compute the similarity vectors of n images x m captions -> unit vectors [n, m, 1 + T, S], the global one first.

    Word k of a caption against an image gives l2norm(W (u_k - w_k)^2 + b), where u_k is the normalised context that the
    word attends to (equations 3 to 5). The global vectors are compared in the same way with other weights (equation 6).

    Args:
        regions: [n, R, E].
        gram: [n, R, R], `regions @ regions.mT`.
        image_vectors: [n, E].
        words: [m, T, E], or [n, m, T, E] for other captions per image; 0 at padding.
        caption_vectors: [m, E], or [n, m, E].
        local_map, global_map: linear maps E -> S of words and of global vectors.
        workspace: [rows, E] scratch memory of the same type, rows >= m * T; as many images are taken at a time as fit.
    """
    return _SimilarityNodes.apply(
        regions,
        gram,
        image_vectors,
        words,
        caption_vectors,
        local_map.weight,
        local_map.bias,
        global_map.weight,
        global_map.bias,
        workspace,
    )


def _context_weights(regions: Tensor, gram: Tensor, words: Tensor) -> Tensor:
    """Attention over regions [n, m * T, R], scaled so that the weighted sum of the regions has length 1.

    The length of the sum is sqrt(a' G a) with the regions' Gram matrix G; the sum itself is not needed.
    """
    weights = attention_over_regions(inner_products(regions, words), TEMPERATURE).flatten(1, 2)
    squared = torch.linalg.vecdot(weights @ gram, weights)
    return weights / (squared.clamp(min=torch.finfo(squared.dtype).tiny).sqrt() + NORM_EPSILON)[..., None]


def _own(captions: Tensor, images: slice, shared_dims: int) -> Tensor:
    """Captions of these images: all captions if the images share them."""
    return captions if captions.ndim == shared_dims else captions[images]


def _difference(weights: Tensor, regions: Tensor, words: Tensor, workspace: Tensor) -> Tensor:
    """u - w of the [n, m * T] image-word pairs, in the workspace: [n, m * T, E]."""
    out = workspace[: weights.shape[0] * weights.shape[1]].view(*weights.shape[:2], -1)
    return torch.bmm(weights, regions, out=out).sub_(words.flatten(-3, -2))


def _normalised(values: Tensor, out: Tensor) -> Tensor:
    """Write l2norm(values) to `out` and return the norms."""
    norms = torch.linalg.vector_norm(values, dim=-1)
    torch.div(values, (norms + NORM_EPSILON)[..., None], out=out)
    return norms


def _normalised_backward(gradient: Tensor, result: Tensor, norms: Tensor) -> Tensor:
    """Gradient of x = l2norm(y): (g - (y / |y|) (x.g)) / (|y| + eps), and 0 for a zero vector."""
    along = torch.linalg.vecdot(result, gradient) * (1 + NORM_EPSILON / norms)
    scale = torch.where(norms > 0, 1 / (norms + NORM_EPSILON), 0)
    return torch.addcmul(gradient, result, along[..., None].nan_to_num(), value=-1).mul_(scale[..., None])


class _SimilarityNodes(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        regions: Tensor,
        gram: Tensor,
        image_vectors: Tensor,
        words: Tensor,
        caption_vectors: Tensor,
        local_weight: Tensor,
        local_bias: Tensor,
        global_weight: Tensor,
        global_bias: Tensor,
        workspace: Tensor,
    ) -> Tensor:
        captions, length = words.shape[-3:-1]
        nodes = regions.new_empty(len(regions), captions, 1 + length, len(local_weight))
        norms = regions.new_empty(len(regions), captions, 1 + length)
        for images in _blocks(len(regions), captions * length, workspace):
            own_words = _own(words, images, 3)
            weights = _context_weights(regions[images], gram[images], own_words)
            squared = _difference(weights, regions[images], own_words, workspace).square_()
            local = linear(squared, local_weight, local_bias).unflatten(1, (captions, length))
            norms[images, :, 1:] = _normalised(local, nodes[images, :, 1:])
        squared = (image_vectors[:, None] - caption_vectors).square_()
        norms[:, :, 0] = _normalised(linear(squared, global_weight, global_bias), nodes[:, :, 0])
        ctx.save_for_backward(
            regions, gram, image_vectors, words, caption_vectors, local_weight, global_weight, nodes, norms
        )
        ctx.workspace = workspace
        return nodes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        regions, gram, image_vectors, words, caption_vectors, local_weight, global_weight, nodes, norms = (
            ctx.saved_tensors
        )
        captions, length = words.shape[-3:-1]

        outer = _normalised_backward(gradients[0][:, :, 0], nodes[:, :, 0], norms[:, :, 0])
        difference = image_vectors[:, None] - caption_vectors
        d_global_weight = outer.flatten(0, 1).T @ difference.square().flatten(0, 1)
        d_global_bias = outer.sum((0, 1))
        d_difference = (outer @ global_weight).mul_(difference).mul_(2)
        d_image_vectors = d_difference.sum(1)
        d_caption_vectors = -(d_difference.sum(0) if caption_vectors.ndim == 2 else d_difference)

        d_local_weight, d_local_bias = torch.zeros_like(local_weight), local_weight.new_zeros(len(local_weight))
        d_regions, d_gram, d_words = torch.empty_like(regions), torch.empty_like(gram), torch.zeros_like(words)
        workspace, scratch, twice = ctx.workspace, torch.empty_like(ctx.workspace), 2 * local_weight
        for images in _blocks(len(regions), captions * length, workspace):
            with torch.enable_grad():
                own_regions, own_gram, own_words = leaves = [
                    part.detach().requires_grad_() for part in (regions[images], gram[images], _own(words, images, 3))
                ]
                weights = _context_weights(own_regions, own_gram, own_words)
            difference = _difference(weights.detach(), regions[images], own_words.detach(), workspace)
            outer = _normalised_backward(gradients[0][images, :, 1:], nodes[images, :, 1:], norms[images, :, 1:])
            outer = outer.flatten(0, 2)
            d_context = scratch[: len(outer)].view_as(difference)
            torch.square(difference, out=d_context)
            d_local_weight.addmm_(outer.T, d_context.flatten(0, 1))
            d_local_bias += outer.sum(0)
            torch.mm(outer, twice, out=d_context.flatten(0, 1))
            d_context.mul_(difference)
            d_weights = d_context @ regions[images].mT
            d_regions[images], d_gram[images], d_own_words = torch.autograd.grad(weights, leaves, d_weights)
            d_regions[images].baddbmm_(weights.detach().mT, d_context)
            if words.ndim == 3:
                d_words += d_own_words - d_context.sum(0).view_as(words)
            else:
                d_words[images] = d_own_words - d_context.view_as(own_words)
        return (
            d_regions,
            d_gram,
            d_image_vectors,
            d_words,
            d_caption_vectors,
            d_local_weight,
            d_local_bias,
            d_global_weight,
            d_global_bias,
            None,
        )


def _blocks(images: int, words: int, workspace: Tensor) -> list[slice]:
    """Slices of the images whose image-word pairs fit into the workspace."""
    step = max(1, len(workspace) // words)
    return [slice(start, min(start + step, images)) for start in range(0, images, step)]
