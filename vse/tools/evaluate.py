"""`python -m vse evaluate SCORES`: every protocol, on the scores or embeddings of any model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from torch import Tensor
from tqdm import tqdm

from vse.console import say, warn
from vse.data.ids import SplitIds, even_split, find_folder, open_split_ids, read_caption_image
from vse.data.pictures import read_ids
from vse.errors import InputError
from vse.evaluation.arrays import Measure, infinite, read_arrays, refuse, similarities, unit
from vse.evaluation.corrections import BLOCK_BYTES, Bank, in_blocks
from vse.evaluation.eccv import first_ten, join_coco
from vse.evaluation.protocols import (
    TRANSDUCTIVE,
    Banks,
    correction_table,
    evaluate_corrected,
    evaluate_scores,
    parse_correction,
    protocol_table,
    transductive_bank,
)
from vse.evaluation.reports import recall_table, save_json


@dataclass
class Options:
    """Evaluate any model: its scores, or its embeddings of images and captions, by every protocol."""

    inputs: Annotated[tuple[str, ...], tyro.conf.Positional]
    """SCORES [images, captions]; or IMAGES [images, D] and CAPTIONS [captions, D]; or one archive that holds either.
    Files are .npy, .npz or .safetensors; FILE:NAME chooses one array of an archive."""
    data: str | None = None
    """Data set folder, or the name of a data set under data/; default: the captions belong evenly to the images."""
    split: str = "test"
    """Split that was scored."""
    caption_image: str | None = None
    """File (.npy or integers, one a line) with the row of each caption's image, from 0; without --data."""
    image_ids: str | None = None
    """File with the id of each image, one a line; default: {split}_ids.txt of --data."""
    caption_ids: str | None = None
    """File with the id of each caption, one a line; default: {split}_cap_ids.txt of --data."""
    measure: Measure = "cosine"
    """How embeddings are compared."""
    fold5: bool = False
    """Also the mean over five folds of consecutive images."""
    coco: bool = False
    """MS-COCO's test split: also the mean of five 1K folds, CxC and ECCV Caption (needs the extra [eval])."""
    correct: Annotated[tuple[str, ...], tyro.conf.arg(aliases=["--rerank"])] = ()
    """Hubness corrections beside the raw scores: csls, inverted_softmax, qbnorm, nnn, sinkhorn; constants as in
    csls:k=20. They need a --bank."""
    bank: str | None = None
    """Queries by which corrections know hubs: an archive (.npz, .safetensors) with `images` and `captions` of the
    training split, as embeddings or, if scores are evaluated, as scores [bank images, captions] and [images, bank
    captions]; or test, which makes the numbers transductive."""
    json: str | None = None
    """Write all numbers to this file."""


@dataclass(frozen=True)
class Evaluated:
    """What is evaluated: scores, and the embeddings that they come from, if they do."""

    scores: Tensor  # [N, M]
    images: Tensor | None = None  # [N, D]
    captions: Tensor | None = None  # [M, D]


def main(options: Options) -> None:
    """Print the tables and write the JSON.

    Raises:
        InputError: files that cannot be read, do not fit the split or each other, or hold NaN.
    """
    corrections = [parse_correction(text) for text in options.correct]
    if bool(corrections) != (options.bank is not None):
        raise InputError("--correct and --bank go together: hubs are known by a bank of training queries, give both")
    evaluated = _read(options)
    split = _split(options, *evaluated.scores.shape)
    if options.coco:
        join_coco(split)  # to be refused now, before the work
    banks = None if options.bank is None else _banks(options.bank, evaluated, options.measure)
    protocols = {"fold5": options.fold5, "coco": options.coco}
    metrics = evaluate_scores(evaluated.scores, split, **protocols)
    _print(metrics, f"{' and '.join(options.inputs)} on {split.title}", options.coco)
    if banks is not None:
        metrics["corrected"] = {
            text: evaluate_corrected(evaluated.scores, split, name, banks, constants, **protocols)
            for text, (name, constants) in zip(options.correct, corrections, strict=True)
        }
        mark = f"; {TRANSDUCTIVE}" if banks.transductive else ""
        say(f"\ncorrected at test time, bank: {banks.title}{mark}")
        say(correction_table(metrics, metrics["corrected"], options.coco))
    if options.json is not None:
        inputs = {"inputs": list(options.inputs), "data": options.data, "split": options.split}
        if evaluated.images is not None:
            inputs["measure"] = options.measure
        save_json(options.json, metrics | {"evaluated": inputs})


def _print(metrics: dict[str, Any], title: str, coco: bool) -> None:
    say(recall_table(metrics, title))
    ties = metrics["ties"]
    say(
        f"ties: {ties['rule']}; it decides for {ties['image_to_text']} of {metrics['images']} images and "
        f"{ties['text_to_image']} of {metrics['captions']} captions, whose best right item ties with a wrong one"
    )
    without = metrics["without_captions"]
    if without:
        warn(
            f"{len(without)} of {metrics['images']} images have no caption and are not asked for: {first_ten(without)}"
        )
    if coco:
        say("\n" + protocol_table(metrics, "MS-COCO, other ground truths"))
    elif "fold5" in metrics:
        say("\n" + recall_table(metrics["fold5"], "mean of five folds"))


def _read(options: Options) -> Evaluated:
    """Scores, or embeddings and their scores, from one file or two."""
    if len(options.inputs) not in (1, 2):
        raise InputError(f"{len(options.inputs)} files; expected SCORES, or IMAGES and CAPTIONS")
    arrays = [read_arrays(source) for source in options.inputs]
    if len(arrays) == 1:
        found = arrays[0]
        if len(found) == 1:
            return Evaluated(next(iter(found.values())))
        if {"images", "captions"} <= set(found):
            return _embedded(found["images"], found["captions"], options.measure)
        raise InputError(
            f"{options.inputs[0]}: holds {', '.join(found)}; expected one matrix of scores, or images and captions: "
            "choose by FILE:NAME"
        )
    images, captions = (_only(found, source) for found, source in zip(arrays, options.inputs, strict=True))
    return _embedded(images, captions, options.measure)


def _only(found: dict[str, Tensor], source: str) -> Tensor:
    if len(found) > 1:
        raise InputError(f"{source}: holds {', '.join(found)}; choose one by {source}:NAME")
    return next(iter(found.values()))


def _embedded(images: Tensor, captions: Tensor, measure: Measure) -> Evaluated:
    scores = similarities(images, captions, measure)
    norms = torch.cat([images.norm(dim=1), captions.norm(dim=1)])
    if measure == "cosine" and not torch.allclose(norms, torch.ones_like(norms), atol=1e-3):
        say(
            f"embeddings have norms from {norms.min():.3g} to {norms.max():.3g}: compared by their cosine, "
            "--measure dot takes inner products"
        )
    return Evaluated(scores, images, captions)


def _split(options: Options, images: int, captions: int) -> SplitIds:
    """The split that the scores belong to."""
    if options.data is not None:
        if options.caption_image is not None:
            raise InputError("--caption_image is for scores without --data; a folder holds {split}_caption_image.npy")
        split = open_split_ids(find_folder(options.data), options.split, images)
    elif options.caption_image is not None:
        owner = read_caption_image(Path(options.caption_image), images, captions)
        split = SplitIds(options.split, None, owner, images)
    else:
        split = SplitIds(options.split, None, even_split(images, captions, f"scores [{images}, {captions}]"), images)
        say(f"no --data: {captions // images} captions in a row are taken to belong to each of {images} images")
    if len(split.caption_image) != captions:
        raise InputError(
            f"{options.inputs[0]}: scores of {images} images and {captions} captions, but {split.title} has "
            f"{len(split.caption_image)} captions; expected [images, captions] of this split"
        )
    if options.image_ids is not None:
        split = replace(split, image_ids=_ids(options.image_ids, images, "images"))
    if options.caption_ids is not None:
        split = replace(split, caption_ids=_ids(options.caption_ids, captions, "captions"))
    return split


def _ids(path: str, count: int, what: str) -> np.ndarray:
    ids = read_ids(Path(path))
    if len(ids) != count:
        raise InputError(f"{path}: {len(ids)} ids; expected one for each of the {count} {what}")
    return ids


def _banks(source: str, evaluated: Evaluated, measure: Measure) -> Banks:
    """The bank that `--bank` names.

    Raises:
        InputError: it does not fit, or is the test split under another name.
    """
    refuse(infinite, evaluated.scores, "the scores", "infinity, which corrections cannot weigh")
    if source == "test":
        return transductive_bank(evaluated.scores)
    if source == "train":
        raise InputError(
            "--bank train needs a model that can embed the training split; for scores or embeddings give --bank FILE"
        )
    arrays = read_arrays(source)
    if not {"images", "captions"} <= set(arrays):
        raise InputError(f"{source}: holds {', '.join(arrays)}; expected images and captions of the training split")
    images, captions = arrays["images"], arrays["captions"]
    for array in (images, captions):
        refuse(infinite, array, source, "infinity")
    if evaluated.images is None or evaluated.captions is None:
        n_images, n_captions = evaluated.scores.shape
        if images.shape[1] != n_captions or captions.shape[0] != n_images:
            raise InputError(
                f"{source}: images {list(images.shape)}, captions {list(captions.shape)}; expected scores "
                f"[bank images, {n_captions}] and [{n_images}, bank captions]"
            )
        _refuse_test(images, evaluated.scores, captions.T, evaluated.scores.T, source)
        return Banks(in_blocks(images), in_blocks(captions.T), _title(source, len(images), captions.shape[1]))
    size = evaluated.images.shape[1]
    if images.shape[1] != size or captions.shape[1] != size:
        raise InputError(
            f"{source}: images {list(images.shape)}, captions {list(captions.shape)}; expected embeddings of {size} "
            "dimensions, as those evaluated"
        )
    _refuse_test(images, evaluated.images, captions, evaluated.captions, source)
    return Banks(
        _embedded_bank(images, evaluated.captions, measure),
        _embedded_bank(captions, evaluated.images, measure),
        _title(source, len(images), len(captions)),
    )


def _title(source: str, images: int, captions: int) -> str:
    return f"{source} ({images} images, {captions} captions)"


def _embedded_bank(queries: Tensor, gallery: Tensor, measure: Measure) -> Bank:
    """Scores [b, G] of a bank's embeddings, block by block, whenever they are asked for."""
    if measure == "cosine":
        queries, gallery = unit(queries, "bank"), unit(gallery, "gallery")
    rows = max(1, BLOCK_BYTES // (4 * len(gallery)))
    columns = gallery.float().T

    def blocks() -> Iterable[Tensor]:
        for block in tqdm(queries.split(rows), desc="bank", unit="block", leave=False, disable=None):
            yield block.float() @ columns

    return blocks


def _refuse_test(images: Tensor, test_images: Tensor, captions: Tensor, test_captions: Tensor, source: str) -> None:
    """Refuse a bank that holds every test query; single ones may be equal, as equal captions are."""
    for kind, bank, test in (("images", images, test_images), ("captions", captions, test_captions)):
        known = {row.numpy().tobytes() for row in bank}
        shared = sum(row.numpy().tobytes() in known for row in test)
        if shared == len(test):
            raise InputError(
                f"{source}: the bank holds all {len(test)} {kind} of the test split; give queries of the training "
                f"split, or --bank test, whose numbers are {TRANSDUCTIVE}"
            )
        if shared:
            say(f"{source}: {shared} of {len(test)} test {kind} are in the bank, too")
