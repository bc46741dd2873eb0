"""Captions as the words of a vocabulary."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vse.errors import InputError
from vse.text.vocabulary import Vocabulary
from vse.text.words import Words

SOURCE = Path("train_caps.txt")


def test_captions_become_ids_and_unknown_words_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    words = Words(Vocabulary.build(["red dog"], 1))
    assert len(words) == 6
    ids = words.captions(["Red dog", "red cat"], SOURCE)
    assert ids.batch(np.array([0, 1]))[0].tolist() == [[1, 4, 5, 2], [1, 4, 3, 2]]
    assert capsys.readouterr().out == "train_caps.txt: 25.0% unknown words\n"


def test_ids_are_kept_only_where_a_folder_is_given(tmp_path: Path) -> None:
    vocabulary = Vocabulary.build(["red dog"], 1)
    Words(vocabulary).captions(["red dog"], SOURCE)
    Words(vocabulary, tmp_path).captions(["red dog"], SOURCE)
    assert [path.name.rpartition("_")[0] for path in tmp_path.iterdir()] == ["train_caps_ids"]


def test_captions_of_another_language_are_refused() -> None:
    with pytest.raises(InputError, match=r"train_caps\.txt: 100% of the words are unknown"):
        Words(Vocabulary.build(["red dog"], 1)).captions(["un chien rouge"], SOURCE)


def test_a_checkpoint_gets_the_vocabulary() -> None:
    vocabulary = Vocabulary.build(["red dog"], 1)
    assert Words(vocabulary).to_state() == vocabulary.to_state()
