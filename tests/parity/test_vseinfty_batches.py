"""VSE-infinity reads captions and drops regions as the published code does (tests/golden/vseinfty)."""

from __future__ import annotations

import random

import numpy as np
import torch

from tests.parity.vseinfty import Golden
from vse.text.augmented import AugmentedCaptions
from vse.text.word_pieces import WordPieces
from VSEinfty_LSEH.model import keep


def pieces_of(vocabulary: list[str]) -> WordPieces:
    """Word pieces as a BERT's uncased tokenizer makes them."""
    import tokenizers

    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordPiece({piece: number for number, piece in enumerate(vocabulary)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    return WordPieces(tokenizer.to_str(), {"max_position_embeddings": 512})


class Recorded:
    """Answers like a generator, with numbers that Python's generator gave in the published order."""

    def __init__(self, words: list[list[list[str]]], vocabulary: int) -> None:
        self.draws: list[float] = []
        self.choices: list[int] = []
        for caption in words:
            self.draws.append(1.0)  # [CLS], for which the original code draws nothing
            for pieces in caption:
                draw = random.random()
                self.draws.append(draw)
                if 0.1 <= draw < 0.12:
                    self.choices += [random.choice(range(vocabulary)) for _ in pieces]
            self.draws.append(1.0)  # [SEP]

    def random(self, size: int) -> np.ndarray:
        assert size == len(self.draws)
        return np.array(self.draws)

    def integers(self, high: int, size: int) -> np.ndarray:
        assert size == len(self.choices)
        return np.array(self.choices, dtype=np.int64)


def test_word_pieces_and_their_augmentation() -> None:
    config = Golden("text").settings
    pieces = pieces_of(config["vocab"])
    tokens, begins = pieces.encode(config["captions"])
    assert [tokens[caption].tolist() for caption in range(len(tokens))] == config["eval_ids"]
    captions = AugmentedCaptions(tokens, begins, pieces.mask, len(pieces), keep_ends=True)
    everything = np.arange(len(tokens))
    for seed, wanted in config["train_ids_by_python_seed"].items():
        random.seed(int(seed))
        ids, lengths = captions.batch(everything, Recorded(config["wordpieces"], len(pieces)))
        assert [row[:length].tolist() for row, length in zip(ids, lengths, strict=True)] == wanted, seed
        assert not ids[torch.arange(ids.shape[1]) >= lengths[:, None]].any()


def test_region_dropping_of_a_published_batch() -> None:
    golden = Golden("text")
    ds = golden.settings["ds"]
    images = golden["ds/in/ims"][torch.tensor(ds["indices"]) // ds["im_div"]]
    np.random.seed(ds["numpy_seed"])  # noqa: NPY002
    draws = torch.from_numpy(np.stack([np.random.rand(images.shape[1]) for _ in images]))  # noqa: NPY002
    regions, lengths = keep(images, draws > 0.2)
    assert torch.equal(regions, golden["ds/train_batch/images"])
    assert torch.equal(lengths, golden["ds/train_batch/image_lengths"].long())
