"""VSRN: visual semantic reasoning over the regions of an image, matched with captions in a joint space.

Li, Zhang, Li, Li, Fu, "Visual Semantic Reasoning for Image-Text Matching", ICCV 2019. Regions exchange information
along their learned affinities (four graph convolutions); a GRU then reads them in order, and its last state embeds the
image. A GRU over word vectors embeds the caption. In training a second branch generates the caption from the reasoned
regions (`captioning.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.utils.rnn import pack_padded_sequence

from vse.data.batches import ImageBatch, PairBatch
from vse.nn.attention import word_mask
from vse.nn.encoders import CaptionEmbedding, l2norm, order_similarity, xavier_uniform_linear
from vse.nn.network import EmbeddingNetwork, Embeddings
from vse.nn.recurrence import GRU
from VSRN_LSEH.captioning import Captioner


@dataclass(frozen=True, eq=False)
class ReasonedImages(Embeddings):
    """Images as retrieval reads them (`vectors`), and as the caption-generation branch does."""

    regions: Tensor  # [B, R, E] after the region reasoning


class RealRegions(NamedTuple):
    """Which of the regions [B, R] of a batch are real and not padding."""

    mask: Tensor  # [B, R, 1] float32
    counts: Tensor  # [B, 1, 1] float32
    rows: Tensor  # [regions] int64, their places among the B * R rows

    @classmethod
    def of(cls, lengths: Tensor, size: int, device: torch.device) -> RealRegions:
        """Describe images of `lengths` [B] regions on the host, padded to `size`."""
        inside = word_mask(lengths, size, lengths.device)
        rows = inside.flatten().nonzero().squeeze(-1)
        mask = inside.unsqueeze(-1).to(device, torch.float32, non_blocking=True)
        return cls(mask, mask.sum(1, keepdim=True), rows.to(device, non_blocking=True))


class PointwiseConvolution(nn.Conv1d):
    """A 1x1 convolution E -> E with the original weight [E, E, 1], applied to regions as one matrix product."""

    bias: Tensor

    def __init__(self, size: int) -> None:
        super().__init__(size, size, kernel_size=1)

    @property
    def matrix(self) -> Tensor:
        """The weight as a matrix [E, E]."""
        return self.weight.squeeze(-1)

    def forward(self, regions: Tensor) -> Tensor:
        """Map regions [..., E] -> [..., E]."""
        return linear(regions, self.matrix, self.bias)


class RegionReasoning(nn.Module):
    """One graph convolution over fully connected regions with a residual connection (section 3.2).

    With affinities A = theta(V) phi(V)^T / R, without a softmax, V* = BatchNorm(W A g(V)) + V. The BatchNorm's scale
    starts at 0: the block starts as the identity.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.g = PointwiseConvolution(size)
        self.W = nn.Sequential(PointwiseConvolution(size), nn.BatchNorm1d(size))
        self.theta = PointwiseConvolution(size)
        self.phi = PointwiseConvolution(size)
        nn.init.zeros_(self.W[1].get_parameter("weight"))

    def forward(self, regions: Tensor, real: RealRegions | None = None) -> Tensor:
        """Reason over regions V [B, R, E], of which the `real` ones count and others are 0 -> V* [B, R, E]."""
        # To map B R rows twice costs 2 B R E^2 products; once, by the product of both weights, B R E^2 + E^3.
        merged = regions[..., 0].numel() > regions.shape[2] and not torch.onnx.is_in_onnx_export()
        affinity = self._affinity(regions, merged) / (regions.shape[1] if real is None else real.counts)
        if real is None:
            return self._received(affinity, regions, merged).view_as(regions) + regions
        changed = self._received(affinity, regions, merged, real).to(regions.dtype)
        return torch.zeros_like(regions).flatten(0, 1).index_copy(0, real.rows, changed).view_as(regions) + regions

    def _affinity(self, regions: Tensor, merged: bool) -> Tensor:
        """Compute theta(V) phi(V)^T -> [B, R, R]."""
        if not merged:
            return self.theta(regions) @ self.phi(regions).transpose(1, 2)
        theta, phi = self.theta, self.phi
        queries = linear(regions, phi.matrix.T @ theta.matrix, theta.bias @ phi.matrix)
        constant = regions @ (phi.bias @ theta.matrix) + theta.bias @ phi.bias  # theta(V) times the bias of phi
        return queries @ regions.transpose(1, 2) + constant[..., None]

    def _received(self, affinity: Tensor, regions: Tensor, merged: bool, real: RealRegions | None = None) -> Tensor:
        """Compute BatchNorm(W A g(V)) -> [regions, E], one row for each real region."""
        mapping, normalise = cast(PointwiseConvolution, self.W[0]), self.W[1]

        def collect(sent: Tensor) -> Tensor:
            rows = (affinity @ (sent if real is None else sent * real.mask)).flatten(0, 1)
            return rows if real is None else rows.index_select(0, real.rows)

        if not merged:
            return self.W(collect(self.g(regions)))
        mapped = linear(collect(regions), mapping.matrix @ self.g.matrix, mapping.bias)
        ones = torch.ones_like(regions[..., :1])
        return normalise(torch.addmm(mapped, collect(ones), (mapping.matrix @ self.g.bias)[None]))  # what g's bias adds


class ImageEncoder(nn.Module):
    """Embed images by reasoning over their regions and reading them with a GRU (sections 3.2 and 3.3).

    State-dict names are those of the original code: `fc`, `Rs_GCN_1` ... `Rs_GCN_4`, `img_rnn`, `bn`. The arguments are
    those of `VSRN`.
    """

    def __init__(
        self,
        img_dim: int,
        embed_size: int,
        use_abs: bool = False,
        no_imgnorm: bool = False,
        final_batchnorm: bool = False,
        region_norm_axis: Literal["regions", "features"] = "regions",
    ) -> None:
        super().__init__()
        self.use_abs = use_abs
        self.no_imgnorm = no_imgnorm
        self.region_norm_dim = {"regions": 1, "features": 2}[region_norm_axis]
        self.fc = xavier_uniform_linear(nn.Linear(img_dim, embed_size))
        self.img_rnn = GRU(embed_size, embed_size, batch_first=True)
        self.Rs_GCN_1 = RegionReasoning(embed_size)
        self.Rs_GCN_2 = RegionReasoning(embed_size)
        self.Rs_GCN_3 = RegionReasoning(embed_size)
        self.Rs_GCN_4 = RegionReasoning(embed_size)
        self.bn = nn.BatchNorm1d(embed_size) if final_batchnorm else None

    def forward(self, images: Tensor, lengths: Tensor | None = None) -> ReasonedImages:
        """Encode regions [B, R, D], the first `lengths` [B] of each image -> vectors [B, E] and regions [B, R, E].

        Lengths are on the host; without them all regions count. Padding has no influence and stays 0.
        """
        regions = self.fc(images)
        real = None if lengths is None else RealRegions.of(lengths, images.shape[1], images.device)
        if real is not None:
            regions = regions * real.mask
        if self.bn is None:
            regions = l2norm(regions, self.region_norm_dim)
        for reasoning in (self.Rs_GCN_1, self.Rs_GCN_2, self.Rs_GCN_3, self.Rs_GCN_4):
            regions = reasoning(regions, real)
        regions = l2norm(regions, self.region_norm_dim)

        read = regions if lengths is None else pack_padded_sequence(regions, lengths, True, enforce_sorted=False)
        embedding = self.img_rnn(read)[1][-1]
        if self.bn is not None:
            embedding = self.bn(embedding)
        if not self.no_imgnorm:
            embedding = l2norm(embedding)
        if self.use_abs:
            embedding = embedding.abs()
        return ReasonedImages(embedding, regions)


class VSRN(EmbeddingNetwork):
    """VSRN; the defaults are those of the original code.

    Args:
        vocab_size: token ids.
        img_dim: D, the size of a region's features.
        embed_size: E, the size of the joint space and of the regions within the network.
        word_dim, num_layers: size of the word vectors, layers of the caption GRU.
        use_abs: take absolute values of both embeddings.
        no_imgnorm: do not normalise image embeddings.
        measure: `cosine` scores by inner products, `order` by order violations (Vendrov et al., ICLR 2016).
        final_batchnorm: add a BatchNorm after the GRU over the regions and do not normalise the projected regions. The
            original code builds the network this way for Flickr30K (and IAPR TC-12 under that name) only.
        region_norm_axis: `regions` normalises each feature over the regions of its image, as the original code does;
            `features` makes each region a unit vector, which the authors later called more reasonable.
        captioning: build the caption-generation branch; dim_hidden, dim_word, input_dropout_p, bidirectional and
            max_len are arguments of `Captioner`.
        captioner_updates: how often the optimizer lists the parameters of the branch; 2 in the original code, 1 is
            what it meant.
    """

    def __init__(
        self,
        vocab_size: int,
        img_dim: int = 2048,
        embed_size: int = 2048,
        word_dim: int = 300,
        num_layers: int = 1,
        *,
        use_abs: bool = False,
        no_imgnorm: bool = False,
        measure: Literal["cosine", "order"] = "cosine",
        final_batchnorm: bool = False,
        region_norm_axis: Literal["regions", "features"] = "regions",
        captioning: bool = True,
        dim_hidden: int = 512,
        dim_word: int = 300,
        input_dropout_p: float = 0.2,
        bidirectional: bool = False,
        max_len: int = 60,
        captioner_updates: int = 2,
    ) -> None:
        super().__init__()
        self.measure = measure
        self.bounded_scores = measure == "cosine" and not no_imgnorm
        self.captioner_updates = captioner_updates
        self.smallest_batch = 1 + final_batchnorm
        self.image_encoder = ImageEncoder(img_dim, embed_size, use_abs, no_imgnorm, final_batchnorm, region_norm_axis)
        self.caption_encoder = CaptionEmbedding(vocab_size, word_dim, embed_size, num_layers, use_abs)
        self.captioner = (
            Captioner(vocab_size, embed_size, dim_hidden, dim_word, input_dropout_p, bidirectional, max_len)
            if captioning
            else None
        )

    def encode_images(self, images: ImageBatch) -> Embeddings:
        """Encode regions [B, R, D] -> vectors [B, E]; in training with the regions that captions are generated from."""
        encoded: ReasonedImages = self.image_encoder(self.see(images).images, images.region_lengths)
        return encoded if self.training and self.captioner is not None else Embeddings(encoded.vectors)

    def scored(self, images: Embeddings) -> Embeddings:
        """Drop the regions, which only the captioner reads."""
        return Embeddings(images.vectors)

    def similarity(self, images: Embeddings, captions: Embeddings) -> Tensor:
        """Score n images against m captions by `measure` -> [n, m]."""
        if self.measure == "order":
            return order_similarity(images.vectors, captions.vectors)
        return super().similarity(images, captions)

    def extra_loss(self, batch: PairBatch, images: Embeddings, captions: Embeddings) -> dict[str, Tensor]:
        """Compute the captioning loss, with weight 1; the captions of the batch are its labels."""
        if self.captioner is None or not isinstance(images, ReasonedImages):
            return {}
        loss = self.captioner.loss(images.regions, batch.captions, batch.lengths, batch.region_lengths)
        return {"captioning": loss}

    def import_published(self, parts: list[Mapping[str, Tensor]], options: Mapping[str, Any]) -> dict[str, Tensor]:
        """Translate a checkpoint of the original code; the captioner, which it lacks, keeps its weights."""
        captioner = {name: tensor for name, tensor in self.state_dict().items() if name.startswith("captioner.")}
        return captioner | super().import_published(parts, options)

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """List captions, images, then the captioner `captioner_updates` times, in one group.

        A parameter that is listed twice counts twice in the gradient norm, is clipped twice and gets two Adam updates a
        step.
        """
        [group] = super().parameter_groups(learning_rate)
        if self.captioner is not None:
            group["params"] += [*self.captioner.parameters()] * self.captioner_updates
        return [group]
