"""The networks of this repository by name, and networks from checkpoints."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vse import ranges
from vse.errors import InputError
from vse.options import DataOptions, EmbeddingOptions, with_values

if TYPE_CHECKING:  # torch takes a second to import; --help answers without it
    from vse.checkpoints import Checkpoint
    from vse.data.loading import Reader, Text
    from vse.nn.network import Network

FOLDERS = {
    "VSEpp": "VSEpp_LSEH",
    "VSRN": "VSRN_LSEH",
    "VSEinfty": "VSEinfty_LSEH",
    "SGRAF": "SGRAF_LSEH",
    "GSMN": "GSMN_LSEH",
    "HAL": "HAL",
}
"""Name of a network, as its checkpoints carry it -> the folder whose `network.py` describes it."""


def as_given(network: Any, data: DataOptions) -> Any:
    """Return a network's options as they are: the default of `NetworkFolder.resolve`."""
    return network


def as_saved(network: Any, saved: Mapping[str, Any], state: Any) -> Any:
    """Return a network's options as they are: the default of `NetworkFolder.published_options`."""
    return network


def scores_are_cosines(options: EmbeddingOptions) -> bool:
    """Return whether a network of these options scores by cosines: `NetworkFolder.bounded` of VSE++, VSRN and HAL."""
    return options.measure == "cosine" and not options.no_imgnorm


@dataclass(frozen=True)
class NetworkFolder:
    """Interface of a network's folder to training, evaluation and search; `network.py` defines it as `FOLDER`."""

    name: str
    """As checkpoints carry it."""
    options: type[Any]
    """The network's options."""
    build: Callable[[Any, tuple[int, ...], Text, bool], Network]
    """(options, shape of one image, text, pretrained) -> the network; `pretrained` loads the weights of its parts."""
    reader: Callable[[Any], Reader]
    """Options -> how the network reads a data set."""
    pairwise: bool = False
    """It scores pairs by cross-attention and has no one embedding per item."""
    bounded: Callable[[Any], bool] = lambda options: True
    """Options -> whether its scores lie in [-1, 1], as cosines do."""
    resolve: Callable[[Any, DataOptions], Any] = as_given
    """(options, data options) -> options with all constants filled in; raises InputError if they contradict."""
    published_options: Callable[[Any, Mapping[str, Any], Any], Any] = as_saved
    """(options, saved options, weights) of a checkpoint of the original code -> the options of its network."""


def folder(name: str) -> NetworkFolder:
    """Import the description of a network.

    Raises:
        InputError: there is no such network.
    """
    if name not in FOLDERS:
        raise InputError(f"network {name!r} is not one of this repository: expected one of {', '.join(FOLDERS)}")
    found: NetworkFolder = importlib.import_module(f"{FOLDERS[name]}.network").FOLDER
    return found


@dataclass
class Trained:
    """A loaded checkpoint, from which a network can be built."""

    path: Path
    folder: NetworkFolder
    options: Any  # of the network, as it was trained
    data: DataOptions  # of its training
    saved: Mapping[str, Any]  # all options of its training by the names of their flags
    text: Mapping[str, Any] | None  # None in a checkpoint of the original code
    image_shape: tuple[int, ...] | None  # None in older checkpoints and those of the original code
    checkpoint: Checkpoint
    published: bool  # it is a checkpoint of the original code
    record: Mapping[str, Any] | None  # of the run that made it; None in older checkpoints and the original code's
    digest: str  # SHA-256 of the weights

    @property
    def reader(self) -> Reader:
        """How the network reads a data set."""
        return self.folder.reader(self.options)

    def describe(self) -> dict[str, Any]:
        """Return what the record of an evaluation says of the checkpoint."""
        return {"path": str(self.path.resolve()), "weights_sha256": self.digest, "record": self.record}

    def locate_text(self, data: DataOptions, folder: Path) -> Text:
        """Return the text that the checkpoint carries, or that of a data set for one of the original code."""
        if self.text is not None:
            try:
                return self.reader.text_of_state(self.text)
            except InputError as problem:
                raise InputError(f"{self.path}: {problem}") from None
            except (KeyError, TypeError, ValueError):
                raise InputError(f"{self.path}: its text is not what its options read; use another copy") from None
        return self.reader.locate_text(data, folder)

    def network(self, image_shape: tuple[int, ...], text: Text) -> Network:
        """Build the network and load its weights.

        Raises:
            InputError: the weights do not fit.
        """
        from torch import device

        from vse.checkpoints import NoInitialWeights, load_weights, weights_for

        try:
            with device("meta"), NoInitialWeights():  # sizes in a damaged file must not ask for memory
                weights_for(self.folder.build(self.options, image_shape, text, False), self.checkpoint)
        except RuntimeError as problem:
            raise InputError(f"{self.path}: no network has its options ({problem}); use another copy") from None
        with NoInitialWeights():
            network = self.folder.build(self.options, image_shape, text, False)
        load_weights(network, self.checkpoint)
        return network


def load(path: str | Path, expected: NetworkFolder | None = None) -> Trained:
    """Read a checkpoint, ours or of the original code; options that its network no longer has are left out.

    Args:
        path: a file, a folder that `python -m vse export` wrote, or such a folder of the Hub (`hf:owner/name`).
        expected: the network it must be of. A checkpoint of the original code does not say and needs it.

    Raises:
        InputError: missing, damaged, of another network, or of the original code without `expected`.
    """
    from vse.checkpoints import digest
    from vse.formats import exported
    from vse.losses import read_saved
    from vse.published import checkpoints

    name = None if expected is None else expected.name
    is_exported = exported.is_exported(path)
    checkpoint = exported.load(path, name) if is_exported else checkpoints.load(Path(path), name)
    path = checkpoint.path
    if checkpoint.published and expected is None:
        raise InputError(f"{path}: a checkpoint of the original code does not name its network; give it")
    described = expected or folder(checkpoint.network)
    saved = read_saved(checkpoint.options)
    data = with_values(DataOptions(), saved)
    options = with_values(described.options(), saved)
    for group in (data, options):
        ranges.check(group, str(path))
    options = described.resolve(options, data)
    if checkpoint.published:
        options = described.published_options(options, saved, checkpoint.parts)
    shape = checkpoint.image_shape
    return Trained(
        path,
        described,
        options,
        data,
        saved,
        checkpoint.vocabulary,
        None if shape is None else tuple(shape),
        checkpoint,
        checkpoint.published,
        checkpoint.record,
        digest(checkpoint.parts),
    )
