"""Caption files, one caption a line in the order of the caption ids, and their token ids."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from torch import Tensor

from vse.errors import InputError
from vse.files import write_atomically
from vse.text.tokens import tokenise
from vse.text.vocabulary import END, START, UNKNOWN, Vocabulary

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# What bytes.strip() removes in the published readers. Other Unicode spaces stay: they show in HAL's byte tokens.
_WHITE_SPACE = " \t\n\r\x0b\x0c"


def read_captions(path: Path) -> list[str]:
    """The captions of a file, one a line, stripped at both ends; an empty line is an empty caption.

    UTF-8, with or without a byte order mark; lines end with LF or CRLF and nothing else. The newline that ends the
    last line starts no further caption.

    Raises:
        InputError: the file cannot be read, is empty, or holds a NUL or bytes that are not UTF-8.
    """
    return _parse_captions(_read_bytes(path), path)


def _read_bytes(path: Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: the caption file cannot be read ({error.strerror}); give a text file with one caption a line"
        ) from None


def _parse_captions(content: bytes, path: Path) -> list[str]:
    content = content.removeprefix(_BYTE_ORDER_MARK)
    if not content:
        raise InputError(f"{path}: the caption file is empty; expected one caption a line")
    nul = content.find(b"\0")
    if nul >= 0:
        line = content.count(b"\n", 0, nul) + 1
        raise InputError(
            f"{path}, line {line}: holds a NUL byte; expected plain text in UTF-8, save the file in that encoding"
        )
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} is not valid UTF-8; convert the file to UTF-8"
        ) from None
    lines = text.removesuffix("\n").split("\n")
    return [line.strip(_WHITE_SPACE) for line in lines]


@dataclass(frozen=True)
class TokenIds:
    """The captions of a file as ids, `<start>` and `<end>` included.

    Caption k is `ids[offsets[k]:offsets[k + 1]]`.
    """

    ids: np.ndarray  # [tokens of all captions] int32
    offsets: np.ndarray  # [captions + 1] int64

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, caption: int) -> np.ndarray:
        """Ids of one caption, [length] int32."""
        return self.ids[self.offsets[caption] : self.offsets[caption + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """Tokens per caption, [captions] int64."""
        return np.diff(self.offsets)

    def batch(self, captions: np.ndarray, generator: np.random.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Captions side by side, in the order asked for.

        Args:
            captions: [B] caption indices.
            generator: not used, words are not augmented.

        Returns:
            ids [B, T] int64, padded with 0 to the longest of these captions; lengths [B] int64.
        """
        import torch  # SVDdescriptions.py reads captions and does without

        starts = self.offsets[captions]
        lengths = self.offsets[captions + 1] - starts
        positions = np.arange(lengths.max(initial=0))
        inside = positions < lengths[:, None]
        padded = np.zeros(inside.shape, dtype=np.int64)
        padded[inside] = self.ids[(starts[:, None] + positions)[inside]]
        return torch.from_numpy(padded), torch.from_numpy(lengths)


def encode(captions: Iterable[str], vocabulary: Vocabulary) -> TokenIds:
    """`<start>`, the ids of a caption's tokens, `<end>`; an empty caption is `<start> <end>`."""
    id_of = vocabulary.word2idx.get
    rows = [
        [START, *[id_of(word, UNKNOWN) for word in tokenise(caption, vocabulary.tokeniser)], END]
        for caption in captions
    ]
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    return TokenIds(np.fromiter(chain.from_iterable(rows), np.int32, offsets[-1]), offsets)


def token_ids(captions_file: Path, vocabulary: Vocabulary, cache_folder: Path | None = None) -> TokenIds:
    """The token ids of a caption file.

    They are kept in `cache_folder` under a name that stands for the file's content and the vocabulary with its
    tokeniser. A folder that cannot be written, or None, means no cache; a damaged cache is made anew.

    Raises:
        InputError: as `read_captions`.
    """
    content = _read_bytes(captions_file)
    key = hashlib.sha256(hashlib.sha256(content).digest() + bytes.fromhex(vocabulary.digest)).hexdigest()
    cached = None if cache_folder is None else Path(cache_folder) / f"{Path(captions_file).stem}_ids_{key[:16]}.npz"
    if cached is not None and (ids := _read_cache(cached, key, len(vocabulary))) is not None:
        return ids
    ids = encode(_parse_captions(content, captions_file), vocabulary)
    if cached is not None:
        with suppress(InputError, OSError):  # a cache only saves time
            write_atomically(cached, lambda file: np.savez(file, ids=ids.ids, offsets=ids.offsets, key=np.array(key)))
    return ids


def _read_cache(path: Path, key: str, words: int) -> TokenIds | None:
    """The cached ids, or None where there are none to trust."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as cache:
            ids, offsets, cached_key = cache["ids"], cache["offsets"], str(cache["key"])
        sound = (
            cached_key == key
            and (ids.dtype, ids.ndim, offsets.dtype, offsets.ndim) == (np.int32, 1, np.int64, 1)
            and (offsets[0], offsets[-1]) == (0, len(ids))
            and bool((np.diff(offsets) >= 2).all())
            and ids.min() >= 0
            and ids.max() < words
        )
    except Exception:  # a damaged archive may raise almost anything
        return None
    return TokenIds(ids, offsets) if sound else None
