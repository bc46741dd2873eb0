"""VSE-infinity: visual-semantic embedding whose pooling is learned.

Chen, Hu, Wu, Jiang, Wang, "Learning the Best Pooling Strategy for Visual Semantic Embedding", CVPR 2021. An image is a
set of regions of a detector, or the cells of a CNN's last feature map. A caption is a set of states: of BERT at its
word pieces, or of a bidirectional GRU at its words. The generalised pooling operator (`pooling.py`) turns either set
into a vector; scores are inner products of unit vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from vse.data.batches import ImageBatch
from vse.nn.attention import word_mask
from vse.nn.encoders import NORM_EPSILON, CaptionGRU, l2norm, xavier_uniform_linear
from vse.nn.network import EmbeddingNetwork, Embeddings
from vse.nn.towers.tower import TextTower
from vse.nn.transfer import send
from VSEinfty_LSEH.pooling import GeneralisedPooling

DROPPED = 0.2
"""Fraction of regions that training drops; for grid cells, the maximum fraction."""

BERT_FACTOR = 0.1
"""Fraction of the learning rate for fine-tuning BERT."""


class RegionMLP(nn.Module):
    """Two linear layers D -> E / 2 -> E with BatchNorm and ReLU between them.

    `bns.1` is in the state dicts of the original code, which never uses it.

    Args:
        masked: exclude padding from the statistics of the BatchNorm. In the original code padding counts, which is
            about a sixth of the rows.
    """

    def __init__(self, img_dim: int, embed_size: int, masked: bool = False) -> None:
        super().__init__()
        half = embed_size // 2
        self.layers = nn.ModuleList([nn.Linear(img_dim, half), nn.Linear(half, embed_size)])
        self.bns = nn.ModuleList([nn.BatchNorm1d(half), nn.BatchNorm1d(embed_size)])
        self.bns[1].requires_grad_(False)  # DistributedDataParallel would wait for its gradient
        self.masked = masked

    def forward(self, regions: Tensor, lengths: Tensor) -> Tensor:
        """Map regions [B, R, D], of which the first `lengths` [B] count -> [B, R, E]."""
        if not (self.masked and self.training):
            return self._rows(regions.flatten(0, 1)).unflatten(0, regions.shape[:2])
        inside = word_mask(lengths, regions.shape[1], lengths.device)
        places = send(inside.nonzero().T, regions.device).unbind()
        rows = self._rows(regions[places])
        return rows.new_zeros(*inside.shape, rows.shape[1]).index_put(places, rows)

    def _rows(self, rows: Tensor) -> Tensor:
        return self.layers[1](relu(self.bns[0](self.layers[0](rows))))


class PooledProjection(nn.Module):
    """Project the local features of images into the joint space and pool them.

    Args:
        img_dim: D, the size of a feature.
        embed_size: E, the size of the joint space.
        mlp: add a `RegionMLP` to the linear projection (for regions; for grids a whole CNN is trained).
        normalise: L2-normalise the embedding.
        masked_batchnorm: `masked` of the `RegionMLP`.
    """

    def __init__(
        self, img_dim: int, embed_size: int, mlp: bool, normalise: bool = True, masked_batchnorm: bool = False
    ) -> None:
        super().__init__()
        self.fc = nn.Linear(img_dim, embed_size)
        self.mlp = RegionMLP(img_dim, embed_size, masked_batchnorm) if mlp else None
        self.gpool = GeneralisedPooling()
        self.normalise = normalise
        xavier_uniform_linear(self.fc)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Embed images by features [B, R, D], of which the first `lengths` [B] count -> [B, E]."""
        projected = self.fc(features)
        if self.mlp is not None:
            projected = projected + self.mlp(features, lengths)
        pooled = self.gpool(projected, lengths)
        return l2norm(pooled, eps=NORM_EPSILON) if self.normalise else pooled


class RegionEncoder(PooledProjection):
    """Embed images by their regions; in training each region is dropped with probability 0.2."""

    def __init__(self, img_dim: int, embed_size: int, normalise: bool = True, masked_batchnorm: bool = False) -> None:
        super().__init__(img_dim, embed_size, True, normalise, masked_batchnorm)

    def forward(self, images: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Embed regions [B, R, D], or global features [B, D] as one region each -> [B, E].

        Args:
            lengths: [B], the regions of each image that count; none of them is dropped.
        """
        regions = images[:, None] if images.ndim == 2 else images
        if lengths is None and self.training:
            regions, lengths = drop(regions, DROPPED)
        return super().forward(regions, count(regions) if lengths is None else lengths)


class GridEncoder(PooledProjection):
    """Embed pictures by the cells of a CNN's last feature map (`backbones.GridTower`).

    In training a fifth of the pictures keep all cells; the others lose a share of theirs, uniform in (0.04, 0.2).
    """

    def __init__(self, channels: int, embed_size: int, normalise: bool = True) -> None:
        super().__init__(channels, embed_size, False, normalise)

    def forward(self, cells: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Embed cells [B, R, channels] -> [B, E].

        Args:
            lengths: [B], the cells of each image that count; none of them is dropped.
        """
        if lengths is None and self.training:
            share = torch.rand(len(cells), 1)
            cells, lengths = drop(cells, torch.where(share > DROPPED, DROPPED * share, 0.0))
        return super().forward(cells, count(cells) if lengths is None else lengths)


class WordEncoder(CaptionGRU):
    """Embed captions by the pooled states of a bidirectional GRU over word vectors."""

    def __init__(
        self, vocab_size: int, word_dim: int, embed_size: int, num_layers: int = 1, normalise: bool = True
    ) -> None:
        super().__init__(vocab_size, word_dim, embed_size, num_layers, bidirectional=True)
        self.gpool = GeneralisedPooling()
        self.normalise = normalise

    def forward(self, captions: Tensor, lengths: Tensor) -> Tensor:
        """Embed captions [B, T] of `lengths` [B] -> [B, E]."""
        pooled = self.gpool(super().forward(captions, lengths), lengths)
        return l2norm(pooled, eps=NORM_EPSILON) if self.normalise else pooled


class BertEncoder(nn.Module):
    """Embed captions by BERT's last states, [CLS] and [SEP] included, projected and pooled.

    Args:
        bert: `BertModel` of transformers; id 0 is padding, which attention ignores.
        hidden_size: size of BERT's states.
        embed_size: E, the size of the joint space.
        normalise: L2-normalise the embedding.
    """

    def __init__(self, bert: nn.Module, hidden_size: int, embed_size: int, normalise: bool = True) -> None:
        super().__init__()
        self.bert = bert
        for name, parameter in bert.named_parameters():
            if name.startswith("pooler."):  # in BERT's checkpoints, and never used
                parameter.requires_grad_(False)
        self.linear = nn.Linear(hidden_size, embed_size)
        self.gpool = GeneralisedPooling()
        self.normalise = normalise

    def forward(self, captions: Tensor, lengths: Tensor) -> Tensor:
        """Embed word pieces [B, T], padded with 0, of `lengths` [B] -> [B, E]."""
        states = self.bert(captions, attention_mask=(captions != 0).long()).last_hidden_state
        pooled = self.gpool(self.linear(states), lengths)
        return l2norm(pooled, eps=NORM_EPSILON) if self.normalise else pooled


class TowerEncoder(nn.Module):
    """Embed captions by the pooled, projected states of a text tower.

    Args:
        tower: gives states, not pooled vectors.
        embed_size: E, the size of the joint space.
        normalise: L2-normalise the embedding.
    """

    def __init__(self, tower: TextTower, embed_size: int, normalise: bool = True) -> None:
        super().__init__()
        self.tower = tower
        self.linear = nn.Linear(tower.dimensions, embed_size)
        self.gpool = GeneralisedPooling()
        self.normalise = normalise

    def forward(self, captions: Tensor, lengths: Tensor) -> Tensor:
        """Embed piece ids [B, T] of `lengths` [B] -> [B, E]."""
        pooled = self.gpool(self.linear(self.tower(captions, lengths)), lengths)
        return l2norm(pooled, eps=NORM_EPSILON) if self.normalise else pooled


class VSEinfty(EmbeddingNetwork):
    """An image encoder and a caption encoder; scores are cosines if both normalise."""

    smallest_batch = 2  # dropped regions may leave one row of a single image to RegionMLP's BatchNorm

    def __init__(
        self,
        image_encoder: RegionEncoder | GridEncoder,
        caption_encoder: WordEncoder | BertEncoder | TowerEncoder,
    ) -> None:
        super().__init__()
        self.image_encoder = image_encoder
        self.caption_encoder = caption_encoder
        self.bounded_scores = image_encoder.normalise and caption_encoder.normalise

    def encode_images(self, images: ImageBatch) -> Embeddings:
        """Encode regions, global features or pictures -> vectors [B, E]."""
        if images.region_lengths is None:
            return super().encode_images(images)
        regions, lengths = self.see(images).images, images.region_lengths
        if self.training:
            regions, lengths = drop(regions, DROPPED, lengths)
        return Embeddings(self.image_encoder(regions, lengths))

    def import_published(self, parts: list[Mapping[str, Tensor]], options: Mapping[str, Any]) -> dict[str, Tensor]:
        """Translate a checkpoint of the original code, which holds a CNN twice, and its head."""
        plain = [{name.removeprefix("module."): tensor for name, tensor in part.items()} for part in parts]
        images = {
            name.removeprefix("image_encoder."): tensor
            for name, tensor in plain[0].items()
            if not name.startswith("backbone.")
        }
        resnet = "backbone.resnet."
        tower = {
            name.replace(resnet, "image_tower.backbone."): tensor
            for name, tensor in plain[0].items()
            if name.startswith(resnet) and not name.startswith(f"{resnet}fc.")
        }
        captions = {name: tensor for name, tensor in plain[1].items() if name != "bert.embeddings.position_ids"}
        return {**super().import_published([images, captions], options), **tower}

    def parameter_groups(
        self, learning_rate: float, bert_factor: float = BERT_FACTOR, backbone_factor: float = 0.01
    ) -> list[dict[str, Any]]:
        """List captions, BERT, the CNN and images in groups, with frozen parameters, which later epochs may train.

        Args:
            learning_rate: rate of captions and images.
            bert_factor, backbone_factor: BERT's and the CNN's share of it.
        """
        shares = {"captions": 1.0, "bert": bert_factor, "backbone": backbone_factor, "images": 1.0}
        members: dict[str, list[nn.Parameter]] = {name: [] for name in shares}
        for name, parameter in self.named_parameters():
            part = name.split(".")[1]
            side = "captions" if name.startswith("caption_encoder.") else "images"
            members[part if part in shares else side].append(parameter)
        return [
            {"name": name, "params": parameters, "lr": learning_rate * shares[name]}
            for name, parameters in members.items()
            if parameters
        ]


def drop(features: Tensor, rate: float | Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Drop features at random, but never all features of an image.

    Args:
        features: [B, R, D].
        rate: probability of each feature, [B, 1] or one for all.
        lengths: [B], the features of each image that count, at least 1; default: all.

    Returns:
        The result of `keep`.
    """
    draws = torch.rand(features.shape[:2])  # on the host, which plans with the lengths
    if lengths is not None:
        draws = draws.masked_fill(~word_mask(lengths, features.shape[1], lengths.device), -1.0)
    return keep(features, (draws >= rate) | (draws == draws.amax(dim=1, keepdim=True)))


def keep(features: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """Keep the features [B, R, D] where `kept` [B, R], on the host, is True, in order.

    Returns:
        Features padded with zeros to the most of any image [B, R', D], and their numbers [B].
    """
    lengths = kept.sum(dim=1)
    rows, before = kept.nonzero(as_tuple=True)
    places = torch.stack([rows, before, (kept.cumsum(dim=1) - 1)[kept]])
    rows, before, after = send(places, features.device).unbind()
    compact = features.new_zeros(len(features), int(lengths.max()), features.shape[2])
    return compact.index_put((rows, after), features[rows, before]), lengths


def count(features: Tensor) -> Tensor:
    """Count the features [B, R, D] of each image -> [B], R each, on the host."""
    return torch.full((features.shape[0],), features.shape[1])
