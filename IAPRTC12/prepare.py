"""Turn the raw distribution of IAPR TC-12 into a data set folder: captions, ids, picture names, splits.

python IAPRTC12/prepare.py RAW                          # data/IAPRTC12_seed0_precomp: a split of our own
python IAPRTC12/prepare.py RAW --train_ids train.txt --dev_ids dev.txt --test_ids test.txt    # data/IAPRTC12_precomp

RAW holds the unpacked archive: annotations_complete_eng/00/25.eng, images/00/25.jpg. The image features come afterwards
(see README.md): `python -m vse convert FILES --captions DIR --out DIR` or `python -m vse features RAW/images ...`.
"""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import tyro
from tabulate import tabulate

from vse import REPOSITORY
from vse.cli import run
from vse.console import say
from vse.data.index_writer import require_no_other_features, write_index
from vse.data.pictures import Pictures, inside, seeded_splits
from vse.errors import InputError
from vse.files import read_bytes, read_text, writable_folder, write_atomically
from vse.options import Maybe
from vse.ranges import AtLeast0
from vse.text.tokens import tokenise
from vse.text.vocabulary import Vocabulary

TAGS = ("DOC", "DOCNO", "TITLE", "DESCRIPTION", "NOTES", "LOCATION", "DATE", "ORIGINATOR", "IMAGE", "THUMBNAIL")
ANY_TAG = re.compile(rf"</?\s*({'|'.join(TAGS)})\b[^>]*>", re.IGNORECASE)
SPLITS = ("train", "dev", "test")


@dataclass
class Options:
    """Prepare IAPR TC-12 from its raw distribution."""

    raw: Annotated[Path, tyro.conf.Positional]
    """Folder of the unpacked archive, or of its English annotations."""
    out: Maybe[Path] = None
    """Data set folder to write; default: data/IAPRTC12_precomp with id lists, data/IAPRTC12_seedN_precomp without."""
    images: Maybe[Path] = None
    """Folder of the pictures; default: RAW/images. Without it, images are not checked for pictures."""
    train_ids: Maybe[Path] = None
    """Ids of the training images, one per line (25, 00/25 or images/00/25.jpg); needs the other two lists."""
    dev_ids: Maybe[Path] = None
    """Ids of the validation images."""
    test_ids: Maybe[Path] = None
    """Ids of the test images."""
    dev: AtLeast0 = 1000
    """Without lists: number of images to draw for validation."""
    test: AtLeast0 = 1000
    """Without lists: number of images to draw for test; all others are for training."""
    seed: AtLeast0 = 0
    """Without lists: random seed of the split."""
    clauses: bool = False
    """Make each clause of a description a caption; the benchmark has one caption per image instead."""
    vocabulary: Maybe[Path] = None
    """Report how many tokens and words this vocabulary covers (the original scripts read Flickr30K's)."""


class Annotation(NamedTuple):
    """Content of an annotation file."""

    image_id: int
    picture: str  # relative to the folder of the pictures
    description: str  # clauses with `;` after each, white space collapsed


def main(options: Options) -> None:
    """Read, split, write, report.

    Raises:
        InputError: no annotations, an id twice, lists that overlap or name no image.
    """
    annotations = read_annotations(options.raw)
    images = options.images or options.raw / "images"
    if options.images is not None and not images.is_dir():
        raise InputError(f"--images {images}: no such folder; expected the pictures in folders 00 ... 40")
    kept, drops = usable(annotations, images if images.is_dir() else None)
    splits, rule = _splits(kept, options)
    say(f"{len(annotations)} annotations in {options.raw}, {len(kept)} usable")
    for reason, ids in drops.items():
        say(f"left out, {reason}: {len(ids)} (first {', '.join(map(str, ids[:5]))})")
    folder = writable_folder(options.out or _default_folder(options), "--out")
    pictures = {split: _pictures(chosen, images, options.clauses) for split, chosen in splits.items()}
    require_no_other_features(pictures, folder)
    write_index(pictures, folder)
    record = {
        "split": rule,
        "captions": "one clause each" if options.clauses else "one description per image",
        "images": {split: len(chosen.names) for split, chosen in pictures.items()},
        "left_out": drops,
    }
    write_atomically(folder / "split.json", lambda file: file.write(json.dumps(record, indent=1).encode()))
    say(tabulate([_row(split, chosen) for split, chosen in pictures.items()], headers="keys"))
    say(f"split: {rule}\n{folder}")
    if options.vocabulary is not None:
        say(coverage(pictures, options.vocabulary))


def parse_annotation(text: str, source: Path) -> Annotation:
    """Read an `.eng` file's text; a field ends where any known tag follows, because not all files are well-formed.

    Args:
        source: the file, NN/ID.eng: it gives the id, and the picture where the IMAGE field does not.

    Raises:
        InputError: a file whose name is no id.
    """
    if not source.stem.isdecimal():
        raise InputError(f"{source}: its name is no image id; expected files such as 00/25.eng")
    fields: dict[str, str] = {}
    tags = list(ANY_TAG.finditer(text))
    ends = [*(tag.start() for tag in tags[1:]), len(text)]
    for tag, end in zip(tags, ends, strict=False):
        if not tag[0].startswith("</"):
            content = text[tag.end() : end]
            content = " ".join(html.unescape(content).replace("\0", " ").split())
            name = tag[1].upper()
            fields[name] = fields.get(name) or content
    picture = fields.get("IMAGE") or f"{source.parent.name}/{source.stem}.jpg"
    picture = inside(picture, str(source)).removeprefix("images/")
    return Annotation(int(source.stem), picture, fields.get("DESCRIPTION", ""))


def read_annotations(raw: Path) -> list[Annotation]:
    """All English annotations below `raw`, by ascending id; the complete ones where there are light ones as well.

    Raises:
        InputError: there are none, or an id has two.
    """
    complete = [folder for folder in sorted(raw.glob("annotations*complete*eng*")) if folder.is_dir()]
    root = complete[0] if complete else raw / "annotations" if (raw / "annotations").is_dir() else raw
    files = sorted(root.rglob("*.eng"))
    if not files:
        raise InputError(
            f"{root}: no .eng files; expected the unpacked archive with annotations_complete_eng/00/25.eng"
        )
    found: dict[int, Annotation] = {}
    encodings: Counter[str] = Counter()
    for file in files:
        annotation = parse_annotation(_decoded(file, encodings), file)
        if annotation.image_id in found:
            raise InputError(
                f"{file}: image {annotation.image_id} is annotated twice; give the folder of one annotation set"
            )
        found[annotation.image_id] = annotation
    if len(encodings) > 1:
        say(f"{root}: " + ", ".join(f"{count} files in {encoding}" for encoding, count in sorted(encodings.items())))
    return [found[image_id] for image_id in sorted(found)]


def _decoded(file: Path, encodings: Counter[str]) -> str:
    """Decode a file as UTF-8 where it is valid, else as Latin-1, and count which it was where the two differ."""
    content = read_bytes(file)
    try:
        text, encoding = content.decode("utf-8-sig"), "UTF-8"
    except UnicodeDecodeError:
        text, encoding = content.decode("latin-1"), "Latin-1"
    if not content.isascii():
        encodings[encoding] += 1
    return text


def usable(annotations: list[Annotation], images: Path | None) -> tuple[list[Annotation], dict[str, list[int]]]:
    """Divide annotations into those with a description (and a picture, if `images` is given) and others, by reason."""
    drops: dict[str, list[int]] = {}
    kept = []
    for annotation in annotations:
        if not annotation.description.strip("; "):
            drops.setdefault("no description", []).append(annotation.image_id)
        elif images is not None and not (images / annotation.picture).is_file():
            drops.setdefault("no picture", []).append(annotation.image_id)
        else:
            kept.append(annotation)
    if images is not None:
        annotated = {annotation.image_id for annotation in annotations}
        numbers = sorted(int(path.stem) for path in images.glob("*/*.jpg") if path.stem.isdecimal())
        unannotated = [number for number in numbers if number not in annotated]
        if unannotated:
            drops["a picture without annotation"] = unannotated
    if not kept:
        counts = ", ".join(f"{len(ids)} with {reason}" for reason, ids in drops.items())
        raise InputError(
            f"{images}: none of {len(annotations)} annotated images can be used ({counts}); check the folders"
        )
    return kept, drops


def _splits(kept: list[Annotation], options: Options) -> tuple[dict[str, list[Annotation]], str]:
    """Choose the images of each split, by ascending id; return them with a sentence that names the rule."""
    lists = {split: getattr(options, f"{split}_ids") for split in SPLITS}
    given = [path for path in lists.values() if path is not None]
    if given and len(given) < len(lists):
        raise InputError("--train_ids, --dev_ids and --test_ids belong together; give all three or none")
    if not given:
        names = seeded_splits(len(kept), options.dev, options.test, options.seed)
        rule = (
            f"{options.dev} dev and {options.test} test images drawn with seed {options.seed}; not the authors' split"
        )
        return {split: [kept[place] for place in np.flatnonzero(names == split)] for split in SPLITS}, rule
    by_id = {annotation.image_id: annotation for annotation in kept}
    chosen: dict[str, list[Annotation]] = {}
    seen: dict[int, str] = {}
    for split, path in lists.items():
        ids = read_id_list(path)
        for image_id in ids:
            if seen.setdefault(image_id, split) != split:
                raise InputError(f"{path}: image {image_id} is in {seen[image_id]} as well; expected disjoint lists")
        chosen[split] = [by_id[image_id] for image_id in sorted(ids) if image_id in by_id]
        if not chosen[split]:
            raise InputError(f"{path}: none of its {len(ids)} images can be used; expected ids of this distribution")
        absent = sorted(image_id for image_id in ids if image_id not in by_id)
        if absent:
            say(f"{split}: {len(absent)} of {len(ids)} listed images cannot be used (first {absent[0]})")
    return chosen, f"the id lists {', '.join(path.name for path in given)}"


def read_id_list(path: Path) -> set[int]:
    """Image ids of a list file: 25, 00/25 or images/00/25.jpg, one per line.

    Raises:
        InputError: the line that is none of these.
    """
    try:
        lines = read_text(path, encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{path}: cannot be read as text; expected one image id a line") from None
    ids = set()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name = re.fullmatch(r"(?:.*/)?(\d+)(?:\.\w+)?", line.strip())
        if name is None:
            raise InputError(
                f"{path}, line {number}: {line[:40]!r} is no image id; expected 25, 00/25 or images/00/25.jpg"
            )
        ids.add(int(name[1]))
    return ids


def _default_folder(options: Options) -> Path:
    split = "" if options.train_ids else f"_seed{options.seed}"
    return REPOSITORY / "data" / f"IAPRTC12{split}{'_clauses' if options.clauses else ''}_precomp"


def _pictures(chosen: list[Annotation], images: Path, clauses: bool) -> Pictures:
    captions = [_clauses(annotation.description) if clauses else [annotation.description] for annotation in chosen]
    return Pictures(
        images,
        [annotation.picture for annotation in chosen],
        np.array([annotation.image_id for annotation in chosen], dtype=np.int64),
        [caption for of_image in captions for caption in of_image],
        np.repeat(np.arange(len(chosen)), [len(of_image) for of_image in captions]),
    )


def _clauses(description: str) -> list[str]:
    return [clause.strip() for clause in description.split(";") if clause.strip()]


def _row(split: str, pictures: Pictures) -> dict[str, object]:
    lengths = [len(tokenise(caption)) for caption in pictures.captions]
    return {
        "split": split,
        "images": len(pictures.names),
        "captions": len(pictures.captions),
        "tokens a caption": f"{np.mean(lengths):.1f}",
        "longest": max(lengths),
    }


def coverage(splits: dict[str, Pictures], path: Path) -> str:
    """Tabulate the share of running tokens and of different words of each split that a vocabulary knows."""
    vocabulary = Vocabulary.load(path)
    rows = []
    for split, pictures in splits.items():
        counts = Counter(token for caption in pictures.captions for token in tokenise(caption))
        known = [word for word in counts if word in vocabulary.word2idx]
        unknown = [word for word, _ in counts.most_common() if word not in vocabulary.word2idx]
        rows.append(
            {
                "split": split,
                "tokens known": f"{100 * sum(counts[word] for word in known) / counts.total():.2f} %",
                "words known": f"{len(known)} of {len(counts)}",
                "frequent unknown words": ", ".join(unknown[:5]),
            }
        )
    return f"{path.name}, {len(vocabulary)} words\n{tabulate(rows, headers='keys')}"


if __name__ == "__main__":
    run(main, Options)
