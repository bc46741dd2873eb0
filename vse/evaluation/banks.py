"""Banks of queries from which hubness corrections estimate hubness: from the training split, as they should be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor
from tqdm import tqdm

from vse.console import say
from vse.data.loading import open_evaluation_data
from vse.distributed import choose_device
from vse.errors import InputError
from vse.evaluation.arrays import Measure, infinite, read_arrays, refuse, unit
from vse.evaluation.corrections import BLOCK_BYTES, Bank, in_blocks
from vse.evaluation.scoring import encode_data, ensemble, score_matrix
from vse.evaluation.script import EvaluatedModel

TRANSDUCTIVE = "transductive, not comparable"


@dataclass(frozen=True)
class Banks:
    """Queries of both directions, from which a correction estimates hubness."""

    images: Bank  # blocks [b, M] of the scores of images of the bank and the split's captions
    captions: Bank  # blocks [b, N] of the scores of captions of the bank and the split's images
    title: str
    transductive: bool = False


def transductive_bank(scores: Tensor) -> Banks:
    """Take the test queries of scores [N, M] themselves: what comes of it compares with nothing else."""
    return Banks(in_blocks(scores), in_blocks(scores.T), "the test queries themselves", transductive=True)


def bank_of_scores(source: str, scores: Tensor) -> Banks:
    """Read a bank of scores: `images` [bank images, M] and `captions` [N, bank captions].

    Args:
        scores: [N, M] of the test split.

    Raises:
        InputError: it does not fit the scores, holds NaN or infinity, or holds the test queries.
    """
    images, captions = _read(source)
    n_images, n_captions = scores.shape
    if images.shape[1] != n_captions or captions.shape[0] != n_images:
        raise InputError(
            f"{source}: images {list(images.shape)}, captions {list(captions.shape)}; expected scores "
            f"[bank images, {n_captions}] and [{n_images}, bank captions]"
        )
    _refuse_test(source, "images", images, scores)
    _refuse_test(source, "captions", captions.T, scores.T)
    return Banks(in_blocks(images), in_blocks(captions.T), _title(source, len(images), captions.shape[1]))


def bank_of_embeddings(source: str, images: Tensor, captions: Tensor, measure: Measure) -> Banks:
    """Read a bank of embeddings: `images` [bank images, D] and `captions` [bank captions, D].

    Args:
        images: [N, D] of the test split.
        captions: [M, D] of the test split.

    Raises:
        InputError: it does not fit these embeddings, holds NaN or infinity, or holds the test queries.
    """
    bank_images, bank_captions = _read(source)
    size = images.shape[1]
    if bank_images.shape[1] != size or bank_captions.shape[1] != size:
        raise InputError(
            f"{source}: images {list(bank_images.shape)}, captions {list(bank_captions.shape)}; expected embeddings of "
            f"{size} dimensions, as those evaluated"
        )
    _refuse_test(source, "images", bank_images, images)
    _refuse_test(source, "captions", bank_captions, captions)
    return Banks(
        _products(bank_images, captions, measure),
        _products(bank_captions, images, measure),
        _title(source, len(bank_images), len(bank_captions)),
    )


def bank_of_training(models: Sequence[EvaluatedModel], device: str | None = None) -> Banks:
    """Encode the training split of the data set that models are evaluated on.

    Scores of several models are averaged, as those of the test split are.

    Raises:
        InputError: a network scores pairs and embeds nothing, or there is no training split.
    """
    place = choose_device(device)
    encoded = []
    for model in models:
        trained = model.trained
        if trained.folder.pairwise:
            raise InputError(
                f"--bank train: {trained.folder.name} scores every pair of the training split and the test split by "
                "cross-attention, which takes hours; give a bank of scores by --bank FILE"
            )
        split = trained.reader.open_split(model.data.split.captions_file.parent, "train")
        train = open_evaluation_data(split, trained.reader, model.text, model.data.batch_size)
        say(f"--bank train: {len(split.images)} images and {len(split.captions)} captions are encoded")
        network = model.network.to(place)
        test = encode_data(network, model.data, place)
        encoded.append((network, test, encode_data(network, train, place)))
    n_images, n_captions = (len(side) for side in encoded[0][2])

    def blocks(total: int, gallery: int, scores_of: str) -> Iterable[Tensor]:
        rows = max(1, BLOCK_BYTES // (4 * gallery))
        for first in tqdm(range(0, total, rows), desc="bank", unit="block", leave=False, disable=None):
            some = slice(first, first + rows)
            if scores_of == "images":
                yield ensemble(
                    [score_matrix(net, bank[0].rows(some), test[1], device=place) for net, test, bank in encoded]
                )
            else:
                yield ensemble(
                    [score_matrix(net, test[0], bank[1].rows(some), device=place) for net, test, bank in encoded]
                ).T

    tested = tuple(len(side) for side in encoded[0][1])
    return Banks(
        lambda: blocks(n_images, tested[1], "images"),
        lambda: blocks(n_captions, tested[0], "captions"),
        _title("train", n_images, n_captions),
    )


def _read(source: str) -> tuple[Tensor, Tensor]:
    arrays = read_arrays(source)
    if not {"images", "captions"} <= set(arrays):
        raise InputError(f"{source}: holds {', '.join(arrays)}; expected images and captions of the training split")
    for name in ("images", "captions"):
        refuse(infinite, arrays[name], f"{source}:{name}", "infinity")
    return arrays["images"], arrays["captions"]


def _title(source: str, images: int, captions: int) -> str:
    return f"{source} ({images} images, {captions} captions)"


def _products(queries: Tensor, gallery: Tensor, measure: Measure) -> Bank:
    """Score embeddings of a bank, block by block, whenever they are asked for."""
    if measure == "cosine":
        queries, gallery = unit(queries, "bank"), unit(gallery, "gallery")
    rows = max(1, BLOCK_BYTES // (4 * len(gallery)))
    columns = gallery.float().T

    def blocks() -> Iterable[Tensor]:
        for block in tqdm(queries.split(rows), desc="bank", unit="block", leave=False, disable=None):
            yield block.float() @ columns

    return blocks


def _refuse_test(source: str, kind: str, bank: Tensor, test: Tensor) -> None:
    """Refuse a bank that holds every test query; single ones may be equal, as equal captions are."""
    if bank.shape[1] != test.shape[1]:
        return
    known = {row.numpy().tobytes() for row in bank.to(test.dtype)}
    shared = sum(row.numpy().tobytes() in known for row in test)
    if shared == len(test):
        raise InputError(
            f"{source}: the bank holds all {len(test)} {kind} of the test split; give queries of the training "
            f"split, or --bank test, whose numbers are {TRANSDUCTIVE}"
        )
    if shared:
        say(f"{source}: {shared} of {len(test)} test {kind} are in the bank, too")
