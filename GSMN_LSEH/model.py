"""GSMN: nodes of an image's graph are matched with nodes of a caption's graph, then neighbours with neighbours.

Liu, Mao, Zhang, Xie, Wang, Zhang, "Graph Structured Network for Image-Text Matching", CVPR 2020. Regions and words are
the nodes. Each node is compared, block of features by block, with what it attends to on the other side (`matching.py`);
the cosines are its matching vector. A graph convolution over the region graph and the word graph turns matching vectors
into one score (`graphs.py`).

`graph="reference"` computes the scores of the original code, in closed form without tensors for pairs of nodes. There
no node sees another one, and dense and sparse word graphs score alike. `graph="propagate"` mixes neighbours as the
paper describes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from GSMN_LSEH.graphs import (
    KERNELS,
    GaussianKernels,
    GraphConvolution,
    adjacency,
    region_graph,
    region_weights,
    word_graph,
    word_weights,
)
from GSMN_LSEH.matching import Nodes, match, nodes
from vse.data.batches import CaptionBatch, ImageBatch
from vse.errors import InputError
from vse.nn.attention import caption_blocks, default_budget, rows_within, shortest_within, word_mask
from vse.nn.checkpointing import checkpointed
from vse.nn.encoders import RegionProjection, WordStates
from vse.nn.network import PairwiseNetwork, RegionSet, WordSet
from vse.nn.towers.tower import ImageTower
from vse.nn.transfer import send

GRAPHS = ("reference", "propagate")


@dataclass(frozen=True, eq=False)
class VisualGraphs(RegionSet):
    """Images as the scorer reads them: regions and their graph (section 3.1)."""

    graph: Tensor  # [N, R, 8] reference, [N, 8, R, R] propagate
    lengths: Tensor | None = None
    """[N] regions per image, int64, on the host; None: all R. Features are exactly 0 after them."""

    def to(self, device: torch.device | str) -> VisualGraphs:
        """Move the tensors to `device`, except lengths, which stay on the host."""
        return replace(super().to(device), lengths=self.lengths)

    @property
    def padding(self) -> Tensor | None:
        """[N, R] bool, True where an image has no region; None where every image has R."""
        if self.lengths is None:
            return None
        return ~word_mask(self.lengths, self.features.shape[1], self.features.device)


@dataclass(frozen=True, eq=False)
class TextualGraphs(WordSet):
    """Captions as the scorer reads them: words and their graph (section 3.1)."""

    graph: Tensor  # [M, T, 1] reference, [M, T, T] propagate

    def cut(self, longest: int) -> TextualGraphs:
        """Keep the first `longest` words of each caption, and their graph."""
        return replace(self, features=self.features[:, :longest], graph=self.graph[:, :longest, :longest])


class GSMN(PairwiseNetwork[VisualGraphs, TextualGraphs]):
    """GSMN; the defaults are those of the original code.

    Args:
        vocab_size: token ids.
        img_dim: D, the size of a region's features.
        word_dim: size of the word vectors.
        embed_size: E, the size of regions and words, a multiple of `num_block`.
        num_layers: layers of the caption GRU.
        bi_gru: read captions in both directions and average.
        no_imgnorm, no_txtnorm: do not normalise regions, words.
        lambda_softmax: factor of the attention's logits, between regions and words and between words.
        num_block: blocks of features that are compared separately, the size of a matching vector.
        hid_dim: size of a convolved matching vector, a multiple of 8.
        out_dim: outputs of the read-out, which are averaged.
        is_sparse: words are neighbours where a parse connects them (`extras["edges"]`); otherwise all words are.
        graph: "reference" or "propagate".
        memory_budget: bytes that the temporaries of a block of images x captions may take; None: `default_budget`.

    Raises:
        InputError: a size is not the multiple that it must be, or there is no such graph.
    """

    bounded_scores = False

    def __init__(
        self,
        vocab_size: int,
        img_dim: int = 2048,
        word_dim: int = 300,
        embed_size: int = 1024,
        num_layers: int = 1,
        bi_gru: bool = False,
        no_imgnorm: bool = False,
        no_txtnorm: bool = False,
        lambda_softmax: float = 9.0,
        num_block: int = 16,
        hid_dim: int = 32,
        out_dim: int = 1,
        is_sparse: bool = False,
        graph: str = "reference",
        memory_budget: int | None = None,
    ) -> None:
        super().__init__()
        if embed_size % num_block:
            raise InputError(f"embed_size {embed_size}: expected a multiple of num_block, which is {num_block}")
        if hid_dim % KERNELS:
            raise InputError(f"hid_dim {hid_dim}: expected a multiple of {KERNELS}, the kernels of the graphs")
        if graph not in GRAPHS:
            raise InputError(f"graph {graph}: expected reference or propagate")
        self.propagate, self.is_sparse = graph == "propagate", is_sparse
        self.temperature, self.blocks = lambda_softmax, num_block
        self.memory_budget = memory_budget
        self.image_encoder = RegionProjection(img_dim, embed_size, not no_imgnorm)
        self.caption_encoder = WordStates(
            vocab_size, word_dim, embed_size, num_layers, bi_gru, normalise=not no_txtnorm
        )
        self.kernels = GaussianKernels()
        self.region_matching = GraphConvolution(num_block, hid_dim, out_dim, bias=False, propagate=self.propagate)
        self.word_matching = GraphConvolution(num_block, hid_dim, out_dim, bias=True, propagate=self.propagate)

    def encode_images(self, images: ImageBatch) -> VisualGraphs:
        """Encode regions [B, R, D] and `extras["boxes"]` [B, R, 4] in 0 ... 1 -> regions and their graph."""
        build = region_graph if self.propagate else region_weights
        features = self.image_encoder(self.see(images).images)
        if isinstance(self.image_tower, ImageTower):
            boxes = self.image_tower.boxes.expand(len(features), -1, -1)
        else:
            boxes = images.extras["boxes"]
        if images.region_lengths is None:
            return VisualGraphs(features, build(self.kernels, boxes))
        padding = ~word_mask(images.region_lengths, features.shape[1], features.device)
        features = features.masked_fill(padding[..., None], 0.0)
        return VisualGraphs(features, build(self.kernels, boxes, padding), images.region_lengths)

    def encode_captions(self, captions: CaptionBatch) -> TextualGraphs:
        """Encode token ids [B, T], sparse with `extras["edges"]` [B, edges, 2] -> words and their graph."""
        features = self.caption_encoder(captions.captions, captions.lengths)
        size = features.shape[1]
        mask = word_mask(captions.lengths, size, features.device)
        adjacent = adjacency(captions.extras["edges"], captions.lengths, size) if self.is_sparse else None
        if self.propagate:
            graph = word_graph(features, mask, adjacent, self.temperature)
        elif adjacent is None:
            graph = features.new_ones(len(features), size, 1)
        else:
            graph = word_weights(features, mask, adjacent, self.temperature)
        return TextualGraphs(features, captions.lengths, graph)

    def similarity(self, images: VisualGraphs, captions: TextualGraphs) -> Tensor:
        """Score n images against m captions -> [n, m], unbounded, in bounded memory."""
        length = int(captions.lengths.max())
        rows, device = self._rows(images), images.features.device
        with torch.autocast(device.type, enabled=False):
            # Blocks of about as many images as captions prepare as little as possible more than once.
            step = -(-len(images) // max(1, round(len(images) / (rows / length) ** 0.5)))  # equal but for the last
            parts = [images.rows(slice(start, start + step)) for start in range(0, len(images), step)]
            image_blocks = [(nodes(part.features, self.blocks), part.graph, part.padding) for part in parts]
            order, columns = [], []
            for index, longest in caption_blocks(captions.lengths, rows // step, shortest_within(device)):
                words = self._take(captions, index, longest)
                blocks = [checkpointed(self._score, *block, *words) for block in image_blocks]
                columns.append(torch.cat(blocks, dim=1))
                order.append(index)
        back = send(torch.cat(order).argsort(), device)
        return torch.cat(columns)[back].mT

    def similarity_of_pairs(
        self, images: VisualGraphs, captions: TextualGraphs, image_index: Tensor, caption_index: Tensor
    ) -> Tensor:
        """Score the pairs (image_index[p], caption_index[p]) -> [P], as `similarity` does."""
        device = images.features.device
        order, scores = [], []
        with torch.autocast(device.type, enabled=False):
            image_index, caption_index = image_index.cpu(), caption_index.cpu()
            for index, longest in caption_blocks(captions.lengths[caption_index], self._rows(images)):
                own = images.rows(image_index[index])
                words = self._take(captions, caption_index[index], longest)
                regions = nodes(own.features, self.blocks)
                scores.append(self._score(regions, own.graph[:, None], own.padding, *words, pairs=True).squeeze(1))
                order.append(index)
        return torch.cat(scores)[send(torch.cat(order).argsort(), device)]

    def _rows(self, images: VisualGraphs) -> int:
        """Image-word pairs of a block; each takes its inner products twice and the terms of the quadratic forms."""
        count, device = images.features.shape[1], images.features.device
        bytes_per_row = 4 * (2 * self.blocks * count + count * count // 2 + 8 * count)
        budget = default_budget(device) if self.memory_budget is None else self.memory_budget
        return rows_within(budget, bytes_per_row, device)

    def _take(self, captions: TextualGraphs, index: Tensor, length: int) -> tuple[Nodes, Tensor, Tensor]:
        """Captions of `index` [m], cut to `length` words: words as nodes, graph, and mask [m, length]."""
        taken = captions.cut(length).rows(index)
        mask = word_mask(taken.lengths, length, taken.features.device)
        return nodes(taken.features, self.blocks), taken.graph, mask

    def _score(
        self,
        regions: Nodes,
        region_graph: Tensor,
        padding: Tensor | None,
        words: Nodes,
        word_graph: Tensor,
        mask: Tensor,
        *,
        pairs: bool = False,
    ) -> Tensor:
        """Score n images against m captions -> [m, n]; or with `pairs`, image i against caption i -> [m, 1]."""
        region_vectors, word_vectors = match(regions, words, mask, self.temperature, pairs, padding)
        if padding is not None and pairs:
            padding = padding[:, None]
        from_regions = self.region_matching.regions(region_vectors, region_graph, padding)
        return from_regions + self.word_matching.words(word_vectors, word_graph, mask)

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """List captions, images and the two graphs in one group, in the order of the original code."""
        parts = (self.caption_encoder, self.image_encoder, self.kernels, self.region_matching, self.word_matching)
        return [{"params": [p for part in parts for p in part.parameters()], "lr": learning_rate}]

    def import_published(self, parts: list[Mapping[str, Tensor]], options: Mapping[str, Any]) -> dict[str, Tensor]:
        """Translate a checkpoint of the original code: [img_enc, txt_enc, i2t_match_G, t2i_match_G].

        The eight parts of a convolution become one matrix, the keys `weight_g` and `weight_v` those of today's weight
        normalisation. The `params` of the word kernels, which cancel out of every score, are left out.
        """
        image, caption, region, word = parts
        state = {f"image_encoder.{name}": value for name, value in image.items()}
        state |= {f"caption_encoder.{name}": value for name, value in caption.items()}
        for name in ("mean_rho", "mean_theta", "precision_rho", "precision_theta"):
            state[f"kernels.{name}"] = region[f"graph_convolution_1.{name}"].flatten()
        for ours, theirs, matching in (
            ("region_matching", "graph_convolution_1", region),
            ("word_matching", "graph_convolution_3", word),
        ):
            for kind in ("weight", "bias"):
                names = [f"{theirs}.conv_weights.{part}.{kind}" for part in range(KERNELS)]
                if names[0] in matching:
                    state[f"{ours}.convolution.{kind}"] = torch.cat([matching[name] for name in names])
            for layer in ("out_1", "out_2"):
                state[f"{ours}.{layer}.bias"] = matching[f"{layer}.bias"]
                for number, kind in enumerate(("weight_g", "weight_v")):
                    state[f"{ours}.{layer}.parametrizations.weight.original{number}"] = matching[f"{layer}.{kind}"]
        return state
