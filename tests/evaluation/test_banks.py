"""Banks of queries: what they score, and what may not be one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from tests.trained import write_checkpoint
from vse.errors import InputError
from vse.evaluation.banks import bank_of_embeddings, bank_of_scores, bank_of_training
from vse.evaluation.scoring import encode_split, score_matrix
from vse.evaluation.script import EvaluatedModel, open_models
from vse.options import EvaluationOptions

Write = Callable[..., str]


@pytest.fixture
def bank(tmp_path: Path) -> Write:
    """Write the arrays of a bank -> its path."""

    def write(**arrays: Tensor) -> str:
        np.savez(tmp_path / "bank.npz", **{name: array.numpy() for name, array in arrays.items()})
        return str(tmp_path / "bank.npz")

    return write


def matrix(rows: int, columns: int, seed: int) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def test_embeddings_of_a_bank_are_scored_by_the_measure(bank: Write) -> None:
    images, captions, many, more = matrix(3, 4, 0), matrix(6, 4, 1), matrix(5, 4, 2), matrix(7, 4, 3)
    path = bank(images=many, captions=more)
    by_product, by_cosine = (bank_of_embeddings(path, images, captions, kind) for kind in ("dot", "cosine"))
    torch.testing.assert_close(torch.cat([*by_product.images()]), many @ captions.T)
    torch.testing.assert_close(torch.cat([*by_cosine.captions()]), normalize(more) @ normalize(images).T)
    assert by_cosine.title == f"{path} (5 images, 7 captions)"


def test_a_bank_can_be_read_more_than_once(bank: Write) -> None:
    read = bank_of_scores(bank(images=matrix(5, 6, 0), captions=matrix(3, 7, 1)), matrix(3, 6, 2))
    for blocks in (read.images, read.captions):
        assert torch.equal(torch.cat([*blocks()]), torch.cat([*blocks()]))


@pytest.mark.parametrize("shapes", [((5, 7), (3, 9)), ((5, 6), (4, 9))])
def test_scores_of_another_gallery_are_refused(bank: Write, shapes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    path = bank(images=matrix(*shapes[0], 0), captions=matrix(*shapes[1], 1))
    with pytest.raises(InputError, match=r"expected scores \[bank images, 6\] and \[3, bank captions\]"):
        bank_of_scores(path, matrix(3, 6, 2))


def test_a_bank_of_one_side_is_refused(bank: Write) -> None:
    with pytest.raises(InputError, match="holds images; expected images and captions of the training split"):
        bank_of_scores(bank(images=matrix(5, 6, 0)), matrix(3, 6, 2))


def test_a_bank_with_infinity_is_refused(bank: Write) -> None:
    images = matrix(5, 6, 0)
    images[1, 2] = -torch.inf
    with pytest.raises(InputError, match=r"bank\.npz:images: 1 of 5 rows hold infinity, the first is row 1"):
        bank_of_scores(bank(images=images, captions=matrix(3, 7, 1)), matrix(3, 6, 2))


def test_single_test_queries_in_a_bank_are_counted(bank: Write, capsys: pytest.CaptureFixture[str]) -> None:
    images, captions = matrix(3, 4, 0), matrix(6, 4, 1)
    path = bank(images=torch.cat([images[:1], matrix(5, 4, 2)]), captions=matrix(7, 4, 3))
    bank_of_embeddings(path, images, captions, "cosine")
    assert "1 of 3 test images are in the bank, too" in capsys.readouterr().out


def test_a_bank_of_all_test_queries_is_refused(bank: Write) -> None:
    images, captions = matrix(3, 4, 0), matrix(6, 4, 1)
    path = bank(images=matrix(5, 4, 2), captions=torch.cat([captions, matrix(7, 4, 3)]))
    with pytest.raises(InputError, match="the bank holds all 6 captions of the test split"):
        bank_of_embeddings(path, images, captions, "cosine")


@pytest.fixture
def models(tmp_path: Path, data_root: Path) -> list[EvaluatedModel]:
    path = write_checkpoint(tmp_path / "model.pth.tar")
    return open_models(None, EvaluationOptions(str(path), data_path=str(data_root), data_name="small"))


def test_the_training_bank_holds_the_scores_of_training_queries(models: list[EvaluatedModel]) -> None:
    banks = bank_of_training(models)
    assert [block.shape for block in banks.images()] == [(24, 40)]
    assert [block.shape for block in banks.captions()] == [(120, 8)]
    model = models[0]
    split = model.trained.reader.open_split(model.data.split.captions_file.parent, "train")
    train = replace(model.data, split=split, captions=model.text.captions(split.captions, split.captions_file))
    cpu = torch.device("cpu")
    images = encode_split(model.network, train.images(), train.texts(), cpu)[0]
    captions = encode_split(model.network, model.data.images(), model.data.texts(), cpu)[1]
    torch.testing.assert_close(next(iter(banks.images())), score_matrix(model.network, images, captions))


def test_a_pairwise_network_makes_no_training_bank(models: list[EvaluatedModel]) -> None:
    trained = models[0].trained
    pairwise = replace(models[0], trained=replace(trained, folder=replace(trained.folder, pairwise=True)))
    with pytest.raises(InputError, match=r"scores every pair .* give a bank of scores by --bank FILE"):
        bank_of_training([pairwise])
