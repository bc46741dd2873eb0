"""VSE++: a linear layer embeds the image, a GRU the caption; the score is their inner product.

Faghri, Fleet, Kiros, Fidler, "VSE++: Improving Visual-Semantic Embeddings with Hard Negatives", BMVC 2018. The LSEH
variant (Gong & Cosma, Pattern Recognition 2023) feeds the regions of an image, flattened into one vector.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from torch import Tensor

from vse.nn.encoders import CaptionEmbedding, ImageProjection, order_similarity
from vse.nn.network import EmbeddingNetwork, Embeddings
from vse.published.cnn_names import published_cnn_names


class VSEpp(EmbeddingNetwork):
    """Embed images by a linear layer and captions by a GRU; the defaults are those of the original code.

    Args:
        image_shape: shape of an image's features, (R, D) or (D,); regions are flattened.
        vocab_size: token ids.
        word_dim: size of the word vectors.
        embed_size: E, the size of the joint space.
        num_layers: layers of the caption GRU.
        measure: `cosine` scores by inner products, `order` by order violations (Vendrov et al., ICLR 2016).
        use_abs: take absolute values of both embeddings, for order embeddings.
        no_imgnorm: do not normalise image embeddings (VSE0).
    """

    any_regions = False

    def __init__(
        self,
        image_shape: tuple[int, ...],
        vocab_size: int,
        word_dim: int = 300,
        embed_size: int = 1024,
        num_layers: int = 1,
        measure: str = "cosine",
        use_abs: bool = False,
        no_imgnorm: bool = False,
    ) -> None:
        super().__init__()
        self.measure = measure
        self.bounded_scores = measure == "cosine" and not no_imgnorm
        self.image_encoder = ImageProjection(prod(image_shape), embed_size, not no_imgnorm, use_abs)
        self.caption_encoder = CaptionEmbedding(vocab_size, word_dim, embed_size, num_layers, use_abs)

    def similarity(self, images: Embeddings, captions: Embeddings) -> Tensor:
        """Score n images against m captions by `measure` -> [n, m]."""
        if self.measure == "order":
            return order_similarity(images.vectors, captions.vectors)
        return super().similarity(images, captions)

    def import_published(self, parts: list[Mapping[str, Tensor]], options: Mapping[str, Any]) -> dict[str, Tensor]:
        """Translate a checkpoint of the original code; its CNN's names become torchvision's."""
        state = super().import_published([published_cnn_names(parts[0]), *parts[1:]], options)
        return {name.replace("image_encoder.cnn.", "image_tower.cnn."): tensor for name, tensor in state.items()}
