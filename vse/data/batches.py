"""Batches of a split, in an order that is a pure function of (seed, epoch)."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from types import FrameType
from typing import Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from vse.data.datasets import Extra, Split
from vse.data.features import Features
from vse.data.noise import Noise
from vse.errors import InputError

Item = TypeVar("Item")


@dataclass(kw_only=True)
class _Batch:
    """What image and caption batches have in common: where their tensors are."""

    extras: dict[str, Tensor] = field(default_factory=dict)
    """Further inputs of one network by name, [B, ...] each (GSMN: boxes of regions, edges of words)."""

    def to(self, device: torch.device) -> Self:
        """Copy the batch to `device`; lengths stay on the host, which plans with them.

        What the host keeps in float16 is float32 from then on.
        """
        return self._map(lambda tensor: _widened(tensor.to(device, non_blocking=True)), HOST_FIELDS)

    def pin_memory(self) -> Self:
        """Copy the batch to page-locked memory, from which copies to the device are asynchronous."""
        return self._map(lambda tensor: tensor.pin_memory())

    def _map(self, move: Callable[[Tensor], Tensor], skip: frozenset[str] = frozenset()) -> Self:
        values = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name not in skip}
        moved = {name: move(value) for name, value in values.items() if isinstance(value, Tensor)}
        return replace(self, **moved, extras={name: move(value) for name, value in self.extras.items()})


@dataclass(kw_only=True)
class ImageBatch(_Batch):
    """B images; row i of every field is image i."""

    images: Tensor
    """[B, R, D] regions, [B, D] global features or [B, 3, H, W] pixels; float32, or float16 before `to`."""
    image_ids: Tensor
    """[B] number of each image in its split, int64."""
    region_lengths: Tensor | None = None
    """[B] regions per image, int64, on the host; None: all R rows of every image are regions."""


@dataclass(kw_only=True)
class CaptionBatch(_Batch):
    """B captions, longest first; row i of every field is caption i."""

    captions: Tensor
    """[B, T] token ids, `<start>` and `<end>` included, int64, padded with 0."""
    lengths: Tensor
    """[B] tokens per caption, int64, on the host."""
    caption_ids: Tensor
    """[B] number of each caption in its split (line of the caption file), int64."""
    image_ids: Tensor
    """[B] number of the image that each caption is paired with, int64."""
    descriptions: Tensor | None = None
    """[B, K] description vectors of the captions, float32."""


@dataclass(kw_only=True)
class PairBatch(ImageBatch, CaptionBatch):
    """B pairs of an image and a caption, longest caption first; row i of every field is pair i."""


def _widened(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype == torch.float16 else tensor


HOST_FIELDS = frozenset({"lengths", "region_lengths"})


class Captions(Protocol):
    """The captions of a split as token ids: `vse.text.token_ids.TokenIds`, or word pieces."""

    @property
    def lengths(self) -> np.ndarray:
        """[captions] int64, tokens of each caption."""

    def batch(self, captions: np.ndarray, generator: np.random.Generator | None) -> tuple[Tensor, Tensor]:
        """Read captions by their numbers [B] -> ids [B, T] int64 padded with 0, lengths [B]; augment by `generator`."""


@dataclass(frozen=True)
class BatchRequest:
    """The captions of a batch, and its place in training, which seeds augmentation."""

    epoch: int
    position: int
    captions: np.ndarray


class EpochSampler(Sampler[BatchRequest]):
    """Draw the batches of one epoch, from a given position on: a pure function of (seed, epoch).

    Each process takes its share of every global batch of `world_size * batch_size` captions. The last, smaller batch
    is kept unless `drop_last` is set or a process would get fewer than `smallest_batch` captions of it.
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


class PairDataset(Dataset[CaptionBatch]):
    """Training pairs of a split: one item is a whole batch.

    Items are `PairBatch`es, or `CaptionBatch`es while the images are on the device (`keep_images_on`), from where
    `with_images` adds them.

    Args:
        descriptions: [M, K] description vectors, one per caption, if the objective reads them.
        noise: pairs that do not match; the image of a pair, and its id, is then the one that the noise gives it.
        augment: change captions and pictures at random. The random numbers are a function of (seed, epoch, position),
            so that neither loader workers nor resuming change a batch.
    """

    def __init__(
        self,
        split: Split,
        captions: Captions,
        descriptions: np.ndarray | None = None,
        seed: int = 0,
        augment: bool = False,
        noise: Noise | None = None,
    ) -> None:
        self.split, self.captions, self.descriptions = split, captions, descriptions
        self.seed, self.augment, self.noise = seed, augment, noise
        self.caption_image = split.caption_image if noise is None else noise.index
        self.resident: Tensor | None = None

    def __len__(self) -> int:
        return len(self.split.captions)

    def __getitem__(self, request: BatchRequest) -> CaptionBatch:
        generator = np.random.default_rng([self.seed, request.epoch, request.position]) if self.augment else None
        return self.read(request.captions, generator)

    def read(self, captions: np.ndarray, generator: np.random.Generator | None = None) -> CaptionBatch:
        """Read the pairs of these captions [B], longest first; augment them if there is a `generator`."""
        ids, lengths = self.captions.batch(captions, generator)
        order = torch.argsort(lengths, descending=True, stable=True)
        caption_ids = captions[order.numpy()]
        image_ids = self.caption_image[caption_ids]
        descriptions = None
        if self.descriptions is not None:
            descriptions = torch.from_numpy(np.ascontiguousarray(self.descriptions[caption_ids], dtype=np.float32))
        batch = CaptionBatch(
            captions=ids[order],
            lengths=lengths[order],
            image_ids=torch.from_numpy(image_ids),
            caption_ids=torch.from_numpy(caption_ids),
            descriptions=descriptions,
            extras={
                **_read_extras(self.split.image_extras, image_ids),
                **_read_extras(self.split.caption_extras, caption_ids),
            },
        )
        if self.resident is not None:
            return batch
        return _paired(batch, self.split.images.read(image_ids, generator), _region_lengths(self.split, image_ids))

    def fit_on(self, device: torch.device) -> bool:
        """Return whether `keep_images_on` is possible and takes less than half of a GPU's free memory."""
        images = self.split.images
        if device.type != "cuda" or not isinstance(images, Features) or images.lengths is not None:
            return False
        free, _ = torch.cuda.mem_get_info(device)
        return len(images) * images.array[0].nbytes < free / 2

    def keep_images_on(self, device: torch.device) -> None:
        """Keep all features in the memory of `device`; items are then batches of captions.

        Raises:
            InputError: the images are pictures, or differ in their number of regions, which the host must know.
        """
        if not isinstance(self.split.images, Features):
            raise InputError("--features_on_device: this data set holds pictures; leave the flag out")
        if self.split.images.lengths is not None:
            raise InputError("--features_on_device: images differ in their number of regions; leave the flag out")
        self.resident = self.split.images.resident(device)

    def with_images(self, batch: CaptionBatch) -> PairBatch:
        """Add the images to a batch on the device, unless the batch already holds them."""
        if isinstance(batch, PairBatch):
            return batch
        if self.resident is None:
            raise ValueError("a batch without images, and no images are kept on the device")
        return _paired(batch, self.resident[batch.image_ids].float())


def _paired(batch: CaptionBatch, images: Tensor, region_lengths: Tensor | None = None) -> PairBatch:
    values = {entry.name: getattr(batch, entry.name) for entry in fields(batch)}
    return PairBatch(images=images, region_lengths=region_lengths, **values)


def _region_lengths(split: Split, image_ids: np.ndarray) -> Tensor | None:
    """Look up the number of regions of images [B] -> [B] int64; None where every image has as many."""
    lengths = split.images.lengths if isinstance(split.images, Features) else None
    return None if lengths is None else torch.from_numpy(lengths[image_ids])


def pair_loader(
    dataset: PairDataset, sampler: EpochSampler, workers: int = 0, pin_memory: bool = False
) -> DataLoader[CaptionBatch]:
    """Load the batches that `sampler` draws; the number of workers does not change them."""
    # A loader draws a seed for its workers whenever it is iterated. It has its own generator: a resumed run iterates
    # once more than an undisturbed one, and the global generator would then be at another place.
    return DataLoader(
        dataset,
        sampler=sampler,
        batch_size=None,
        num_workers=workers,
        pin_memory=pin_memory,
        generator=torch.Generator(),
        worker_init_fn=leave_signals_to_parent,
    )


def leave_signals_to_parent(worker: int) -> None:
    """Make a loader process outlive the signals that its whole process group gets; its parent saves, then ends it.

    A cluster sends SIGTERM to all processes at once. The parent sends it too, to loaders that do not end by themselves,
    and once more when it exits itself: the second one counts.
    """
    received = 0

    def end_at_the_second(number: int, _frame: FrameType | None) -> None:
        nonlocal received
        received += 1
        if received > 1:
            os._exit(128 + number)

    for number in {signal.SIGINT, getattr(signal, "SIGUSR1", signal.SIGINT)}:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, end_at_the_second)


def iterate(loader: DataLoader[CaptionBatch]) -> Iterator[CaptionBatch]:
    """Iterate over a loader; raise a worker's `InputError` as the one sentence that it was.

    Raises:
        RuntimeError: a loader process was killed, in torch's words, also where a broken connection tells it first.
    """
    try:
        yield from loader
    except (ConnectionError, EOFError) as problem:
        raise RuntimeError("DataLoader worker exited unexpectedly") from problem
    except InputError as problem:
        raise InputError(str(problem).strip().splitlines()[-1].removeprefix("vse.errors.InputError: ")) from None


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Iterate while a thread reads the next item; what it raises is raised in the item's place."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item


def image_batches(split: Split, batch_size: int) -> Iterator[ImageBatch]:
    """Read every image of a split once, in order."""
    for first in range(0, len(split.images), batch_size):
        yield image_batch(split, np.arange(first, min(first + batch_size, len(split.images))))


def image_batch(split: Split, image_ids: np.ndarray) -> ImageBatch:
    """Read images of a split by their numbers [B]."""
    return ImageBatch(
        images=split.images.read(image_ids),
        image_ids=torch.from_numpy(image_ids),
        region_lengths=_region_lengths(split, image_ids),
        extras=_read_extras(split.image_extras, image_ids),
    )


def caption_batches(split: Split, captions: Captions, batch_size: int) -> Iterator[CaptionBatch]:
    """Read every caption of a split once, longest first, so that captions of similar length share a batch."""
    order = np.argsort(-captions.lengths, kind="stable")
    for first in range(0, len(order), batch_size):
        caption_ids = order[first : first + batch_size]
        ids, lengths = captions.batch(caption_ids, None)
        yield CaptionBatch(
            captions=ids,
            lengths=lengths,
            caption_ids=torch.from_numpy(caption_ids),
            image_ids=torch.from_numpy(split.caption_image[caption_ids]),
            extras=_read_extras(split.caption_extras, caption_ids),
        )


def _read_extras(extras: Mapping[str, Extra], ids: np.ndarray) -> dict[str, Tensor]:
    return {name: read(ids) for name, read in extras.items()}


@dataclass
class EvaluationData:
    """A split and its captions as token ids, for validation and evaluation."""

    split: Split
    captions: Captions
    batch_size: int = 128

    def images(self) -> Iterator[ImageBatch]:
        """Read every image once; see `image_batches`."""
        return image_batches(self.split, self.batch_size)

    def texts(self) -> Iterator[CaptionBatch]:
        """Read every caption once; see `caption_batches`."""
        return caption_batches(self.split, self.captions, self.batch_size)
