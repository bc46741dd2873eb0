"""What VSRN asks of the text that it is built for."""

from __future__ import annotations

import pytest

from vse.errors import InputError
from vse.text.vocabulary import Vocabulary
from vse.text.words import Words
from VSRN_LSEH.network import NetworkOptions, build

TEXT = Words(Vocabulary(["<pad>", "<unk>", "<start>", "<end>", "dog"]))


def test_the_captioner_refuses_other_ids_of_special_words() -> None:
    with pytest.raises(InputError, match="with 0, 2, 3 for <pad>, <start>, <end>; the captioner needs 0, 1, 2"):
        build(NetworkOptions(), (4, 6), TEXT)


def test_without_a_captioner_special_words_have_any_ids() -> None:
    build(NetworkOptions(no_captioning=True, embed_size=8, word_dim=4), (4, 6), TEXT)
