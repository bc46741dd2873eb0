"""The pair scorer of SGRAF: global vectors, reasoning (SGR), filtration (SAF), and the blocks they are computed in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from SGRAF_LSEH.nodes import similarity_nodes
from vse.nn.attention import caption_blocks, rows_within, word_mask
from vse.nn.checkpointing import checkpointed
from vse.nn.encoders import NORM_EPSILON, l2norm, xavier_uniform_linear
from vse.nn.network import RegionSet, WordSet

DROPOUT = 0.4  # of word vectors and of both global vectors' attention; constant in the published code


@dataclass(frozen=True, eq=False)
class VisualRepresentations(RegionSet):
    """Images as the scorer reads them (section 3.1)."""

    vectors: Tensor  # [N, E] global vectors


@dataclass(frozen=True, eq=False)
class TextualRepresentations(WordSet):
    """Captions as the scorer reads them (section 3.1)."""

    vectors: Tensor  # [M, E] global vectors


class SelfAttention(nn.Module):
    """One vector for a set of local features, weighted by their agreement with the mean (section 3.1).

    Images (`regions` given): both branches pass a BatchNorm, the local one with the rank of the region as its channel,
    so that the number of regions is fixed and their order matters. Captions: no BatchNorm, any number of words.
    """

    def __init__(self, size: int, regions: int | None = None) -> None:
        super().__init__()

        def branch(channels: int | None) -> nn.Sequential:
            normalisation = [] if channels is None else [nn.BatchNorm1d(channels)]
            mapping = xavier_uniform_linear(nn.Linear(size, size))
            return nn.Sequential(mapping, *normalisation, nn.Tanh(), nn.Dropout(DROPOUT))

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
        return l2norm((weights[:, None] @ features).squeeze(1), eps=NORM_EPSILON)


class GraphReasoning(nn.Module):
    """One step of similarity graph reasoning (section 3.3, equations 7 and 8): no residual, no normalisation."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.graph_query_w = xavier_uniform_linear(nn.Linear(size, size))
        self.graph_key_w = xavier_uniform_linear(nn.Linear(size, size))
        self.sim_graph_w = xavier_uniform_linear(nn.Linear(size, size))

    def affinity(self) -> tuple[Tensor, Tensor]:
        """Weight [S, S] and bias [S] of the map after which a receiver's products with the nodes are its logits.

        softmax_j((Wq x_i + bq).(Wk x_j + bk)) = softmax_j((Wk' Wq x_i + Wk' bq).x_j): what is the same for all j
        cancels, and with it bk. Its gradient is 0, not absent, so that the optimizer sees every parameter.
        """
        query, key = self.graph_query_w, self.graph_key_w
        return key.weight.T @ query.weight, query.bias @ key.weight + 0 * key.bias

    def edges(self, affinity: tuple[Tensor, Tensor], receivers: Tensor, nodes: Tensor, mask: Tensor | None) -> Tensor:
        """[..., K, S] receiving nodes, [..., N, S] nodes -> attention [..., K, N], 0 where `mask` [..., N] is False."""
        # Receivers last: the softmax over the second last dimension is the fast one for as few nodes as these.
        logits = nodes @ linear(receivers, *affinity).mT
        if mask is not None:
            logits = logits.masked_fill(~mask[..., None], -torch.inf)
        return torch.softmax(logits, dim=-2).mT

    def forward(self, affinity: tuple[Tensor, Tensor], receivers: Tensor, nodes: Tensor, mask: Tensor | None) -> Tensor:
        """As `edges` -> [..., K, S], the receiving nodes after one step."""
        return self.sim_graph_w(self.edges(affinity, receivers, nodes, mask) @ nodes).relu_()


class Moments(NamedTuple):
    """Mean and (biased) variance of each caption's logits over all images and nodes, and their number: [c] each."""

    mean: Tensor
    variance: Tensor
    size: Tensor


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
        size = len(logits) * mask.sum(-1)
        mean = (logits * mask).sum((0, 2)) / size
        variance = ((logits - mean[:, None]).square() * mask).sum((0, 2)) / size
        return Moments(mean, variance, size)

    def gates(self, nodes: Tensor, mask: Tensor | None) -> tuple[Tensor, Moments | None]:
        """[n, c, N, S] nodes -> gates [n, c, N] that sum to 1, and in training the moments they were made with."""
        logits = self.attn_sim_w(nodes).squeeze(-1)
        mean, variance, moments = self.bn.running_mean, self.bn.running_var, None
        if self.training:
            moments = self.moments(logits, mask)
            mean, variance = moments.mean, moments.variance
        assert mean is not None and variance is not None  # noqa: PT018
        normalised = (logits - mean[:, None]) * (variance[:, None] + self.bn.eps).rsqrt()
        gates = torch.sigmoid(normalised * self.bn.weight + self.bn.bias)
        if mask is not None:
            gates = gates * mask
        return gates / (gates.sum(-1, keepdim=True) + NORM_EPSILON), moments

    def forward(self, nodes: Tensor, mask: Tensor | None) -> tuple[Tensor, Moments | None]:
        """[n, c, N, S] nodes -> [n, c, S], and in training the moments for `update`."""
        gates, moments = self.gates(nodes, mask)
        return l2norm((gates[..., None, :] @ nodes).squeeze(-2), eps=NORM_EPSILON), moments

    @torch.no_grad()
    def update(self, moments: Moments) -> None:
        """The running moments after one BatchNorm update per caption, in the given order, in closed form."""
        bn, captions = self.bn, len(moments.mean)
        assert bn.momentum is not None and bn.running_mean is not None  # noqa: PT018
        assert bn.running_var is not None and bn.num_batches_tracked is not None  # noqa: PT018
        age = torch.arange(captions - 1, -1, -1).to(moments.mean)
        share = bn.momentum * (1 - bn.momentum) ** age
        for running, observed in (
            (bn.running_mean, moments.mean),
            (bn.running_var, moments.variance * moments.size / (moments.size - 1)),
        ):
            running.mul_((1 - bn.momentum) ** captions).add_((share * observed).sum())
        bn.num_batches_tracked += captions


class Shared(NamedTuple):
    """What all blocks of one call have in common."""

    workspace: Tensor  # [rows, D] scratch memory
    affinities: list[tuple[Tensor, Tensor]]  # of the graph reasoning steps


class SimilarityEncoder(nn.Module):
    """Encoded images and captions -> scores in (0, 1); the published `sim_enc`, its parameter names kept.

    Any block sizes; the work is cut so that its temporaries take about half of `memory_budget` bytes. In training SAF
    keeps the similarity vectors of all pairs for the backward pass, 4 S bytes per image and word; the images must then
    be all those of the batch, since each caption is normalised over all of them.
    """

    def __init__(
        self, module_name: str, embed_size: int, sim_dim: int, num_regions: int, sgr_step: int, memory_budget: int
    ) -> None:
        super().__init__()
        self.memory_budget = memory_budget
        self.v_global_w = SelfAttention(embed_size, num_regions)
        self.t_global_w = SelfAttention(embed_size)
        self.sim_tranloc_w = xavier_uniform_linear(nn.Linear(embed_size, sim_dim))
        self.sim_tranglo_w = xavier_uniform_linear(nn.Linear(embed_size, sim_dim))
        self.sim_eval_w = xavier_uniform_linear(nn.Linear(sim_dim, 1))
        self.filters = module_name == "SAF"
        if self.filters:
            self.SAF_module = AttentionFiltration(sim_dim)
        else:
            self.SGR_module = nn.ModuleList(GraphReasoning(sim_dim) for _ in range(sgr_step))
        # An image-word pair needs its attention, u - w, and S numbers a few times over, each graph step three times.
        self.bytes_per_row = 4 * (3 * num_regions + embed_size + (6 + 3 * (0 if self.filters else sgr_step)) * sim_dim)

    def forward(self, images: VisualRepresentations, captions: TextualRepresentations) -> Tensor:
        """n images, m captions -> scores [n, m]."""
        count = len(images.features)
        lengths = captions.lengths
        gram = images.features @ images.features.mT
        shared = self._shared(captions)
        # With gradients, and for moments over all images, blocks are cut along the captions only: the gradients of
        # slices of the images would be padded to all images again, block by block.
        all_images = torch.is_grad_enabled() or (self.filters and self.training)
        score = partial(self._score, shared)
        if not self.filters:
            score = partial(checkpointed, score)
        if all_images:
            words = min(self.memory_budget // 2 // self.bytes_per_row // count, len(shared.workspace))
        else:
            words = len(shared.workspace) // min(count, 8)
        order, columns, moments = [], [], []
        for index, length in caption_blocks(lengths, words):
            taken = _take(captions, lengths, index, length)
            step = count if all_images else max(1, len(shared.workspace) // (len(index) * length))
            results = []
            for start in range(0, count, step):
                block = slice(start, start + step)
                seen = images.features[block], gram[block], images.vectors[block]
                results.append(score(*seen, *taken))
            order.append(index)
            columns.append(torch.cat([scores for scores, _ in results]))
            moments.append(results[0][1])
        back = torch.cat(order).argsort().to(gram.device)
        if self.filters and self.training:
            self.SAF_module.update(Moments(*(torch.cat(part)[back] for part in zip(*moments, strict=True))))
        return torch.cat(columns, dim=1).index_select(1, back)

    def pairs(
        self,
        images: VisualRepresentations,
        captions: TextualRepresentations,
        image_index: Tensor,
        caption_index: Tensor,
    ) -> Tensor:
        """Rows [P] of the images and of the captions -> scores [P]."""
        assert not (self.filters and self.training), "in training SAF normalises a caption over all images of the batch"
        lengths = captions.lengths
        gram = images.features @ images.features.mT
        shared = self._shared(captions)
        order, blocks = [], []
        for index, length in caption_blocks(lengths[caption_index.cpu()], len(shared.workspace)):
            chosen = image_index[index.to(image_index.device)]
            regions, own_gram, image_vectors = (
                part.index_select(0, chosen) for part in (images.features, gram, images.vectors)
            )
            words, vectors, mask = _take(captions, lengths, caption_index.cpu()[index], length)
            mask = None if mask is None else mask[:, None]
            scores, _ = self._score(shared, regions, own_gram, image_vectors, words[:, None], vectors[:, None], mask)
            order.append(index)
            blocks.append(scores.squeeze(1))
        return torch.cat(blocks).index_select(0, torch.cat(order).argsort().to(gram.device))

    def _score(
        self,
        shared: Shared,
        regions: Tensor,
        gram: Tensor,
        image_vectors: Tensor,
        words: Tensor,
        caption_vectors: Tensor,
        mask: Tensor | None,
    ) -> tuple[Tensor, Moments | None]:
        """One block, shapes as in `similarity_nodes` -> scores [n, c], and SAF's moments in training."""
        local, overall = self.sim_tranloc_w, self.sim_tranglo_w
        nodes = similarity_nodes(regions, gram, image_vectors, words, caption_vectors, local, overall, shared.workspace)
        moments = None
        if self.filters:
            vectors, moments = self.SAF_module(nodes, mask)
        else:
            for number, (step, affinity) in enumerate(zip(self.SGR_module, shared.affinities, strict=True), start=1):
                # After the last step only the global node is read.
                receivers = nodes if number < len(shared.affinities) else nodes[..., :1, :]
                nodes = step(affinity, receivers, nodes, mask)
            vectors = nodes.squeeze(-2)
        return torch.sigmoid(self.sim_eval_w(vectors).squeeze(-1)), moments

    def _shared(self, captions: TextualRepresentations) -> Shared:
        features = captions.features
        rows = rows_within(self.memory_budget // 2, self.bytes_per_row, features.device)
        workspace = features.new_empty(max(rows, features.shape[1]), features.shape[2])
        if self.filters:
            return Shared(workspace, [])
        return Shared(workspace, [step.affinity() for step in self.SGR_module])  # type: ignore[operator]


def _take(
    captions: TextualRepresentations, lengths: Tensor, index: Tensor, length: int
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Words [c, length, D] and global vectors [c, D] of some captions; the mask of their nodes if any is padding."""
    device = captions.features.device
    mask = None
    if bool((lengths[index] < length).any()):
        mask = word_mask(lengths[index] + 1, length + 1, device)
    index = index.to(device)
    words = captions.features.index_select(0, index)[:, :length].contiguous()
    return words, captions.vectors.index_select(0, index), mask
