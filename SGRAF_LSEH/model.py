"""SGRAF: similarity vectors between words and regions, reasoned over (SGR) or filtered (SAF) into one score.

Diao, Zhang, Ma, Lu, "Similarity Reasoning and Filtration for Image-Text Matching", AAAI 2021. Two networks share the
encoders' design and are trained apart, `module_name` says which; "SGRAF" is the mean of their score matrices.

A word attends to the regions and is compared with what it sees; a caption's global vector is compared with the image's.
The comparisons, vectors of S numbers, are the nodes of a small graph per (image, caption) pair (`nodes.py`).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from SGRAF_LSEH.nodes import similarity_nodes
from vse.attention import EPSILON, caption_blocks, rows_within, word_mask
from vse.batches import Batch
from vse.encoders import CaptionGRU, Network, l2norm, xavier_uniform_linear
from vse.errors import InputError
from vse.pairs import checkpointed

DROPOUT = 0.4  # of word vectors and of both global vectors' attention; constant in the published code


class Regions(NamedTuple):
    """Images as the scorer sees them."""

    features: Tensor  # [B, R, D]
    vectors: Tensor  # [B, D] global vectors


class Words(NamedTuple):
    """Captions as the scorer sees them."""

    features: Tensor  # [B, T, D], 0 at padding
    lengths: Tensor  # [B] int64
    vectors: Tensor  # [B, D] global vectors


class RegionProjection(nn.Module):
    """Linear map of each region into the joint space: [B, R, F] -> [B, R, D]."""

    def __init__(self, img_dim: int, embed_size: int, normalise: bool) -> None:
        super().__init__()
        self.fc = xavier_uniform_linear(nn.Linear(img_dim, embed_size))
        self.normalise = normalise

    def forward(self, images: Tensor) -> Tensor:
        regions = self.fc(images)
        return l2norm(regions, eps=EPSILON) if self.normalise else regions


class WordStates(CaptionGRU):
    """The GRU's state at each word: [B, T] ids -> [B, T, D], 0 at padding."""

    def __init__(
        self, vocab_size: int, word_dim: int, embed_size: int, num_layers: int, bidirectional: bool, normalise: bool
    ) -> None:
        super().__init__(vocab_size, word_dim, embed_size, num_layers, bidirectional, DROPOUT)
        self.normalise = normalise

    def forward(self, captions: Tensor, lengths: Tensor) -> Tensor:
        states = super().forward(captions, lengths)
        return l2norm(states, eps=EPSILON) if self.normalise else states


class SelfAttention(nn.Module):
    """One vector for a set of local features, weighted by their agreement with the mean (section 3.1).

    Images (`regions` given): both branches pass a BatchNorm, the local one with the rank of the region as its channel,
    so that the number of regions is fixed and their order matters. Captions: no BatchNorm, any number of words.
    """

    def __init__(self, size: int, regions: int | None = None) -> None:
        super().__init__()

        def branch(channels: int | None) -> nn.Sequential:
            normalisation = [] if channels is None else [nn.BatchNorm1d(channels)]
            linear = xavier_uniform_linear(nn.Linear(size, size))
            return nn.Sequential(linear, *normalisation, nn.Tanh(), nn.Dropout(DROPOUT))

        self.embedding_local = branch(regions)
        self.embedding_global = branch(None if regions is None else size)
        self.embedding_common = nn.Sequential(xavier_uniform_linear(nn.Linear(size, 1)))

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """[B, K, D] features, 0 where `mask` [B, K] is False -> [B, D]."""
        count = features.shape[1] if mask is None else mask.sum(1, keepdim=True)
        mean = features.sum(1) / count
        agreement = self.embedding_local(features) * self.embedding_global(mean)[:, None]
        logits = self.embedding_common(agreement).squeeze(-1)
        if mask is not None:
            logits = logits.masked_fill(~mask, -torch.inf)
        weights = torch.softmax(logits, dim=1)
        return l2norm((weights[:, None] @ features).squeeze(1), eps=EPSILON)


class GraphReasoning(nn.Module):
    """One step of similarity graph reasoning (section 3.3, equations 7 and 8): no residual, no normalisation."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.graph_query_w = xavier_uniform_linear(nn.Linear(size, size))
        self.graph_key_w = xavier_uniform_linear(nn.Linear(size, size))
        self.sim_graph_w = xavier_uniform_linear(nn.Linear(size, size))

    def edges(self, receivers: Tensor, nodes: Tensor, mask: Tensor | None) -> Tensor:
        """[..., K, S] receiving nodes, [..., N, S] nodes -> attention [..., K, N], 0 where `mask` [..., N] is False."""
        # softmax_j((Wq x_i + bq).(Wk x_j + bk)) = softmax_j((Wk' Wq x_i + Wk' bq).x_j): what does not depend on j
        # cancels, and with it bk. Its gradient is 0, not absent, so that the optimizer sees every parameter.
        query, key = self.graph_query_w, self.graph_key_w
        weight, bias = key.weight.T @ query.weight, query.bias @ key.weight + 0 * key.bias
        logits = F.linear(receivers, weight, bias) @ nodes.mT
        if mask is not None:
            logits = logits.masked_fill(~mask[..., None, :], -torch.inf)
        return torch.softmax(logits, dim=-1)

    def forward(self, receivers: Tensor, nodes: Tensor, mask: Tensor | None) -> Tensor:
        """[..., K, S], [..., N, S] -> [..., K, S]: the receiving nodes after one step."""
        return F.relu(self.sim_graph_w(self.edges(receivers, nodes, mask) @ nodes))


class Moments(NamedTuple):
    """Mean and variance (biased) of each caption's logits over all images and nodes, and over how many: [c] each."""

    mean: Tensor
    variance: Tensor
    count: Tensor


class AttentionFiltration(nn.Module):
    """Similarity attention filtration (section 3.4, equations 9 and 10): a gate per node, and the gated sum.

    The published code scores one caption at a time, so that its one-channel BatchNorm sees one caption's logits against
    all images of the batch: a caption has moments of its own, and the running moments are updated once per caption.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.attn_sim_w = xavier_uniform_linear(nn.Linear(size, 1))
        self.bn = nn.BatchNorm1d(1)

    def moments(self, logits: Tensor, mask: Tensor | None) -> Moments:
        """[n, c, N] logits of all images, mask [c, N] -> what each caption is normalised with in training."""
        if mask is None:
            mask = torch.ones_like(logits[0], dtype=torch.bool)
        count = len(logits) * mask.sum(-1)
        mean = (logits * mask).sum((0, 2)) / count
        variance = ((logits - mean[:, None]).square() * mask).sum((0, 2)) / count
        return Moments(mean, variance, count)

    def gates(self, nodes: Tensor, mask: Tensor | None) -> tuple[Tensor, Moments | None]:
        """[n, c, N, S] nodes -> gates [n, c, N] that sum to 1, and in training the moments they were made with."""
        logits = self.attn_sim_w(nodes).squeeze(-1)
        moments = self.moments(logits, mask) if self.training else None
        mean, variance = (self.bn.running_mean, self.bn.running_var) if moments is None else moments[:2]
        normalised = (logits - mean[:, None]) * (variance[:, None] + self.bn.eps).rsqrt()
        gates = torch.sigmoid(normalised * self.bn.weight + self.bn.bias)
        if mask is not None:
            gates = gates * mask
        return gates / (gates.sum(-1, keepdim=True) + EPSILON), moments

    def forward(self, nodes: Tensor, mask: Tensor | None) -> tuple[Tensor, Moments | None]:
        """[n, c, N, S] nodes -> [n, c, S], and in training the moments for `update`."""
        gates, moments = self.gates(nodes, mask)
        return l2norm((gates[..., None, :] @ nodes).squeeze(-2), eps=EPSILON), moments

    @torch.no_grad()
    def update(self, moments: Moments) -> None:
        """The running moments after one BatchNorm update per caption, in the given order, in closed form."""
        bn, captions = self.bn, len(moments.mean)
        assert bn.momentum is not None
        assert bn.running_mean is not None
        assert bn.running_var is not None
        age = torch.arange(captions - 1, -1, -1, device=moments.mean.device)
        share = bn.momentum * (1 - bn.momentum) ** age
        for running, observed in (
            (bn.running_mean, moments.mean),
            (bn.running_var, moments.variance * moments.count / (moments.count - 1)),
        ):
            running.mul_((1 - bn.momentum) ** captions).add_((share * observed).sum())
        bn.num_batches_tracked += captions


class SimilarityEncoder(nn.Module):
    """Encoded images and captions -> scores in (0, 1); the published `sim_enc`, its parameter names kept."""

    def __init__(self, module_name: str, embed_size: int, sim_dim: int, num_regions: int, sgr_step: int) -> None:
        super().__init__()
        self.v_global_w = SelfAttention(embed_size, num_regions)
        self.t_global_w = SelfAttention(embed_size)
        self.sim_tranloc_w = xavier_uniform_linear(nn.Linear(embed_size, sim_dim))
        self.sim_tranglo_w = xavier_uniform_linear(nn.Linear(embed_size, sim_dim))
        self.sim_eval_w = xavier_uniform_linear(nn.Linear(sim_dim, 1))
        if module_name == "SGR":
            self.SGR_module = nn.ModuleList(GraphReasoning(sim_dim) for _ in range(sgr_step))
        else:
            self.SAF_module = AttentionFiltration(sim_dim)

    def nodes(self, images: _Block, captions: _Block, workspace: Tensor) -> Tensor:
        raise NotImplementedError
