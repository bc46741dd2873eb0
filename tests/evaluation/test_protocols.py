"""Evaluation of any scores: ties counted, corrections by direction, constants read from the command line."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from vse.data.ids import SplitIds
from vse.errors import InputError
from vse.evaluation.banks import Banks, transductive_bank
from vse.evaluation.corrections import correct, in_blocks
from vse.evaluation.protocols import count_ties, evaluate_corrected, evaluate_scores, parse_correction
from vse.evaluation.ranking import evaluate

OWNER = np.array([0, 0, 1, 2, 2, 2, 4])  # image 3 has no caption
SPLIT = SplitIds("test", None, OWNER, 5)
GENERATOR = torch.Generator().manual_seed(0)
SCORES = torch.rand(5, 7, generator=GENERATOR)
BANKS = Banks(
    in_blocks(torch.rand(20, 7, generator=GENERATOR)), in_blocks(torch.rand(30, 5, generator=GENERATOR)), "drawn"
)


def test_uneven_captions_per_image_are_evaluated() -> None:
    result = evaluate_scores(SCORES, SPLIT)
    plain = evaluate(SCORES, OWNER)
    assert {name: result[name] for name in plain} == plain
    assert result["without_captions"] == [3]


def test_ties_of_a_right_item_and_a_wrong_one_are_counted() -> None:
    owner = torch.tensor([0, 0, 1, 2])
    scores = torch.tensor([[1.0, 2.0, 2.0, 0.0], [5.0, 5.0, 4.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    # Image 0: its best caption 1 ties with caption 2. Image 2: 3 ties with 1 and 2. Captions 0 and 3 tie in a column.
    assert count_ties(scores, owner) == (2, 2)
    assert count_ties(torch.zeros(3, 4), owner) == (3, 4)


@pytest.mark.parametrize("name", ["csls", "qbnorm"])
def test_each_direction_is_corrected_by_its_own_bank(name: str) -> None:
    result = evaluate_corrected(SCORES, SPLIT, name, BANKS, {"k": 2}, fold5=False, coco=False)
    captions = evaluate(correct(SCORES, BANKS.images, name, k=2), OWNER)
    images = evaluate(correct(SCORES.T, BANKS.captions, name, k=2).T, OWNER)
    for key in captions:
        if key != "rsum":
            assert result[key] == (images if key.endswith("i") else captions)[key], key
    assert result["rsum"] == pytest.approx(sum(result[f"r{k}{suffix}"] for k in (1, 5, 10) for suffix in ("", "i")))
    assert result["transductive"] is False


def test_folds_are_corrected_by_direction_too() -> None:
    scores = torch.rand(10, 20, generator=torch.Generator().manual_seed(1))
    split = SplitIds("test", None, np.arange(20) // 2, 10)
    result = evaluate_corrected(scores, split, "csls", transductive_bank(scores), {}, fold5=True)
    captions = evaluate(correct(scores, scores, "csls"), split.caption_image, fold5=True)
    images = evaluate(correct(scores.T, scores.T, "csls").T, split.caption_image, fold5=True)
    assert result["fold5"]["meanr"] == captions["meanr"]
    assert result["fold5"]["meanri"] == images["meanri"]
    assert result["fold5"]["folds"][3]["meanri"] == images["folds"][3]["meanri"]
    assert result["transductive"] is True


def test_a_correction_leaves_the_scores_as_they_were() -> None:
    scores = SCORES.clone()
    evaluate_corrected(scores, SPLIT, "qbnorm", transductive_bank(scores), {}, fold5=False)
    assert torch.equal(scores, SCORES)


def test_constants_are_read_in_their_type() -> None:
    assert parse_correction("csls") == ("csls", {})
    assert parse_correction("nnn:k=64,weight=0.5") == ("nnn", {"k": 64, "weight": 0.5})
    assert parse_correction("qbnorm:beta=3") == ("qbnorm", {"beta": 3.0})


@pytest.mark.parametrize("text", ["cls", "csls:k=2.5", "csls:k=0", "csls:temperature=1", "csls:k", "nnn:weight=inf"])
def test_unknown_corrections_and_constants_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=f"--correct {text}"):
        parse_correction(text)


MEMORY = """
import resource
import numpy as np, torch
from vse.data.ids import SplitIds
from vse.evaluation.banks import transductive_bank
from vse.evaluation.protocols import evaluate_corrected, evaluate_scores

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

scores = torch.from_numpy(np.random.default_rng(0).random((1000, 10000), dtype=np.float32))
split = SplitIds("test", None, np.arange(10000) // 10, 1000)
evaluate_scores(torch.rand(10, 100), SplitIds("small", None, np.arange(100) // 10, 10))  # what torch loads lazily
before = peak()
evaluate_scores(scores, split)
evaluated = peak()
evaluate_corrected(scores, split, "csls", transductive_bank(scores), {})
print((evaluated - before) / scores.nbytes, (peak() - before) / scores.nbytes)
"""


def test_scores_are_never_copied_and_corrections_copy_them_once() -> None:
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    evaluated, corrected = map(float, done.stdout.split())
    assert evaluated < 0.9  # of the size of the scores
    assert corrected < 1.9
