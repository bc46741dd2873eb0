"""`python -m vse evaluate SCORES`: every protocol, on the scores or embeddings of any model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vse.console import say, warn
from vse.data.digests import describe_ids, describe_split
from vse.data.ids import (
    SplitIds,
    caption_image_of_ids,
    find_folder,
    ids_by_image,
    open_split_ids,
    read_caption_image,
)
from vse.data.index import read_ids
from vse.distributed import choose_device
from vse.errors import InputError
from vse.evaluation.arrays import Measure, holds_arrays, infinite, only, read_arrays, refuse, similarities
from vse.evaluation.banks import (
    TRANSDUCTIVE,
    Banks,
    bank_of_embeddings,
    bank_of_scores,
    bank_of_training,
    transductive_bank,
)
from vse.evaluation.eccv import first_ten, join_coco
from vse.evaluation.protocols import (
    correction_table,
    evaluate_corrected,
    evaluate_scores,
    parse_correction,
    protocol_table,
)
from vse.evaluation.reports import evaluation_record, recall_table, save_evaluation
from vse.evaluation.scoring import ensemble
from vse.evaluation.script import EvaluatedModel, joined, open_models, score
from vse.files import check_writable
from vse.options import EvaluationOptions
from vse.tools.options import EvaluateOptions


@dataclass(frozen=True)
class Evaluated:
    """Scores to evaluate, and the embeddings or models that they come from, if any."""

    scores: Tensor  # [N, M]
    images: Tensor | None = None  # [N, D]
    captions: Tensor | None = None  # [M, D]
    models: Sequence[EvaluatedModel] = ()


def main(options: EvaluateOptions) -> None:
    """Print the tables and write the JSON.

    Raises:
        InputError: files that cannot be read, do not fit the split or each other, or hold NaN.
    """
    corrections = [parse_correction(text) for text in options.correct]
    if bool(corrections) != (options.bank is not None):
        raise InputError("--correct and --bank go together: hubs are known by a bank of training queries, give both")
    check_writable(options.json)
    with joined(options.device) as first:
        evaluated = _read(options)
        split = _split(options, evaluated)
        if options.coco:
            join_coco(split)  # to be refused now, before the work
        banks = None if options.bank is None else _banks(options, evaluated)
        if first:
            _report(options, corrections, evaluated, split, banks)


def _report(
    options: EvaluateOptions,
    corrections: list[tuple[str, dict[str, float]]],
    evaluated: Evaluated,
    split: SplitIds,
    banks: Banks | None,
) -> None:
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
        save_evaluation(
            options.json, metrics, evaluated.scores, split.caption_image, _record(options, evaluated, split)
        )
        say(f"metrics, ranks and record: {options.json}")


def _record(options: EvaluateOptions, evaluated: Evaluated, split: SplitIds) -> dict[str, Any]:
    if evaluated.models:
        models = [model.trained.describe() for model in evaluated.models]
        data = describe_split(evaluated.models[0].data.split)
        return evaluation_record(models, data, choose_device(options.device), {})
    kind = "scores" if evaluated.images is None else f"embeddings, {options.measure}"
    given = {
        "network": kind,
        "path": " and ".join(str(Path(source).resolve()) for source in options.inputs),
        "scores_sha256": hashlib.sha256(np.ascontiguousarray(evaluated.scores.numpy()).data).hexdigest(),
        "record": None,
    }
    return evaluation_record([given], describe_ids(split), torch.device("cpu"), {})


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


def _read(options: EvaluateOptions) -> Evaluated:
    """Read scores, or embeddings and their scores, from one file or two; or score the split by checkpoints."""
    if options.inputs and not any(holds_arrays(source) for source in options.inputs):
        return _scored(options)
    if len(options.inputs) not in (1, 2):
        raise InputError(f"{len(options.inputs)} files; expected SCORES, IMAGES and CAPTIONS, or checkpoints")
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
    images, captions = (only(found, source) for found, source in zip(arrays, options.inputs, strict=True))
    return _embedded(images, captions, options.measure)


def _scored(options: EvaluateOptions) -> Evaluated:
    """Score the split by a checkpoint, or by several."""
    folder = None if options.data is None else str(find_folder(options.data))
    settings = EvaluationOptions(
        options.inputs[0],
        options.inputs[1:],
        data_path=folder,
        split=options.split,
        fold5=options.coco,  # testall where there is one
        device=options.device,
    )
    models = open_models(None, settings)
    return Evaluated(ensemble([score(model, settings) for model in models]), models=models)


def _embedded(images: Tensor, captions: Tensor, measure: Measure) -> Evaluated:
    scores = similarities(images, captions, measure)
    norms = torch.cat([images.norm(dim=1), captions.norm(dim=1)])
    if measure == "cosine" and not torch.allclose(norms, torch.ones_like(norms), atol=1e-3):
        say(
            f"embeddings have norms from {norms.min():.3g} to {norms.max():.3g}: compared by their cosine, "
            "--measure dot takes inner products"
        )
    return Evaluated(scores, images, captions)


def _split(options: EvaluateOptions, evaluated: Evaluated) -> SplitIds:
    """Read whose the captions are in the split that the scores belong to."""
    images, captions = evaluated.scores.shape
    name = options.split or "test"
    ids = None if options.image_ids is None else read_ids(Path(options.image_ids))
    if options.caption_image is not None and (options.data is not None or evaluated.models):
        raise InputError("--caption_image is for scores without --data; a folder holds {split}_caption_image.npy")
    if evaluated.models:
        scored = evaluated.models[0].data.split
        split = open_split_ids(scored.captions_file.parent, scored.name, images)
        split = replace(split, caption_image=scored.caption_image)
    elif options.data is not None:
        folder = find_folder(options.data)
        if options.split is None and options.coco and (folder / "testall_caps.txt").is_file():
            name = "testall"
        split = open_split_ids(folder, name, images)
    elif options.caption_image is not None:
        owner = read_caption_image(Path(options.caption_image), images, captions)
        split = SplitIds(name, None, owner, images)
    else:
        owner = caption_image_of_ids(ids, images, captions, options.image_ids or f"scores [{images}, {captions}]")
        split = SplitIds(name, None, owner, images)
        if ids is None or len(ids) != captions:
            say(f"no --data: {captions // images} captions in a row are taken to belong to each of {images} images")
    if len(split.caption_image) != captions:
        raise InputError(
            f"{options.inputs[0]}: scores of {images} images and {captions} captions, but {split.title} has "
            f"{len(split.caption_image)} captions; expected [images, captions] of this split"
        )
    if ids is not None:
        image_ids = ids_by_image(ids, split.caption_image, images, str(options.image_ids))
        split = replace(split, image_ids=image_ids)
    if options.caption_ids is not None:
        caption_ids = read_ids(Path(options.caption_ids))
        if len(caption_ids) != captions:
            raise InputError(f"{options.caption_ids}: {len(caption_ids)} ids; expected one a caption, {captions}")
        split = replace(split, caption_ids=caption_ids)
    return split


def _banks(options: EvaluateOptions, evaluated: Evaluated) -> Banks:
    """Find the bank that `--bank` names.

    Raises:
        InputError: it does not fit, or is the test split under another name.
    """
    source = str(options.bank)
    refuse(infinite, evaluated.scores, "the scores", "infinity, which corrections cannot weigh")
    if source == "test":
        return transductive_bank(evaluated.scores)
    if source == "train":
        if not evaluated.models:
            raise InputError(
                "--bank train needs a checkpoint, which can encode the training split; for scores and embeddings give "
                "--bank FILE"
            )
        return bank_of_training(evaluated.models, options.device)
    if evaluated.images is None or evaluated.captions is None:
        return bank_of_scores(source, evaluated.scores)
    return bank_of_embeddings(source, evaluated.images, evaluated.captions, options.measure)
