"""From a caption to its tokens: exactly what NLTK's `word_tokenize` gives, offline and several times as fast."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, lru_cache
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nltk.tokenize.destructive import NLTKWordTokenizer
    from nltk.tokenize.punkt import PunktSentenceTokenizer

TOKENISERS = ("punkt", "ascii-lower", "bytes-repr")
"""What `tokenise` knows. Each is NLTK's `word_tokenize` of a caption that was prepared in one of three ways:

punkt: lower-cased (the default; VSRN, VSE-infinity and all networks with LSEH).
ascii-lower: only the ASCII letters lower-cased, as VSE++ and SGRAF do to the file's bytes.
bytes-repr: Python's notation of the bytes, `b'...'`, lower-cased: a slip in HAL's reader that its published
checkpoints were made with.
"""


def tokenise(caption: str, tokeniser: str = "punkt") -> list[str]:
    """The tokens of a caption: NLTK's `word_tokenize` (Punkt sentences, then Treebank words) of the lower-cased text.

    NLTK's data need not be installed, and are not looked at where they are.

    Args:
        tokeniser: one of `TOKENISERS`.
    """
    text = _PREPARE[tokeniser](caption)
    # Punkt only ever looks at a stop that white space or another mark follows: without one the text is one sentence.
    sentences = _punkt().tokenize(text) if _STOP_INSIDE.search(text) else [text.rstrip()]
    return [token for sentence in sentences for token in _words(sentence)]


_PREPARE: dict[str, Callable[[str], str]] = {
    "punkt": str.lower,
    "ascii-lower": lambda caption: caption.encode().lower().decode(),
    "bytes-repr": lambda caption: repr(caption.encode()).lower(),
}

_STOP_INSIDE = re.compile(r"[.?!](?=[^\w.])")
# A full stop in front of these, spaces between them included, may still be the one that ends the sentence.
_CLOSING_MARKS = "])}>\"'»”’"


def _words(sentence: str) -> list[str]:
    """What NLTK's word tokenizer makes of a sentence, put together from its white-space separated chunks.

    Its rules look across a blank in two ways only: marks that end a sentence are treated differently at the very end,
    and opening quotes at the very beginning. So each distinct chunk is split once for each of the three places. What
    begins with a blank, has other white space than blanks, or ends in a chunk that a rule could look through is left
    to NLTK as a whole.
    """
    chunks = sentence.split()
    only_blanks = sentence.isprintable() and not sentence.startswith(" ")
    if len(chunks) < 2 or not only_blanks or not chunks[-1].strip(_CLOSING_MARKS):
        return _treebank().tokenize(sentence)
    return [*_first(chunks[0]), *chain.from_iterable(map(_inner, chunks[1:-1])), *_last(chunks[-1])]


@lru_cache(1 << 16)
def _first(chunk: str) -> list[str]:
    return [chunk] if _is_plain(chunk) else _treebank().tokenize(f"{chunk} x")[:-1]


@lru_cache(1 << 16)
def _inner(chunk: str) -> list[str]:
    return [chunk] if _is_plain(chunk) else _treebank().tokenize(f"x {chunk} x")[1:-1]


@lru_cache(1 << 16)
def _last(chunk: str) -> list[str]:
    return [chunk] if _is_plain(chunk) else _treebank().tokenize(f"x {chunk}")[1:]


def _is_plain(chunk: str) -> bool:
    """Letters and digits only, so that no rule can apply but those that take apart words like "cannot"."""
    return chunk.isalnum() and not any(rule.search(f" {chunk} ") for rule in _treebank().CONTRACTIONS2)


# NLTK takes two seconds to import, so only what has to tokenise pays for it.
@cache
def _treebank() -> NLTKWordTokenizer:
    from nltk.tokenize.destructive import NLTKWordTokenizer

    return NLTKWordTokenizer()


@cache
def _punkt() -> PunktSentenceTokenizer:
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

    parameters = PunktParameters()
    parameters.abbrev_types = {*_ABBREVIATIONS.split(), ". . "}
    parameters.collocations = {(first, second) for first, words in _COLLOCATIONS.items() for second in words.split()}
    for word in ("administrators", "b-week", "r-revised", "z-holiday"):
        parameters.add_ortho_context(word, _SENTENCE_INITIAL_IN_LOWER_CASE)
    return PunktSentenceTokenizer(parameters)


# Punkt (Kiss & Strunk, Computational Linguistics 32(4), 2006) decides by four tables learned from newspaper text. The
# NLTK project distributes them as `punkt_tab` (Apache License 2.0; English model by Jan Strunk and Tibor Kiss), which
# needs a download. Here are its English abbreviations and collocations in full. Of its 20,366 orthographic contexts
# only four words count in lower-cased text: before a word in lower case Punkt asks whether that word was ever seen to
# start a sentence in lower case and never with a capital. The sentence starters and all other contexts are asked for
# capitalised words, and hold no word that begins with a letter outside ASCII.
_SENTENCE_INITIAL_IN_LOWER_CASE = 1 << 4  # bit in an orthographic context

_ABBREVIATIONS = """
a.a a.c a.d a.g a.h a.m a.m.e a.s a.t adm ala ariz aug ave b.f b.v bros c c.i.t c.o.m.b c.v calif chg cie co col
colo conn corp cos ct d d.c d.h d.w dec dr e e.f e.h e.l e.m f f.g f.j feb fla fri ft g g.d g.f g.k ga gen h h.c
h.f h.m i.m.s ill inc j.b j.c j.j j.k j.p j.r jan jr k kan ky l l.a l.f l.p lt ltd m m.b.a m.d.c m.j maj messrs mg
mich minn mr mrs ms n n.c n.d n.h n.j n.m n.v n.y nev nov oct ok okla ore p p.a.m p.m pa ph.d prof r r.a r.h r.i
r.j r.k r.t rep reps s s.a s.a.y s.c s.g s.p.a s.s sen sep sept sr st sw t t.j tenn tues u.k u.n u.s u.s.a u.s.s.r
v va vs vt w w.c w.r w.va w.w wash wed wis yr
"""

_COLLOCATIONS = {
    "##number##": """
        abreast aes business cbot colgate commodities cooper corrections credit dividend financing genentech
        henley insider international leisure letters notable pay-fone pegasus pepper review rj wedgestone who
        zimmer
        """,
    "b": "edelman levine smith stewart wigton",
    "i": "magnin toussie",
    "j": "aron fialka walter",
    "o": "ludcke",
}
