"""The training loop: one flat function over a network, an objective and a data set."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vse.data.batches import Batch
from vse.losses.objective import Objective, Pairs
from vse.nn.network import Encoding, Network
from vse.training.gather import gather_rows
from vse.training.selected_pairs import training_scores


class StepResult(NamedTuple):
    """What one training step computed."""

    loss: Tensor  # scalar, with gradient
    image_to_text: Tensor  # the objective's two directions, scalars
    text_to_image: Tensor
    extra: dict[str, Tensor]  # the network's own terms, in the loss as well
    scores: Tensor  # [B, B] without gradient


class TrainingStep(nn.Module):
    """Batch -> loss. One module, so that DistributedDataParallel and torch.compile see the whole step."""

    def __init__(self, network: Network, objective: Objective, autocast: bool = False) -> None:
        super().__init__()
        self.network, self.objective, self.autocast = network, objective, autocast

    def forward(self, batch: Batch) -> StepResult:
        device_type = batch.image_ids.device.type
        with torch.autocast(device_type, torch.bfloat16, enabled=self.autocast):
            own_images = self.network.encode_images(batch)
            own_captions = self.network.encode_captions(batch)
            extra = self.network.extra_loss(batch, own_images, own_captions)
        images = gather_rows(self.network.scored(own_images))
        captions = gather_rows(self.network.scored(own_captions))
        images, captions = _at_least_float32(images), _at_least_float32(captions)
        pairs = Pairs(
            gather_rows(batch.image_ids),  # type: ignore[arg-type]
            gather_rows(batch.caption_ids),  # type: ignore[arg-type]
            None if batch.descriptions is None else gather_rows(batch.descriptions),  # type: ignore[arg-type]
        )
        if self.objective.bank is not None:
            pairs.bank = self.objective.bank.scores(images, captions, pairs)
        # bfloat16 would round cosines near 0.5 to steps of 2^-8, coarser than the differences of LSEH's margins.
        with torch.autocast(device_type, torch.bfloat16, enabled=self.autocast and self.network.pairwise):
            scores = _at_least_float32(self._scores(images, captions, pairs))
        image_to_text, text_to_image = self.objective.directions(scores, pairs)
        loss = sum(extra.values(), image_to_text + text_to_image)
        return StepResult(loss, image_to_text.detach(), text_to_image.detach(), extra, scores.detach())

    def _scores(self, images: Encoding, captions: Encoding, pairs: Pairs) -> Tensor:
        if self.network.pairwise:
            return training_scores(self.network, images, captions, self.objective, pairs)  # type: ignore[arg-type]
        return self.network.similarity(images, captions)


def _at_least_float32(encoding: Any) -> Any:
    if isinstance(encoding, Tensor):
        return encoding.float() if encoding.dtype in (torch.bfloat16, torch.float16) else encoding
    parts = [_at_least_float32(part) for part in encoding]
    return type(encoding)(*parts) if hasattr(encoding, "_fields") else tuple(parts)
