"""VSE++ (Faghri et al., BMVC 2018): one linear layer for the image, one GRU for the caption, their inner product.

The LSEH variant (Gong & Cosma, Pattern Recognition 2023) feeds the regions of an image, flattened into one vector.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from torch import Tensor, nn

from vse.nn.encoders import CaptionEmbedding, ImageProjection, l2norm, order_similarity
from vse.nn.network import EmbeddingNetwork, Embeddings
from vse.published.cnn_names import published_cnn_names


class PictureEncoder(ImageProjection):
    """A CNN in front of the projection: pixels -> CNN features, L2-normalised -> joint space.

    Args:
        cnn: headless network, [B, 3, H, W] -> [B, features].
        finetune: train the CNN's weights too.
    """

    def __init__(
        self, cnn: nn.Module, features: int, embed_size: int, normalise: bool, absolute: bool, finetune: bool
    ) -> None:
        super().__init__(features, embed_size, normalise, absolute)
        self.cnn = cnn.requires_grad_(finetune)

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, E]."""
        return super().forward(l2norm(self.cnn(images)))


class VSEpp(EmbeddingNetwork):
    """Visual-semantic embedding: image -> [B, E], caption -> [B, E], scores [n, m].

    Args:
        image_shape: shape of one image's features, (R, D) or (D,); every image is flattened.
        measure: `cosine` scores by inner products; `order` by order violations (Vendrov et al., ICLR 2016).
        use_abs: absolute values of both embeddings, for order embeddings.
        no_imgnorm: leave image embeddings as long as they come (VSE0).
        cnn: (headless CNN, its feature size) in place of precomputed features.
        finetune: train the CNN as well.
    """

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
        cnn: tuple[nn.Module, int] | None = None,
        finetune: bool = False,
    ) -> None:
        super().__init__()
        self.measure = measure
        self.bounded_scores = measure == "cosine" and not no_imgnorm
        if cnn is None:
            self.image_encoder = ImageProjection(prod(image_shape), embed_size, not no_imgnorm, use_abs)
        else:
            self.image_encoder = PictureEncoder(*cnn, embed_size, not no_imgnorm, use_abs, finetune)
        self.caption_encoder = CaptionEmbedding(vocab_size, word_dim, embed_size, num_layers, use_abs)

    def similarity(self, images: Embeddings, captions: Embeddings) -> Tensor:
        """Score n images against m captions by `measure` -> [n, m]."""
        if self.measure == "order":
            return order_similarity(images.vectors, captions.vectors)
        return super().similarity(images, captions)

    def import_published(self, parts: list[Mapping[str, Tensor]], options: Mapping[str, Any]) -> dict[str, Tensor]:
        """The published names; a CNN's are torchvision's, without DataParallel's wrapper."""
        return super().import_published([published_cnn_names(parts[0]), *parts[1:]], options)
