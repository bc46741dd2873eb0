"""One training step: encode a batch, score it, compute the objective."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from vse.data.batches import PairBatch
from vse.losses.objective import Objective, Pairs
from vse.nn.network import Network, PairwiseNetwork
from vse.nn.precision import full_float32
from vse.training.gather import gather_rows
from vse.training.selected_pairs import training_scores


class StepResult(NamedTuple):
    """The result of one training step."""

    loss: Tensor  # scalar, with gradient
    image_to_text: Tensor  # the objective's two directions, scalars
    text_to_image: Tensor
    extra: dict[str, Tensor]  # the network's own terms, which the loss includes
    scores: Tensor  # [B, B] without gradient


class TrainingStep(nn.Module):
    """Compute the loss of a batch. One module, so that DistributedDataParallel sees the whole step."""

    def __init__(self, network: Network, objective: Objective, autocast: bool = False) -> None:
        super().__init__()
        self.network, self.objective, self.autocast = network, objective, autocast

    def forward(self, batch: PairBatch) -> StepResult:
        """Encode, score and compare B pairs.

        Encodings and scores are float32 before the objective sees them, under autocast too: bfloat16 would round
        cosines near 0.5 to steps of 2^-8, coarser than the differences of LSEH's margins. For the same reason the
        objective, and the products of embeddings, are computed without TF32.
        """
        device_type = batch.image_ids.device.type
        with torch.autocast(device_type, torch.bfloat16, enabled=self.autocast):
            own_images = self.network.encode_images(batch)
            own_captions = self.network.encode_captions(batch)
            extra = self.network.extra_loss(batch, own_images, own_captions)
        images = self.network.scored(own_images).map(gather_rows).map(_at_least_float32)
        captions = own_captions.map(gather_rows).map(_at_least_float32)
        pairs = Pairs(
            gather_rows(batch.image_ids),
            gather_rows(batch.caption_ids),
            None if batch.descriptions is None else gather_rows(batch.descriptions),
        )
        if self.objective.needs_embeddings:
            pairs.images, pairs.captions = images.vectors, captions.vectors
        if self.objective.bank is not None:
            with full_float32():
                pairs.bank = self.objective.bank.scores(images.vectors, captions.vectors, pairs)
        if isinstance(self.network, PairwiseNetwork):
            with torch.autocast(device_type, torch.bfloat16, enabled=self.autocast):
                scores = training_scores(self.network, images, captions, self.objective, pairs)
            scores = _at_least_float32(scores)
        else:
            with full_float32():
                scores = self.network.similarity(images, captions)
        with full_float32():
            image_to_text, text_to_image = self.objective.directions(scores, pairs)
        loss = sum(extra.values(), image_to_text + text_to_image)
        return StepResult(loss, image_to_text.detach(), text_to_image.detach(), extra, scores.detach())


def _at_least_float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor
