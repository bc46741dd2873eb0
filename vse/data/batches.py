"""Batches: what a network sees of a data set, in an order that is a pure function of (seed, epoch)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from vse.data.datasets import Extra, Split
from vse.data.features import Features
from vse.errors import InputError


@dataclass
class Batch:
    """B matching (image, caption) pairs, sorted by caption length, longest first; row i of every field is pair i.

    In evaluation a batch holds only images or only captions; the fields of the other side are then None.
    """

    images: Tensor | None  # [B, R, D] regions, [B, D] global features or [B, 3, H, W] pixels; float32
    captions: Tensor | None  # [B, T] token ids with <start> and <end>, int64, padded with 0
    lengths: Tensor | None  # [B] tokens per caption, int64, on the CPU
    image_ids: Tensor  # [B] image of each row, int64
    caption_ids: Tensor  # [B] caption of each row (line of the caption file), int64
    descriptions: Tensor | None = None  # [B, K] semantic description vectors of the captions, float32
    extras: dict[str, Tensor] = field(default_factory=dict)  # what one network reads besides, [B, ...] each

    def to(self, device: torch.device) -> Batch:
        """The batch on `device`; lengths stay on the CPU, where packing wants them."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True), skip=("lengths",))

    def pin_memory(self) -> Batch:
        return self._map(lambda tensor: tensor.pin_memory())

    def _map(self, move, skip: tuple[str, ...] = ()) -> Batch:  # type: ignore[no-untyped-def]
        moved = {
            entry.name: move(value)
            for entry in fields(self)
            if entry.name not in skip and isinstance(value := getattr(self, entry.name), Tensor)
        }
        return replace(self, **moved, extras={name: move(value) for name, value in self.extras.items()})


class Captions(Protocol):
    """The captions of a split as a network reads them: `vse.text.captions.TokenIds`, or word pieces."""

    def batch(self, captions: np.ndarray, generator: np.random.Generator | None) -> tuple[Tensor, Tensor]:
        """[b] caption indices -> ids [b, T] int64 padded with 0, lengths [b]; a generator asks for augmentation."""


@dataclass(frozen=True)
class BatchRequest:
    """Which captions make a batch, and where in which epoch it stands (that seeds augmentation)."""

    epoch: int
    position: int
    captions: np.ndarray


class EpochSampler(Sampler[BatchRequest]):
    """The batches of one epoch from a given position on: a pure function of (seed, epoch).

    With several processes each takes its share of every global batch of `world_size * batch_size` captions. The last,
    smaller batch is kept unless `drop_last` is set or it leaves a process with less than `smallest_batch` captions.
    """

    def __init__(
        self,
        captions: int,
        batch_size: int,
        seed: int,
        epoch: int,
        position: int = 0,
        rank: int = 0,
        world_size: int = 1,
        drop_last: bool = False,
        smallest_batch: int = 1,
    ) -> None:
        self.captions, self.batch_size, self.seed, self.epoch, self.position = (
            captions,
            batch_size,
            seed,
            epoch,
            position,
        )
        self.rank, self.world_size = rank, world_size
        whole, rest = divmod(captions, batch_size * world_size)
        self.batches = whole + int(rest >= world_size * smallest_batch and not drop_last)

    def __len__(self) -> int:
        return self.batches - self.position

    def __iter__(self) -> Iterator[BatchRequest]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.captions)
        step = self.batch_size * self.world_size
        for position in range(self.position, self.batches):
            chunk = order[position * step : (position + 1) * step]
            yield BatchRequest(self.epoch, position, np.array_split(chunk, self.world_size)[self.rank])


class PairDataset(Dataset[Batch]):
    """Training pairs of a split: one item is a whole batch.

    Args:
        descriptions: [M, K] semantic vectors, one per caption, when the objective asks for them.
        augment: captions and images may change at random; the random numbers are a function of
            (seed, epoch, position), so that loader workers and resuming do not change a batch.
    """

    def __init__(
        self,
        split: Split,
        captions: Captions,
        descriptions: np.ndarray | None = None,
        seed: int = 0,
        augment: bool = False,
    ) -> None:
        self.split, self.captions, self.descriptions = split, captions, descriptions
        self.seed, self.augment = seed, augment
        self.resident: Tensor | None = None

    def __len__(self) -> int:
        return len(self.split.captions)

    def __getitem__(self, request: BatchRequest) -> Batch:
        generator = np.random.default_rng([self.seed, request.epoch, request.position]) if self.augment else None
        return self.read(request.captions, generator)

    def read(self, captions: np.ndarray, generator: np.random.Generator | None = None) -> Batch:
        """The pairs of these captions, longest first; a generator asks for augmentation."""
        ids, lengths = self.captions.batch(captions, generator)
        order = torch.argsort(lengths, descending=True, stable=True)
        caption_ids = captions[order.numpy()]
        image_ids = self.split.caption_image[caption_ids]
        return Batch(
            images=None if self.resident is not None else self.split.images.read(image_ids, generator),
            captions=ids[order],
            lengths=lengths[order],
            image_ids=torch.from_numpy(image_ids),
            caption_ids=torch.from_numpy(caption_ids),
            descriptions=None
            if self.descriptions is None
            else torch.from_numpy(np.ascontiguousarray(self.descriptions[caption_ids], dtype=np.float32)),
            extras={
                **_read_extras(self.split.image_extras, image_ids),
                **_read_extras(self.split.caption_extras, caption_ids),
            },
        )

    def keep_images_on(self, device: torch.device) -> None:
        """Hold all features in a device's memory (`--features_on_device`); batches then come without images.

        Raises:
            InputError: the images are pictures.
        """
        if not isinstance(self.split.images, Features):
            raise InputError("--features_on_device: this data set holds pictures; leave the flag out")
        self.resident = self.split.images.resident(device)

    def with_images(self, batch: Batch) -> Batch:
        """A batch on the device, its images added where they are held there."""
        if self.resident is None:
            return batch
        return replace(batch, images=self.resident[batch.image_ids].float())


def pair_loader(
    dataset: PairDataset, sampler: EpochSampler, workers: int = 0, pin_memory: bool = False
) -> DataLoader[Batch]:
    """Loader of the batches that `sampler` asks for; the number of workers does not change them."""
    # A loader draws a seed for its workers whenever it is iterated: from a generator of its own, or a resumed run,
    # which iterates once more, would go on with other random numbers than an undisturbed one.
    return DataLoader(
        dataset,
        sampler=sampler,
        batch_size=None,
        num_workers=workers,
        pin_memory=pin_memory,
        generator=torch.Generator(),
    )


def iterate(loader: DataLoader[Batch]) -> Iterator[Batch]:
    """The batches of a loader; a worker's `InputError` arrives as the one sentence it was."""
    try:
        yield from loader
    except InputError as problem:
        raise InputError(str(problem).strip().splitlines()[-1].removeprefix("vse.errors.InputError: ")) from None


def image_batches(split: Split, batch_size: int) -> Iterator[Batch]:
    """Every image of a split once, in order, without captions."""
    for first in range(0, len(split.images), batch_size):
        image_ids = np.arange(first, min(first + batch_size, len(split.images)))
        ids = torch.from_numpy(image_ids)
        extras = _read_extras(split.image_extras, image_ids)
        yield Batch(split.images.read(image_ids), None, None, ids, torch.full_like(ids, -1), extras=extras)


def caption_batches(split: Split, captions: Captions, batch_size: int) -> Iterator[Batch]:
    """Every caption of a split once, without images; captions of like length share a batch, longest first."""
    lengths = captions.batch(np.arange(len(split.captions)), None)[1]
    order = torch.argsort(lengths, descending=True, stable=True).numpy()
    for first in range(0, len(order), batch_size):
        chosen = order[first : first + batch_size]
        ids, chosen_lengths = captions.batch(chosen, None)
        image_ids = torch.from_numpy(split.caption_image[chosen])
        extras = _read_extras(split.caption_extras, chosen)
        yield Batch(None, ids, chosen_lengths, image_ids, torch.from_numpy(chosen), extras=extras)


def _read_extras(extras: Mapping[str, Extra], ids: np.ndarray) -> dict[str, Tensor]:
    return {name: read(ids) for name, read in extras.items()}


@dataclass
class EvaluationData:
    """A split with its captions as the network reads them, for validation and evaluation."""

    split: Split
    captions: Captions
    batch_size: int = 128

    def images(self) -> Iterator[Batch]:
        return image_batches(self.split, self.batch_size)

    def texts(self) -> Iterator[Batch]:
        return caption_batches(self.split, self.captions, self.batch_size)
