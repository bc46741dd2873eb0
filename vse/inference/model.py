"""Use a trained network: encode, score and rank captions and images, without the training data."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from PIL import Image
from torch import Tensor

from vse import networks
from vse.console import warn
from vse.data.batches import Captions, EvaluationData, caption_batches, image_batches
from vse.data.datasets import Split
from vse.data.features import Features
from vse.data.images import RawImages
from vse.data.index_writer import write_index
from vse.data.loading import Text
from vse.data.pictures import Pictures
from vse.distributed import choose_device
from vse.errors import InputError
from vse.evaluation.ranking import nearest
from vse.evaluation.scoring import MEMORY_BUDGET, assemble, evaluating, score_matrix
from vse.inference.extraction import extract, find_extraction
from vse.networks import Trained
from vse.nn.network import Encoding, Network
from vse.options import DataOptions
from vse.text.token_ids import TokenIds, encode
from vse.text.tokens import tokenise
from vse.text.vocabulary import Vocabulary
from vse.text.word_pieces import WordPieces

GIVEN = Path("<given>")
"""Folder of data that come from no folder; networks look there for files beside them and find none."""

PictureGiven = str | Path | Image.Image
"""A picture file, or a picture in memory."""

ImagesGiven = np.ndarray | Tensor | Split | PictureGiven | Sequence[PictureGiven]
"""Features [n, R, D] or [n, D], a split, or pictures."""


class _HasVocabulary(Protocol):
    vocabulary: Vocabulary


@dataclass(frozen=True)
class Found:
    """An item that `Model.rank` found."""

    item: int
    """Its number among the candidates, from 0."""
    score: float


class Model:
    """A network with its weights and its text, on a device.

    Args:
        trained: what was read from a checkpoint or an exported folder.
        device: cuda, mps or cpu; default: the first that is available.
        batch_size: items that are encoded at a time.
        features: data set folder, or its `features.json`, that describes how to extract features; default: that of
            the exported folder or of the training data.
        vocab_path: folder of the vocabulary for a checkpoint of the original code, which contains none.

    Raises:
        InputError: the checkpoint does not state the shape of its images, or its weights do not fit.
    """

    def __init__(
        self,
        trained: Trained,
        device: str | None = None,
        batch_size: int = 128,
        features: str | Path | None = None,
        vocab_path: str | None = None,
    ) -> None:
        if trained.image_shape is None:
            raise InputError(
                f"{trained.path}: does not state the shape of its images, as checkpoints of earlier versions and of "
                "the original code; go on from it with --init_model and --num_epochs 1 to have a checkpoint that does"
            )
        if batch_size < 1:
            raise InputError(f"batch_size {batch_size}: expected how many items to encode at a time, 1 or more")
        self.trained, self.batch_size = trained, batch_size
        self.image_shape = tuple(trained.image_shape)
        self.device = choose_device(device)
        named = DataOptions(data_name=trained.data.data_name, vocab_path=vocab_path)
        self.text: Text = trained.locate_text(named, Path(vocab_path or trained.path.parent))
        self.network: Network = trained.network(self.image_shape, self.text).to(self.device).eval()
        self.extraction: Mapping[str, Any] | None = find_extraction(trained, features)

    @property
    def digest(self) -> str:
        """SHA-256 of the weights."""
        return self.trained.digest

    @property
    def pairwise(self) -> bool:
        """A score needs both items at once, so that no item has an embedding."""
        return self.trained.folder.pairwise

    @property
    def reads_pictures(self) -> bool:
        """The network reads pixels, not features."""
        return len(self.image_shape) == 3

    def unknown_words(self, captions: Sequence[str]) -> list[str]:
        """Return the words that the network does not know, each once, in order; it reads them all as one."""
        if isinstance(self.text, WordPieces):
            tokenizer = self.text.tokenizer
            name = getattr(tokenizer.model, "unk_token", None)  # None where bytes make up any word, as in CLIP
            unknown = None if name is None else tokenizer.token_to_id(name)
            found = [
                caption[slice(*span)]
                for caption in captions
                for encoding in [tokenizer.encode(caption, add_special_tokens=False)]
                for piece, span in zip(encoding.ids, encoding.offsets, strict=True)
                if piece == unknown
            ]
        else:
            vocabulary = self._vocabulary
            words = (word for caption in captions for word in tokenise(caption, vocabulary.tokeniser))
            found = [word for word in words if word not in vocabulary.word2idx]
        return list(dict.fromkeys(found))

    def encode_text(self, captions: str | Sequence[str]) -> Encoding:
        """Encode captions, in order -> one vector each (`.vectors` [M, E]), or what the network scores pairs with.

        Unknown words are warned of; `unknown_words` returns them.

        Raises:
            InputError: no captions, or something that is no text.
        """
        captions = [captions] if isinstance(captions, str) else list(captions)
        if not captions or not all(isinstance(caption, str) for caption in captions):
            raise InputError("encode_text: expected a caption or a list of captions, at least one")
        unknown = self.unknown_words(captions)
        if unknown:
            more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
            warn(f"words that the network does not know: {', '.join(unknown[:10])}{more}")
        owner = np.zeros(len(captions), dtype=np.int64)
        features = np.zeros((1, *self.image_shape), dtype=np.float32)
        images: Any = RawImages([], cast(Any, None)) if self.reads_pictures else _features(features)
        data = self._completed(Split("given", GIVEN / "given_caps.txt", captions, images, owner))
        return self._encode_captions(data)

    def encode_images(self, images: ImagesGiven) -> Encoding:
        """Encode images, in order -> one vector each (`.vectors` [N, E]), or what the network scores pairs with.

        Args:
            images: features [n, *image_shape], a split, or pictures, as files or in memory. Pictures go through the
                extractor that the features of the training data were made with, unless the network reads pictures
                itself.

        Raises:
            InputError: images of another shape than the network reads, pictures that cannot be decoded, or pictures
                for a network of features of which nothing tells how they are made.
        """
        if isinstance(images, Split):
            self._check_shape(images.images.shape, str(images.captions_file.parent))
            return self._encode_images(self._completed(images))
        if isinstance(images, Tensor):
            images = (images.float() if images.is_floating_point() else images).detach().cpu().numpy()
        if isinstance(images, np.ndarray):
            return self._encode_features(images)
        several = isinstance(images, Iterable) and not isinstance(images, (str, Path, Image.Image))
        given = list(cast(Iterable[PictureGiven], images)) if several else [cast(PictureGiven, images)]
        if not given or not all(isinstance(picture, (str, Path, Image.Image)) for picture in given):
            raise InputError("encode_images: expected an array of features, a split or pictures, at least one")
        with tempfile.TemporaryDirectory() as folder:
            files = [_file(picture, Path(folder, f"{place}.tif")) for place, picture in enumerate(given)]
            return self._encode_files(files)

    def _encode_files(self, paths: list[Path]) -> Encoding:
        missing = [path for path in paths if not path.is_file()]
        if missing:
            more = f", and {len(missing) - 1} more of {len(paths)} are missing" if len(missing) > 1 else ""
            raise InputError(f"{missing[0]}: no such picture{more}; expected picture files")
        if self.reads_pictures:
            return self._encode_pictures(paths)
        if self.extraction is None:
            raise InputError(
                f"{paths[0]}: {self.trained.path} reads features {list(self.image_shape)}, and nothing tells how they "
                "are made of pictures; name the data set folder whose features.json says so (features=, --features)"
            )
        return self._encode_features(extract(paths, self.extraction, self.image_shape, self.device))

    def encode_split(self, split: Split) -> tuple[Encoding, Encoding]:
        """Encode the images and captions of a split, each in its order."""
        self._check_shape(split.images.shape, str(split.captions_file.parent))
        data = self.trained.reader.complete(
            EvaluationData(split, self.text.captions(split.captions, split.captions_file), self.batch_size), self.text
        )
        return self._encode_images(data), self._encode_captions(data)

    def score(self, images: Encoding | ImagesGiven, texts: Encoding | str | Sequence[str]) -> Tensor:
        """Score images against captions, encoded or not -> float32 [N, M] on the CPU; the larger, the better."""
        encoded = images if isinstance(images, Encoding) else self.encode_images(images)
        captions = texts if isinstance(texts, Encoding) else self.encode_text(texts)
        return score_matrix(self.network, encoded, captions, MEMORY_BUDGET, self.device)

    def rank(
        self, images: Encoding | ImagesGiven, texts: Encoding | str | Sequence[str], k: int = 10, find: str = "images"
    ) -> list[list[Found]]:
        """Rank the images for each caption, or with `find="captions"` the captions for each image.

        Returns:
            The best `k` candidates of each query, best first; of equal scores the earlier candidate comes first.

        Raises:
            InputError: `find` is neither, or `k` below 1.
        """
        if find not in ("images", "captions") or k < 1:
            raise InputError(f"rank: find={find!r}, k={k}; expected images or captions, and k of 1 or more")
        scores = self.score(images, texts)
        scores = scores.T.contiguous() if find == "images" else scores
        best = nearest(scores, min(k, scores.shape[1]))
        return [
            [Found(item, float(row[item])) for item in items] for row, items in zip(scores, best.tolist(), strict=True)
        ]

    @property
    def _vocabulary(self) -> Vocabulary:
        return cast(_HasVocabulary, self.text).vocabulary

    def _token_ids(self, captions: Sequence[str]) -> TokenIds:
        return (
            self.text.encode(captions)[0] if isinstance(self.text, WordPieces) else encode(captions, self._vocabulary)
        )

    def _completed(self, split: Split) -> EvaluationData:
        """Add what else a batch of the network holds (GSMN: boxes and edges); substitutes are announced on stderr."""
        with contextlib.redirect_stdout(sys.stderr):
            data: EvaluationData = self.trained.reader.complete(
                EvaluationData(split, cast(Captions, self._token_ids(split.captions)), self.batch_size), self.text
            )
        return data

    def _encode_images(self, data: EvaluationData) -> Encoding:
        rows, parts = [], []
        with evaluating(self.network):
            for batch in image_batches(data.split, self.batch_size):
                rows.append(batch.image_ids)
                parts.append(self.network.encode_images(batch.to(self.device)).to("cpu"))
        return assemble(rows, parts)

    def _encode_captions(self, data: EvaluationData) -> Encoding:
        rows, parts = [], []
        with evaluating(self.network):
            for batch in caption_batches(data.split, data.captions, self.batch_size):
                rows.append(batch.caption_ids)
                parts.append(self.network.encode_captions(batch.to(self.device)).to("cpu"))
        return assemble(rows, parts)

    def _encode_features(self, features: np.ndarray) -> Encoding:
        if features.ndim == len(self.image_shape):
            features = features[None]
        if features.dtype.kind != "f" or not len(features):
            raise InputError(
                f"features of shape {list(features.shape)} and dtype {features.dtype}: expected floating-point numbers "
                f"[images, {', '.join(map(str, self.image_shape))}]"
            )
        self._check_shape(features.shape[1:], "features given")
        if self.reads_pictures:
            raise InputError("this network reads pictures, not features; give picture files")
        names = [""] * len(features)
        split = Split("given", GIVEN / "given_caps.txt", names, _features(features), np.arange(len(features)))
        return self._encode_images(self._completed(split))

    def _encode_pictures(self, paths: list[Path]) -> Encoding:
        whole = [path.resolve() for path in paths]
        folder = Path(os.path.commonpath([path.parent for path in whole]))
        names = [str(path.relative_to(folder)) for path in whole]
        numbers = np.arange(len(whole))
        with tempfile.TemporaryDirectory() as place:  # a network opens pictures as a data set only
            write_index({"test": Pictures(folder, names, numbers, ["picture"] * len(whole), numbers)}, Path(place))
            split = self.trained.reader.open_split(Path(place), "test")
            return self.encode_images(split)

    def _check_shape(self, shape: Sequence[int], where: str) -> None:
        """Refuse images of another shape; networks that take any number of regions are asked for D alone."""
        wanted, given = self.image_shape, tuple(shape)
        free = len(wanted) == len(given) == 2 and self.network.any_regions
        if given != wanted and not (free and given[-1] == wanted[-1]):
            raise InputError(
                f"{where}: images of shape {list(given)}; {self.trained.path} was trained on {list(wanted)}, give "
                "images of that shape, or train a network for these"
            )


def _features(array: np.ndarray) -> Features:
    return Features(GIVEN / "given_ims.npy", np.ascontiguousarray(array, np.float32))  # which says what row is broken


def _file(picture: PictureGiven, place: Path) -> Path:
    """Return the file of a picture; one in memory is written to `place` first.

    Raises:
        InputError: it cannot be written.
    """
    if not isinstance(picture, Image.Image):
        return Path(picture)
    try:
        picture.save(place, "TIFF", exif=picture.getexif())
    except (OSError, ValueError, KeyError) as problem:
        raise InputError(f"{picture}: cannot be read ({problem}); convert it to RGB") from None
    return place


def load(
    path: str | Path,
    device: str | None = None,
    batch_size: int = 128,
    features: str | Path | None = None,
    network: str | None = None,
    vocab_path: str | None = None,
) -> Model:
    """Load a checkpoint, a folder that `python -m vse export` wrote, or such a folder of the Hub (`hf:owner/name`).

    Args:
        network: of a checkpoint of the original code, which does not name it.

    Raises:
        InputError: see `Model` and `vse.networks.load`.
    """
    trained = networks.load(path, None if network is None else networks.folder(network))
    return Model(trained, device, batch_size, features, vocab_path)
