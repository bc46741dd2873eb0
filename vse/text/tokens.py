"""From a caption to its tokens: what NLTK's `word_tokenize` gives (Punkt sentences, then Treebank words).

NLTK itself is not called. Its rules change between releases, its Punkt tables are a separate download, and it is slow;
a vocabulary's tokeniser has to give the same tokens on every machine for as long as the checkpoint is used. These are
the rules of NLTK 3.10.4 (https://www.nltk.org, Apache License 2.0), as far as lower-cased text can tell, read by
Python's own `re`: the engine that NLTK took to in that release also counts combining accents among the letters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import chain, groupby, pairwise

TOKENISERS = ("punkt", "ascii-lower", "bytes-repr")
"""What `tokenise` knows. They differ in how a caption is lower-cased before it is split:

punkt: all letters (the default; VSRN, VSE-infinity and all networks with LSEH).
ascii-lower: only ASCII letters, as VSE++ and SGRAF do to the file's bytes.
bytes-repr: all letters of Python's notation of the bytes, `b'...'`: a slip in HAL's reader that its published
checkpoints were made with.
"""


def tokenise(caption: str, tokeniser: str = "punkt") -> list[str]:
    """Split a caption into its tokens, lower-cased.

    Args:
        tokeniser: one of `TOKENISERS`.
    """
    text = _LOWER[tokeniser](caption).rstrip()
    sentences = _sentences(text) if _STOP.search(text) else [text]
    return [token for sentence in sentences for token in _words(sentence)]


_LOWER: dict[str, Callable[[str], str]] = {
    "punkt": str.lower,
    "ascii-lower": lambda caption: caption.encode().lower().decode(),
    "bytes-repr": lambda caption: repr(caption.encode()).lower(),
}


# Words: the Treebank rules, one substitution after the other on a sentence. Each sets blanks around what is a token.

_PARTED = (("can", "not"), ("d", "'ye"), ("gim", "me"), ("gon", "na"), ("got", "ta"), ("lem", "me"), ("more", "'n"))

_RULES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"[«“‘„]|`+", r" \g<0> "),
        (r'^"', "``"),
        (r"``", " `` "),
        (r"([ (\[{<])(?:\"|'')", r"\1 `` "),
        (r"(?<!\w)'(?!(?:re|ve|ll|m|t|s|d|n)\b)(?=\w)", "' "),
        (r"([^.])\.([\])}>\"'»”’ ]*)$", r"\1 . \2 "),
        (r"([:,])(\D|$)", r" \1 \2"),
        (r"\.{2,}|[;@#$%&‒-―?!]", r" \g<0> "),
        (r"([^'])' ", r"\1 ' "),
        (r"[*\[\](){}<>]|--", r" \g<0> "),
        (r"^|$", " "),
        (r"[»”’]|''", r" \g<0> "),
        (r'"', " '' "),
        (r"\s+", " "),
        (r"([^' ])('[smd]?) ", r"\1 \2 "),
        (r"([^' ])('ll|'re|'ve|n't) ", r"\1 \2 "),
        *((rf"\b({first})({second})\b", r" \1 \2 ") for first, second in _PARTED),
        (r"\b(wan)(na) ", r" \1 \2 "),
        (r" ('t)(is)\b", r" \1 \2 "),
        (r" ('t)(was)\b", r" \1 \2 "),
    )
]


def _split(sentence: str) -> list[str]:
    for pattern, replacement in _RULES:
        sentence = pattern.sub(replacement, sentence)
    return sentence.split()


# A full stop in front of these, blanks between them included, may still be the one that ends the sentence.
_CLOSING_MARKS = "])}>\"'»”’"


def _words(sentence: str) -> list[str]:
    """Split a sentence into words, chunk by chunk between blanks; an equal chunk is split only once.

    The rules look across a blank in two ways only: marks that end a sentence are treated differently at the very end,
    opening quotes at the very beginning. So a chunk is split once for each of these places. A sentence with other white
    space than blanks, a blank in front, or a last chunk that a rule could look through, is split as a whole.
    """
    chunks = sentence.split()
    only_blanks = sentence.isprintable() and not sentence.startswith(" ")
    if len(chunks) < 2 or not only_blanks or not chunks[-1].strip(_CLOSING_MARKS):
        return _split(sentence)
    return [*_first(chunks[0]), *chain.from_iterable(map(_inner, chunks[1:-1])), *_last(chunks[-1])]


@lru_cache(1 << 16)
def _first(chunk: str) -> list[str]:
    return _split(f"{chunk} x")[:-1]


@lru_cache(1 << 16)
def _inner(chunk: str) -> list[str]:
    return _split(f"x {chunk} x")[1:-1]


@lru_cache(1 << 16)
def _last(chunk: str) -> list[str]:
    return _split(f"x {chunk}")[1:]


# Sentences: Punkt (Kiss & Strunk, Computational Linguistics 32(4), 2006).

_NOT_IN_WORDS = r"[)\";}\]*:@'({\[‘’“”«»?!]"

_RUN_OF_MARKS = r"(?:-{2,}|\.{2,}|(?:\.\s){2,}\.)"

_STOP = re.compile(rf"[.?!](?=({_NOT_IN_WORDS}|\s+(\S+)))")

_PUNKT_TOKEN = re.compile(
    rf"{_RUN_OF_MARKS}"
    rf"|(?=[^(\"`{{\[:;&#*@)}}\]\-,])\S+?(?=\s|$|{_NOT_IN_WORDS}|{_RUN_OF_MARKS}|,(?=$|\s|{_NOT_IN_WORDS}|{_RUN_OF_MARKS}))"
    r"|\S"
)

_NUMBER = re.compile(r"-?[.,]?\d[\d,.-]*\.?")

_INITIAL = re.compile(r"[^\W\d]\.")

_CLOSING = re.compile(r"[\"')\]}‘’“”«»]+?(?:\s+|(?=--)|$)")


def _sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a text that does not end with white space."""
    start = 0
    for word_start, stop in _stops(text):
        if _ends_sentence(text[word_start : stop.end()] + stop[1]):
            end, next_start = stop.end(), stop.start(2) if stop[2] else stop.end()
            if closing := _CLOSING.match(text, next_start):
                end, next_start = next_start + len(closing[0].rstrip()), closing.end()
            if start < end:
                yield text[start:end]
            start = next_start
    if start < len(text):
        yield text[start:]


def _stops(text: str) -> Iterator[tuple[int, re.Match[str]]]:
    """Where a sentence may end: the last stop of a word, and one that begins a word; with the start of that word."""
    for word_start, group in groupby(_STOP.finditer(text), lambda stop: _start_of_word(text, stop.start())):
        stops = list(group)
        yield from ((word_start, stop) for stop in stops if stop is stops[-1] or stop.start() == word_start)


def _start_of_word(text: str, position: int) -> int:
    return max(text.rfind(blank, 0, position) for blank in " \t\n\r\x0b\x0c") + 1


def _ends_sentence(context: str) -> bool:
    """Whether a sentence ends before the last token of the word with the stop and what follows it."""
    tokens = _PUNKT_TOKEN.findall(context)
    return any(_is_end(token, following) for token, following in pairwise(tokens))


def _is_end(token: str, following: str) -> bool:
    """Whether a sentence ends with `token`: kinds of words first (section 3 of the paper), then their pairs (4)."""
    if token in (".", "?", "!"):
        return True
    if not token.endswith(".") or token.endswith("..") or _is_abbreviation(token):
        return False
    kind = "##number##" if _NUMBER.fullmatch(token) else token[:-1].lower()
    next_kind = "##number##" if _NUMBER.fullmatch(following) else following.lower()
    if (
        len(following) > 1
        and following.endswith(".")
        and not following.endswith("..")
        and not _is_abbreviation(following)
    ):
        next_kind = next_kind.removesuffix(".")
    if next_kind in _COLLOCATIONS.get(kind, "").split():
        return False
    if _INITIAL.fullmatch(token):
        return not (following in ";:,.!?" or following[0].isupper() or _continues(following, next_kind))
    if kind == "##number##":
        return not (following in ";:,.!?" or _continues(following, next_kind))
    return True


def _is_abbreviation(token: str) -> bool:
    word = token[:-1].lower()
    return word in _ABBREVIATIONS or word.split("-")[-1] in _ABBREVIATIONS


def _continues(following: str, next_kind: str) -> bool:
    """Lower-cased words go on with a sentence, but for those that were seen to begin one, and never with a capital."""
    return following[0].islower() and next_kind not in ("administrators", "b-week", "r-revised", "z-holiday")


# NLTK's English tables (by Jan Strunk and Tibor Kiss): its abbreviations and collocations in full. Of its orthographic
# contexts only the four words above count in lower-cased text, of its sentence starters none: they are capitalised
# words, and none begins with a letter outside ASCII.
_ABBREVIATIONS = frozenset(
    """
    a.a a.c a.d a.g a.h a.m a.m.e a.s a.t adm ala ariz aug ave b.f b.v bros c c.i.t c.o.m.b c.v calif chg cie co col
    colo conn corp cos ct d d.c d.h d.w dec dr e e.f e.h e.l e.m f f.g f.j feb fla fri ft g g.d g.f g.k ga gen h h.c
    h.f h.m i.m.s ill inc j.b j.c j.j j.k j.p j.r jan jr k kan ky l l.a l.f l.p lt ltd m m.b.a m.d.c m.j maj messrs mg
    mich minn mr mrs ms n n.c n.d n.h n.j n.m n.v n.y nev nov oct ok okla ore p p.a.m p.m pa ph.d prof r r.a r.h r.i
    r.j r.k r.t rep reps s s.a s.a.y s.c s.g s.p.a s.s sen sep sept sr st sw t t.j tenn tues u.k u.n u.s u.s.a u.s.s.r
    v va vs vt w w.c w.r w.va w.w wash wed wis yr
    """.split()  # noqa: SIM905
) | {". . "}

# The word before a full stop -> words that follow it within a sentence.
_COLLOCATIONS = {
    "##number##": "abreast aes business cbot colgate commodities cooper corrections credit dividend financing "
    "genentech henley insider international leisure letters notable pay-fone pegasus pepper review rj wedgestone who "
    "zimmer",
    "b": "edelman levine smith stewart wigton",
    "i": "magnin toussie",
    "j": "aron fialka walter",
    "o": "ludcke",
}
