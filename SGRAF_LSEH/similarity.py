"""Scores of SGRAF: global vectors, graph reasoning (SGR), attention filtration (SAF), and the blocks of their work.

N nodes of a pair: the global similarity vector and one for each word, N = 1 + T.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from SGRAF_LSEH.nodes import similarity_nodes
from vse.nn.attention import caption_blocks, default_budget, rows_within, shortest_within, word_mask
from vse.nn.checkpointing import checkpointed
from vse.nn.encoders import NORM_EPSILON, l2norm, xavier_uniform_linear
from vse.nn.network import RegionSet, WordSet
from vse.nn.transfer import send

DROPOUT = 0.4  # of word vectors and of the attention of both global vectors; constant in the original code

MOMENTUM = 0.1  # of SAF's running moments, BatchNorm's default


@dataclass(frozen=True, eq=False)
class VisualRepresentations(RegionSet):
    """Images as the scorer reads them (section 3.1)."""

    vectors: Tensor  # [N, E] global vectors


@dataclass(frozen=True, eq=False)
class TextualRepresentations(WordSet):
    """Captions as the scorer reads them (section 3.1)."""

    vectors: Tensor  # [M, E] global vectors


class SelfAttention(nn.Module):
    """Pool local features into a global vector, weighted by their agreement with the mean (section 3.1).

    For images (`regions` given) both branches have a BatchNorm. That of the local branch has the position of the region
    as its channel, so that the number of regions is fixed and their order matters. For captions there is no BatchNorm,
    and any number of words.
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
        """Pool regions [B, R, E] or words [B, T, E], which are 0 where `mask` [B, T] is False -> [B, E]."""
        count = features.shape[1] if mask is None else mask.sum(1, keepdim=True)
        mean = features.sum(1) / count
        agreement = self.embedding_local(features) * self.embedding_global(mean)[:, None]
        logits = self.embedding_common(agreement).squeeze(-1)
        if mask is not None:
            logits = logits.masked_fill(~mask, -torch.inf)
        weights = torch.softmax(logits, dim=1)
        return l2norm((weights[:, None] @ features).squeeze(1), eps=NORM_EPSILON)


class GraphReasoning(nn.Module):
    """One step of similarity graph reasoning, without residual and normalisation (section 3.3, equations 7 and 8)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.graph_query_w = xavier_uniform_linear(nn.Linear(size, size))
        self.graph_key_w = xavier_uniform_linear(nn.Linear(size, size))
        self.sim_graph_w = xavier_uniform_linear(nn.Linear(size, size))

    def affinity(self) -> tuple[Tensor, Tensor]:
        """Merge queries and keys into one linear map: weight [S, S], bias [S].

        softmax_j((Wq x_i + bq).(Wk x_j + bk)) = softmax_j((Wk' Wq x_i + Wk' bq).x_j): terms that are the same for all j
        cancel, and with them bk. Its gradient is 0, not absent, so that the optimizer sees every parameter.
        """
        query, key = self.graph_query_w, self.graph_key_w
        return key.weight.T @ query.weight, query.bias @ key.weight + 0 * key.bias

    def edges(self, affinity: tuple[Tensor, Tensor], receivers: Tensor, nodes: Tensor, mask: Tensor | None) -> Tensor:
        """Attend from receiving nodes to all nodes.

        Args:
            affinity: the result of `affinity`.
            receivers: [..., receivers, S].
            nodes: [..., N, S].
            mask: [..., N] bool, False at padding, which gets weight 0.

        Returns:
            [..., receivers, N], weights that sum to 1 over the nodes.
        """
        # With so few nodes, a softmax over the second last dimension is faster than one over the last.
        logits = nodes @ linear(receivers, *affinity).mT
        if mask is not None:
            logits = logits.masked_fill(~mask[..., None], -torch.inf)
        return torch.softmax(logits, dim=-2).mT

    def forward(self, affinity: tuple[Tensor, Tensor], receivers: Tensor, nodes: Tensor, mask: Tensor | None) -> Tensor:
        """Update the receiving nodes -> [..., receivers, S]; the arguments are those of `edges`."""
        return self.sim_graph_w(self.edges(affinity, receivers, nodes, mask) @ nodes).relu_()


class Moments(NamedTuple):
    """Mean and (biased) variance of each caption's logits over all images and nodes, and their number; [m] each."""

    mean: Tensor
    variance: Tensor
    size: Tensor


class AttentionFiltration(nn.Module):
    """Similarity attention filtration: a gate for each node, and the gated sum (section 3.4, equations 9 and 10).

    The original code scores one caption at a time. Its one-channel BatchNorm therefore normalises the logits of each
    caption by their own moments over all images of the batch, and updates the running moments once per caption.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.attn_sim_w = xavier_uniform_linear(nn.Linear(size, 1))
        self.bn = nn.BatchNorm1d(1, momentum=MOMENTUM)

    def moments(self, logits: Tensor, mask: Tensor | None) -> Moments:
        """Compute the moments of each caption in training: logits [n, m, N] of all images, mask [m, N]."""
        if mask is None:
            mask = torch.ones_like(logits[0], dtype=torch.bool)
        size = len(logits) * mask.sum(-1)
        mean = (logits * mask).sum((0, 2)) / size
        variance = ((logits - mean[:, None]).square() * mask).sum((0, 2)) / size
        return Moments(mean, variance, size)

    def gates(self, nodes: Tensor, mask: Tensor | None) -> tuple[Tensor, Moments | None]:
        """Compute the gates of nodes [n, m, N, S] -> [n, m, N], summing to 1; in training also their moments."""
        logits = self.attn_sim_w(nodes).squeeze(-1)
        moments = None
        mean, variance = self.bn.get_buffer("running_mean"), self.bn.get_buffer("running_var")
        if self.training:
            moments = self.moments(logits, mask)
            mean, variance = moments.mean, moments.variance
        normalised = (logits - mean[:, None]) * (variance[:, None] + self.bn.eps).rsqrt()
        gates = torch.sigmoid(normalised * self.bn.weight + self.bn.bias)
        if mask is not None:
            gates = gates * mask
        return gates / (gates.sum(-1, keepdim=True) + NORM_EPSILON), moments

    def forward(self, nodes: Tensor, mask: Tensor | None) -> tuple[Tensor, Moments | None]:
        """Sum gated nodes [n, m, N, S] -> unit vectors [n, m, S]; in training also the moments for `update`."""
        gates, moments = self.gates(nodes, mask)
        return l2norm((gates[..., None, :] @ nodes).squeeze(-2), eps=NORM_EPSILON), moments

    @torch.no_grad()
    def update(self, moments: Moments) -> None:
        """Update the running moments as one BatchNorm update per caption would, in their order, in closed form."""
        captions = len(moments.mean)
        age = torch.arange(captions - 1, -1, -1, dtype=moments.mean.dtype, device=moments.mean.device)
        share = MOMENTUM * (1 - MOMENTUM) ** age
        for name, observed in (
            ("running_mean", moments.mean),
            ("running_var", moments.variance * moments.size / (moments.size - 1)),
        ):
            self.bn.get_buffer(name).mul_((1 - MOMENTUM) ** captions).add_((share * observed).sum())
        self.bn.get_buffer("num_batches_tracked").add_(captions)


class Shared(NamedTuple):
    """What all blocks of one call share."""

    workspace: Tensor  # [rows, E] scratch memory
    affinities: list[tuple[Tensor, Tensor]]  # of the graph reasoning steps


class SimilarityEncoder(nn.Module):
    """Score encoded images against encoded captions, in (0, 1); parameter names are those of the original `sim_enc`.

    The work is cut into blocks whose temporaries take about half of `memory_budget` bytes (None: `default_budget`). In
    training SAF keeps the similarity vectors of all pairs for the backward pass, 4 S bytes per image and word, and must
    see all images of the batch, over which it normalises each caption.
    """

    def __init__(
        self,
        module_name: str,
        embed_size: int,
        sim_dim: int,
        num_regions: int,
        sgr_step: int,
        memory_budget: int | None = None,
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
        # An image-word pair takes its attention, u - w, and a few similarity vectors, three more per graph step.
        self.bytes_per_row = 4 * (3 * num_regions + embed_size + (6 + 3 * (0 if self.filters else sgr_step)) * sim_dim)

    def forward(self, images: VisualRepresentations, captions: TextualRepresentations) -> Tensor:
        """Score n images against m captions -> [n, m]."""
        count = len(images.features)
        lengths = captions.lengths
        gram = images.features @ images.features.mT
        shared = self._shared(captions, count * len(lengths))
        # With gradients, and for moments over all images, only captions are cut into blocks: each block's gradient of a
        # slice of the images would be padded to all images.
        all_images = torch.is_grad_enabled() or (self.filters and self.training)
        score = partial(self._score, shared)
        if not self.filters:
            score = partial(checkpointed, score)
        if all_images:
            words = min(self.budget(gram.device) // 2 // self.bytes_per_row // count, len(shared.workspace))
        else:
            words = len(shared.workspace) // min(count, 8)
        order, columns, moments = [], [], []
        for index, length in caption_blocks(lengths, words, shortest_within(gram.device)):
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
        back = send(torch.cat(order).argsort(), gram.device)
        if self.filters and self.training:
            self.SAF_module.update(Moments(*(torch.cat(part)[back] for part in zip(*moments, strict=True))))
        return torch.cat(columns, dim=1)[:, back]

    def pairs(
        self,
        images: VisualRepresentations,
        captions: TextualRepresentations,
        image_index: Tensor,
        caption_index: Tensor,
    ) -> Tensor:
        """Score the pairs of image_index[p] and caption_index[p] -> [P].

        Raises:
            RuntimeError: SAF in training, where a score depends on all images of the batch.
        """
        if self.filters and self.training:
            raise RuntimeError("in training SAF normalises a caption over all images of the batch")
        lengths = captions.lengths
        gram = images.features @ images.features.mT
        shared = self._shared(captions, len(image_index))
        order, blocks = [], []
        image_index, caption_index = image_index.cpu(), caption_index.cpu()
        for index, length in caption_blocks(lengths[caption_index], len(shared.workspace)):
            chosen = send(image_index[index], gram.device)
            regions, own_gram, image_vectors = (part[chosen] for part in (images.features, gram, images.vectors))
            words, vectors, mask = _take(captions, lengths, caption_index[index], length)
            mask = None if mask is None else mask[:, None]
            scores, _ = self._score(shared, regions, own_gram, image_vectors, words[:, None], vectors[:, None], mask)
            order.append(index)
            blocks.append(scores.squeeze(1))
        return torch.cat(blocks)[send(torch.cat(order).argsort(), gram.device)]

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
        """Score one block, shapes as in `similarity_nodes` -> [n, m]; in training also SAF's moments."""
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

    def budget(self, device: torch.device) -> int:
        """Return what `memory_budget` is on a device, in bytes."""
        return default_budget(device) if self.memory_budget is None else self.memory_budget

    def _shared(self, captions: TextualRepresentations, pairs: int) -> Shared:
        """Prepare to score a number of pairs."""
        features = captions.features
        rows = rows_within(self.budget(features.device) // 2, self.bytes_per_row, features.device)
        longest = features.shape[1]
        workspace = features.new_empty(max(min(rows, pairs * longest), longest), features.shape[2])
        if self.filters:
            return Shared(workspace, [])
        return Shared(workspace, [step.affinity() for step in self.SGR_module if isinstance(step, GraphReasoning)])


def _take(
    captions: TextualRepresentations, lengths: Tensor, index: Tensor, length: int
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Words [m, length, E] and global vectors [m, E] of some captions; the mask of their nodes if any is padding."""
    device = captions.features.device
    mask = None
    if bool((lengths[index] < length).any()):
        mask = word_mask(lengths[index] + 1, length + 1, device)
    index = send(index, device)
    return captions.features[index][:, :length].contiguous(), captions.vectors[index], mask
