"""VSE-infinity (Chen, Hu, Wu, Jiang, Wang, CVPR 2021): visual-semantic embedding whose pooling is learned.

An image is a set of regions of a detector, or the cells of a CNN's last feature map; a caption is its word pieces as
BERT sees them, or its words as a GRU in both directions does. Either set becomes one vector by the generalised pooling
operator (`pooling.py`); images and captions are compared by inner products of unit vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from vse.nn.encoders import NORM_EPSILON, CaptionGRU, l2norm, xavier_uniform_linear
from vse.nn.network import EmbeddingNetwork
from VSEinfty_LSEH.pooling import GeneralisedPooling

DROPPED = 0.2
"""Regions to drop; of grid cells between none and so many."""
BERT_FACTOR = 0.1
"""BERT is fine-tuned with this share of the learning rate."""


class RegionMLP(nn.Module):
    """Two linear layers F -> E/2 -> E with BatchNorm and ReLU between them; `bns.1` is published and never used.

    Args:
        masked: BatchNorm's statistics leave padding rows out. As published they count: about a sixth of the rows.
    """

    def __init__(self, img_dim: int, embed_size: int, masked: bool = False) -> None:
        super().__init__()
        half = embed_size // 2
        self.layers = nn.ModuleList([nn.Linear(img_dim, half), nn.Linear(half, embed_size)])
        self.bns = nn.ModuleList([nn.BatchNorm1d(half), nn.BatchNorm1d(embed_size)])
        self.bns[1].requires_grad_(False)  # it would stay without gradient, which torchrun's processes wait for
        self.masked = masked

    def forward(self, regions: Tensor, lengths: Tensor) -> Tensor:
        """[B, R, F], of which the first `lengths` [B] count -> [B, R, E]."""
        if not (self.masked and self.training):
            return self._rows(regions.flatten(0, 1)).unflatten(0, regions.shape[:2])
        inside = torch.arange(regions.shape[1], device=regions.device) < lengths[:, None]
        rows = self._rows(regions[inside])
        return rows.new_zeros(*inside.shape, rows.shape[1]).masked_scatter(inside[..., None], rows)

    def _rows(self, rows: Tensor) -> Tensor:
        return self.layers[1](relu(self.bns[0](self.layers[0](rows))))


class PooledProjection(nn.Module):
    """Local features of an image [B, N, F] and their numbers [B] -> embedding [B, E].

    Args:
        mlp: add a `RegionMLP` to the linear projection (regions; grids have a whole CNN to learn).
        normalise: L2-normalise the embedding.
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
        projected = self.fc(features)
        if self.mlp is not None:
            projected = projected + self.mlp(features, lengths)
        pooled = self.gpool(projected, lengths)
        return l2norm(pooled, eps=NORM_EPSILON) if self.normalise else pooled


class RegionEncoder(PooledProjection):
    """Regions [B, R, F], or global features [B, F] as one region each, -> embeddings [B, E].

    In training each region is dropped with probability 0.2.
    """

    def __init__(self, img_dim: int, embed_size: int, normalise: bool = True, masked_batchnorm: bool = False) -> None:
        super().__init__(img_dim, embed_size, True, normalise, masked_batchnorm)

    def forward(self, images: Tensor, lengths: Tensor | None = None) -> Tensor:
        """`lengths` [B]: only so many regions of each image, none of them dropped."""
        regions = images[:, None] if images.ndim == 2 else images
        if lengths is None and self.training:
            regions, lengths = drop(regions, DROPPED)
        return super().forward(regions, count(regions) if lengths is None else lengths)


class GridEncoder(nn.Module):
    """Pictures [B, 3, H, W] -> embeddings [B, E], from the cells of a CNN's last feature map.

    In training a fifth of the pictures stay whole; each other one loses a share of its cells, uniform in (0.04, 0.2).
    BatchNorm within the CNN always uses the statistics it came with; its scale and shift are trained.

    Args:
        backbone: a ResNet without its head (`backbones.py`), [B, 3, H, W] -> [B, channels, h, w].
    """

    LAYERS = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")

    def __init__(self, backbone: nn.Module, channels: int, embed_size: int, normalise: bool = True) -> None:
        super().__init__()
        self.backbone = backbone
        self.image_encoder = PooledProjection(channels, embed_size, False, normalise)

    def forward(self, images: Tensor) -> Tensor:
        cells = self.backbone(images).flatten(2).transpose(1, 2)
        if not self.training:
            return self.image_encoder(cells, count(cells))
        share = torch.rand(len(cells), 1, device=cells.device)
        return self.image_encoder(*drop(cells, torch.where(share > DROPPED, DROPPED * share, 0.0)))

    def train(self, mode: bool = True) -> GridEncoder:
        super().train(mode)
        for module in self.backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def fix(self, blocks: int) -> None:
        """Train the CNN but for its first layers and so many of its blocks: 0 trains all of it, 4 nothing."""
        self.backbone.requires_grad_(True)
        for name in self.LAYERS[: blocks + 2 if blocks else 0]:
            self.backbone.get_submodule(name).requires_grad_(False)


class WordEncoder(CaptionGRU):
    """Word ids -> embeddings [B, E]: a GRU in both directions over word vectors, pooled (`--text_encoder bigru`)."""

    def __init__(
        self, vocab_size: int, word_dim: int, embed_size: int, num_layers: int = 1, normalise: bool = True
    ) -> None:
        super().__init__(vocab_size, word_dim, embed_size, num_layers, bidirectional=True)
        self.gpool = GeneralisedPooling()
        self.normalise = normalise

    def forward(self, captions: Tensor, lengths: Tensor) -> Tensor:
        """[B, T] ids, [B] lengths -> [B, E]."""
        pooled = self.gpool(super().forward(captions, lengths), lengths)
        return l2norm(pooled, eps=NORM_EPSILON) if self.normalise else pooled


class BertEncoder(nn.Module):
    """Word piece ids -> embeddings [B, E]: BERT's last states, projected, pooled with [CLS] and [SEP] among them.

    Args:
        bert: a transformers `BertModel`; id 0 is padding, which attention passes over.
    """

    def __init__(self, bert: nn.Module, hidden_size: int, embed_size: int, normalise: bool = True) -> None:
        super().__init__()
        self.bert = bert
        for name, parameter in bert.named_parameters():
            if name.startswith("pooler."):  # published, and never used
                parameter.requires_grad_(False)
        self.linear = nn.Linear(hidden_size, embed_size)
        self.gpool = GeneralisedPooling()
        self.normalise = normalise

    def forward(self, captions: Tensor, lengths: Tensor) -> Tensor:
        """[B, T] ids padded with 0, [B] lengths -> [B, E]."""
        states = self.bert(captions, attention_mask=(captions != 0).long()).last_hidden_state
        pooled = self.gpool(self.linear(states), lengths)
        return l2norm(pooled, eps=NORM_EPSILON) if self.normalise else pooled


class VSEinfty(EmbeddingNetwork):
    """The network: an image encoder and a caption encoder of the above, scores by inner products.

    Args:
        bounded_scores: both encoders normalise.
    """

    def __init__(
        self,
        image_encoder: RegionEncoder | GridEncoder,
        caption_encoder: WordEncoder | BertEncoder,
    ) -> None:
        super().__init__()
        self.image_encoder = image_encoder
        self.caption_encoder = caption_encoder
        images = image_encoder.image_encoder if isinstance(image_encoder, GridEncoder) else image_encoder
        self.bounded_scores = images.normalise and caption_encoder.normalise

    def import_published(self, parts: list[Mapping[str, Tensor]], options: Mapping[str, Any]) -> dict[str, Tensor]:
        """The published names without DataParallel's `module.`; a CNN is stored twice there, and with its head."""
        plain = [{name.removeprefix("module."): tensor for name, tensor in part.items()} for part in parts]
        images = {
            name.replace("backbone.resnet.", "backbone."): tensor
            for name, tensor in plain[0].items()
            if not name.startswith(("backbone.base.", "backbone.top.", "backbone.resnet.fc."))
        }
        captions = {name: tensor for name, tensor in plain[1].items() if name != "bert.embeddings.position_ids"}
        return super().import_published([images, captions], options)

    def parameter_groups(
        self, learning_rate: float, bert_factor: float = BERT_FACTOR, backbone_factor: float = 0.01
    ) -> list[dict[str, Any]]:
        """Captions, BERT, the CNN, images; frozen parameters too, for the CNN is opened as training goes on."""
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


def drop(features: Tensor, rate: float | Tensor) -> tuple[Tensor, Tensor]:
    """Drop each of the features [B, N, F] with probability `rate` ([B, 1] or one for all), but never all of an image.

    Returns:
        What `keep` does.
    """
    draws = torch.rand(features.shape[:2], device=features.device)
    return keep(features, (draws >= rate) | (draws == draws.amax(dim=1, keepdim=True)))


def keep(features: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """[B, N, F], [B, N] bool -> what is kept, in order, padded with zeros [B, N', F], and how many [B]."""
    lengths = kept.sum(dim=1)
    inside = torch.arange(int(lengths.max()), device=kept.device) < lengths[:, None]
    compact = features.new_zeros(*inside.shape, features.shape[2])
    return compact.masked_scatter(inside[..., None], features[kept]), lengths


def count(features: Tensor) -> Tensor:
    """[B, N, F] -> [B], N each."""
    return torch.full((len(features),), features.shape[1], device=features.device)
