"""SGRAF: similarity vectors between words and regions, reasoned over (SGR) or filtered (SAF) into one score.

Diao, Zhang, Ma, Lu, "Similarity Reasoning and Filtration for Image-Text Matching", AAAI 2021. SGR and SAF have the
same encoders and are trained separately; "SGRAF" is the mean of their scores.

Each word attends to the regions and is compared with the context that it finds; the global vector of a caption is
compared with that of the image. These similarity vectors of size S are the nodes (`nodes.py`) of a small graph per
image-caption pair, which SGR or SAF turns into a score (`similarity.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from SGRAF_LSEH.similarity import DROPOUT, SimilarityEncoder, TextualRepresentations, VisualRepresentations
from vse.data.batches import CaptionBatch, ImageBatch
from vse.errors import InputError
from vse.nn.attention import word_mask
from vse.nn.encoders import RegionProjection, WordStates
from vse.nn.network import PairwiseNetwork, uniform_regions


class SGRAF(PairwiseNetwork[VisualRepresentations, TextualRepresentations]):
    """SGR or SAF; the defaults are those of the original code.

    Args:
        module_name: "SGR" or "SAF".
        vocab_size: token ids.
        num_regions: R, fixed because a BatchNorm has the position of a region as its channel (36 in the original code).
        img_dim: D, the size of a region's features.
        word_dim: size of the word vectors.
        embed_size: E, the size of regions and words.
        sim_dim: S, the size of a similarity vector.
        num_layers: layers of the caption GRU.
        bi_gru: read captions in both directions and average.
        no_imgnorm, no_txtnorm: do not normalise regions, words.
        sgr_step: graph reasoning steps of SGR.
        memory_budget: bytes that the temporaries of a block of images x captions may take; None: `default_budget`.

    Raises:
        InputError: the module name is neither "SGR" nor "SAF".
    """

    smallest_batch = 2
    any_regions = False
    published_parts = ("image_encoder.", "caption_encoder.", "similarity_encoder.")

    def __init__(
        self,
        module_name: str,
        vocab_size: int,
        num_regions: int = 36,
        img_dim: int = 2048,
        word_dim: int = 300,
        embed_size: int = 1024,
        sim_dim: int = 256,
        num_layers: int = 1,
        bi_gru: bool = True,
        no_imgnorm: bool = False,
        no_txtnorm: bool = False,
        sgr_step: int = 3,
        memory_budget: int | None = None,
    ) -> None:
        super().__init__()
        if module_name not in ("SGR", "SAF"):
            raise InputError(f"module_name {module_name}: expected SGR or SAF; their ensemble is made in evaluation")
        self.num_regions = num_regions
        self.image_encoder = RegionProjection(img_dim, embed_size, not no_imgnorm)
        self.caption_encoder = WordStates(vocab_size, word_dim, embed_size, num_layers, bi_gru, DROPOUT, not no_txtnorm)
        self.similarity_encoder = SimilarityEncoder(
            module_name, embed_size, sim_dim, num_regions, sgr_step, memory_budget
        )
        # SAF's BatchNorm gives each pair a part in the gradient of every other pair of its caption.
        self.dense_only = module_name == "SAF"

    def encode_images(self, images: ImageBatch) -> VisualRepresentations:
        """Encode regions [B, R, D] -> regions and global vectors.

        Raises:
            InputError: the images do not have the `num_regions` that the network was built for.
        """
        regions = uniform_regions(self.see(images))
        if regions.ndim != 3 or regions.shape[1] != self.num_regions:
            raise InputError(
                f"image features of shape {tuple(regions.shape[1:])}: expected {self.num_regions} regions per "
                "image, for which this network was built; use the features it was trained with, or train one for these"
            )
        features = self.image_encoder(regions)
        return VisualRepresentations(features, self.similarity_encoder.v_global_w(features))

    def encode_captions(self, captions: CaptionBatch) -> TextualRepresentations:
        """Encode token ids [B, T] -> words and global vectors."""
        features = self.caption_encoder(captions.captions, captions.lengths)
        mask = word_mask(captions.lengths, features.shape[1], features.device)
        vectors = self.similarity_encoder.t_global_w(features, mask)
        return TextualRepresentations(features, captions.lengths, vectors)

    def score_bytes(self, images: VisualRepresentations, captions: TextualRepresentations) -> int:
        """Estimate the bytes per pair of a block of k images x k captions, where 2 k encodings fill half the budget.

        `similarity` cuts larger blocks itself; what grows with a block are the copies of the encodings in it.
        """
        both = super().score_bytes(images, captions)
        return 2 * both**2 // self.similarity_encoder.budget(next(self.parameters()).device)

    def similarity(self, images: VisualRepresentations, captions: TextualRepresentations) -> Tensor:
        """Score n images against m captions -> [n, m] in (0, 1).

        In training SAF normalises each caption over these images and updates its running moments caption by caption.
        """
        with torch.autocast(images.features.device.type, enabled=False):
            scores: Tensor = self.similarity_encoder(images, captions)
        return scores

    def similarity_of_pairs(
        self,
        images: VisualRepresentations,
        captions: TextualRepresentations,
        image_index: Tensor,
        caption_index: Tensor,
    ) -> Tensor:
        """Score the pairs (image_index[p], caption_index[p]) -> [P], as `similarity` does (SAF: in evaluation only)."""
        with torch.autocast(images.features.device.type, enabled=False):
            return self.similarity_encoder.pairs(images, captions, image_index, caption_index)

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """List captions, images, similarity in one group, in the order of the original code."""
        parts = (self.caption_encoder, self.image_encoder, self.similarity_encoder)
        return [{"params": [p for part in parts for p in part.parameters()], "lr": learning_rate}]

    def import_published(self, parts: list[Mapping[str, Tensor]], options: Mapping[str, Any]) -> dict[str, Tensor]:
        """Translate a checkpoint of the original code, whose GRU is named `cap_rnn`."""
        state = super().import_published(parts, options)
        return {name.replace(".cap_rnn.", ".rnn."): value for name, value in state.items()}
