"""The vocabulary of a data set: found under its usual names, or built and stored."""

from __future__ import annotations

from difflib import get_close_matches
from itertools import chain
from pathlib import Path

from vse.console import say, warn
from vse.errors import InputError
from vse.files import sha256
from vse.published.sets import ALIASES, canonical_name
from vse.text.captions import read_captions
from vse.text.vocabulary import Vocabulary

BUILT_FROM = ("train_caps.txt", "dev_caps.txt")
"""Caption files that a vocabulary is built from."""

FLICKR = "f30k_precomp_vocab"


def locate_vocabulary(
    vocab_path: str | Path | None, data_name: str | None, data_folder: Path, tokeniser: str = "punkt"
) -> Vocabulary:
    """Find the vocabulary that a checkpoint of the original code was trained with; nothing is written.

    Candidates are NAME_vocab.json and NAME_vocab.pkl in `vocab_path`, NAME being `data_name` with and without
    `_precomp`; without `vocab_path` the same in `data_folder`, and vocab.json. In `vocab_path` IAPR TC-12 falls back on
    Flickr30K's vocabulary, which the original code reads it with.

    Args:
        vocab_path: folder of vocabulary files, or one such file.
        tokeniser: how captions will be read, see `vse.text.tokens.TOKENISERS`.

    Raises:
        InputError: no such vocabulary, one that was built here and not by the original code, or a damaged one.
    """
    if vocab_path is not None and not Path(vocab_path).exists():
        raise InputError(f"--vocab_path {vocab_path}: no such file or folder; {_remedy()}")
    candidates = _candidates(vocab_path, data_name, data_folder)
    found = next(filter(Path.is_file, candidates), None)
    if found is None:
        looked_for = ", ".join(candidate.name for candidate in candidates)
        raise InputError(f"{candidates[0].parent}: no vocabulary ({looked_for}); {_remedy()}")
    vocabulary = Vocabulary.load(found, tokeniser)
    if vocab_path is None and vocabulary.made_from:
        raise InputError(f"{found}: built here from the captions, not the checkpoint's own vocabulary; {_remedy()}")
    _say_if_borrowed(found, data_name)
    return vocabulary


def _remedy() -> str:
    return "the checkpoint carries none, give the one that it was trained with by --vocab_path"


def prepare_vocabulary(
    vocab_path: str | Path | None,
    data_name: str | None,
    data_folder: Path,
    threshold: int = 4,
    tokeniser: str = "punkt",
) -> tuple[Vocabulary, Path | None]:
    """Find the vocabulary of a data set, or build it from the train and dev captions and save it.

    Candidates are those of `locate_vocabulary`. One that was built from other captions than the data set has now is
    built again.

    Args:
        threshold: how often a word occurs at least that enters a new vocabulary.

    Returns:
        The vocabulary, and the folder that it lies in, where token ids may be kept. None if it could not be saved.

    Raises:
        InputError: the vocabulary is damaged or of another tokeniser, there are no captions to build one from, or
            `vocab_path` looks like a mistyped folder.
    """
    candidates = _candidates(vocab_path, data_name, data_folder)
    found = next(filter(Path.is_file, candidates), None)
    named_file = vocab_path is not None and candidates == [Path(vocab_path)]
    if found is None and not named_file:
        return _build(candidates[0], data_folder, threshold, tokeniser)
    vocabulary = Vocabulary.load(found or candidates[0], tokeniser)
    path = found or candidates[0]
    own = not named_file and not _say_if_borrowed(path, data_name)
    if own and vocabulary.made_from and vocabulary.made_from != _digests(data_folder):
        say(f"{path}: was built from captions that have changed since")
        return _build(path, data_folder, vocabulary.threshold or threshold, tokeniser)
    return vocabulary, path.parent


def _candidates(vocab_path: str | Path | None, data_name: str | None, data_folder: Path) -> list[Path]:
    folder = Path(data_folder if vocab_path is None else vocab_path)
    if folder.suffix in (".json", ".pkl", ".pickle") or folder.is_file():
        return [folder]
    bare = (data_name or "").removesuffix("_precomp")
    names = [data_name, bare, f"{bare}_precomp"] if data_name else []
    if vocab_path is not None and canonical_name(bare) == "iaprtc12":
        own = [f"{alias}{suffix}" for alias in ALIASES["iaprtc12"] for suffix in ("", "_precomp")]
        names = [*names, *own, FLICKR.removesuffix("_vocab")]
    candidates = [folder / f"{name}_vocab{suffix}" for name in names for suffix in (".json", ".pkl")]
    if vocab_path is None or not names:
        candidates.insert(0, folder / "vocab.json")
    return list(dict.fromkeys(candidates))


def _say_if_borrowed(path: Path, data_name: str | None) -> bool:
    """Say that IAPR TC-12 is read with Flickr30K's vocabulary, if it is."""
    borrowed = path.stem == FLICKR and canonical_name(data_name or "f30k") != "f30k"
    if borrowed:
        say(f"{data_name} is read with Flickr30K's vocabulary, as in the original code: {path}")
    return borrowed


def _digests(data_folder: Path) -> dict[str, str]:
    return {name: sha256(data_folder / name) for name in BUILT_FROM if (data_folder / name).is_file()}


def _build(path: Path, data_folder: Path, threshold: int, tokeniser: str) -> tuple[Vocabulary, Path | None]:
    files = [Path(data_folder) / name for name in BUILT_FROM]
    files = [files[0], *filter(Path.is_file, files[1:])]
    captions = chain.from_iterable(map(read_captions, files))
    try:
        vocabulary = Vocabulary.build(captions, threshold, tokeniser)
    except InputError as problem:
        raise InputError(f"{' and '.join(map(str, files))}: {problem}") from None
    vocabulary.made_from = _digests(data_folder)
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: not a regular file; remove it to have the vocabulary made there")
    built = f"vocabulary of {len(vocabulary)} words built from {' and '.join(file.name for file in files)}"
    _make_folder(path.parent)
    try:
        vocabulary.save(path)
    except InputError:
        warn(f"{built} is kept in memory only: {path} cannot be written")
        return vocabulary, None
    say(f"{built}: {path}")
    return vocabulary, path.parent


def _make_folder(folder: Path) -> None:
    """Make the folder that a vocabulary is kept in, unless its name is close to that of another one."""
    if folder.exists() or not folder.parent.is_dir():
        siblings: list[str] = []
    else:
        siblings = [path.name for path in folder.parent.iterdir() if path.is_dir() and any(path.glob("*vocab.*"))]
    similar = get_close_matches(folder.name, siblings, n=1)
    if similar:
        raise InputError(
            f"--vocab_path {folder}: no such folder, but {folder.with_name(similar[0])} holds vocabularies; correct "
            "the name, or make the folder"
        )
    try:
        if not folder.exists():
            folder.mkdir(parents=True)
            say(f"{folder}: made, for the vocabulary")
    except OSError:
        pass  # saving will fail as well, and says so
