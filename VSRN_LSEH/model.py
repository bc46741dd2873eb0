"""VSRN: visual semantic reasoning over image regions, matched with captions in one embedding space.

Li, Zhang, Li, Li, Fu, "Visual Semantic Reasoning for Image-Text Matching", ICCV 2019. Regions are connected by their
learned affinity and exchange what they know (four graph convolutions); a GRU then reads them one after the other and
its last state is the image. A GRU over word vectors is the caption. While training, a second branch generates the
caption from the reasoned regions (`captioning.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn.functional import linear

from vse.data.batches import ImageBatch, PairBatch
from vse.nn.encoders import CaptionEmbedding, l2norm, order_similarity, xavier_uniform_linear
from vse.nn.network import EmbeddingNetwork, Embeddings
from vse.nn.recurrence import GRU
from VSRN_LSEH.captioning import Captioner


@dataclass(frozen=True, eq=False)
class ReasonedImages(Embeddings):
    """Images as retrieval reads them (`vectors`), and as the caption-generation branch does."""

    regions: Tensor  # [B, R, E] after the region reasoning


class PointwiseConvolution(nn.Conv1d):
    """A 1x1 convolution D -> D: the published weight [D, D, 1], applied to regions [..., D] as one matrix product."""

    def __init__(self, size: int) -> None:
        super().__init__(size, size, kernel_size=1)

    def forward(self, regions: Tensor) -> Tensor:
        return linear(regions, self.weight.squeeze(-1), self.bias)


class RegionReasoning(nn.Module):
    """One graph convolution over fully connected regions, with a residual connection (region relationship reasoning).

    R = theta(V) phi(V)^T / N, V* = BatchNorm(W R g(V)) + V; regions [B, N, D] -> [B, N, D]. The affinities R go through
    no softmax; the BatchNorm starts at scale 0, so that the block starts as the identity.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.g = PointwiseConvolution(size)
        self.W = nn.Sequential(PointwiseConvolution(size), nn.BatchNorm1d(size))
        self.theta = PointwiseConvolution(size)
        self.phi = PointwiseConvolution(size)
        nn.init.zeros_(self.W[1].get_parameter("weight"))

    def forward(self, regions: Tensor) -> Tensor:
        affinity = self.theta(regions) @ self.phi(regions).transpose(1, 2) / regions.shape[1]
        received = affinity @ self.g(regions)
        return self.W(received.flatten(0, 1)).view_as(regions) + regions


class ImageEncoder(nn.Module):
    """Regions [B, N, F] -> embedding [B, D] and reasoned regions [B, N, D]; any N, any F.

    State-dict names are the published `fc`, `Rs_GCN_1` ... `Rs_GCN_4`, `img_rnn`, `bn`; the arguments are VSRN's.
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

    def forward(self, images: Tensor) -> ReasonedImages:
        regions = self.fc(images)
        if self.bn is None:
            regions = l2norm(regions, self.region_norm_dim)
        for reasoning in (self.Rs_GCN_1, self.Rs_GCN_2, self.Rs_GCN_3, self.Rs_GCN_4):
            regions = reasoning(regions)
        regions = l2norm(regions, self.region_norm_dim)

        embedding = self.img_rnn(regions)[1][-1]
        if self.bn is not None:
            embedding = self.bn(embedding)
        if not self.no_imgnorm:
            embedding = l2norm(embedding)
        if self.use_abs:
            embedding = embedding.abs()
        return ReasonedImages(embedding, regions)


class VSRN(EmbeddingNetwork):
    """The network, at the published sizes by default.

    Args:
        img_dim: F, features per region.
        embed_size: D, of the joint space and of the regions within the network.
        word_dim, num_layers: word vectors and depth of the caption GRU.
        use_abs: absolute values of both embeddings.
        no_imgnorm: leave image embeddings unnormalised.
        measure: `cosine` scores by inner products, `order` by order violations (Vendrov et al., ICLR 2016).
        final_batchnorm: a BatchNorm follows the GRU over the regions, and the projected regions are not normalised: how
            the published code builds the network for Flickr30K (and IAPR TC-12 under that name), for no other data.
        region_norm_axis: `regions` normalises each feature over the regions of its image, as published; `features`
            makes each region a unit vector, which the authors later called more reasonable.
        captioning: build the caption-generation branch; dim_hidden, dim_word, input_dropout_p, bidirectional and
            max_len are the arguments of `Captioner`.
        captioner_updates: how often the optimizer lists the branch's parameters; 2 as published, 1 as intended.
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
        encoded: ReasonedImages = self.image_encoder(images.images)
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
        return {"captioning": self.captioner.loss(images.regions, batch.captions, batch.lengths)}

    def import_published(self, parts: list[Mapping[str, Tensor]], options: Mapping[str, Any]) -> dict[str, Tensor]:
        """The published names; the captioner, which published checkpoints lack, stays as it is."""
        captioner = {name: tensor for name, tensor in self.state_dict().items() if name.startswith("captioner.")}
        return captioner | super().import_published(parts, options)

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """One group: captions, images, then the captioner as often as `captioner_updates` says.

        A parameter listed twice counts twice in the gradient norm, is clipped twice and gets two Adam updates a step.
        That is so only while optimizers go from tensor to tensor, hence the two switches.
        """
        [group] = super().parameter_groups(learning_rate)
        if self.captioner is not None:
            group["params"] += [*self.captioner.parameters()] * self.captioner_updates
            group |= {"foreach": False, "fused": False}
        return [group]
