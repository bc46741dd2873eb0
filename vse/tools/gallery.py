"""`python -m vse gallery MODEL`: a page that shows what a model retrieves, and where and how it fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from vse import networks
from vse.console import say, warn
from vse.data.datasets import Split, locate_data_set
from vse.data.images import CropTransform, features_or_pictures
from vse.data.shown import ShownPictures
from vse.errors import InputError
from vse.evaluation.arrays import holds_arrays, read_matrix
from vse.evaluation.ranking import Ranks, evaluate, nearest, ranks
from vse.evaluation.script import evaluation_folder, open_models, score
from vse.files import check_writable
from vse.networks import Trained
from vse.options import EvaluationOptions
from vse.tools.gallery_page import PAGE
from vse.tools.meaning import Kind, Meaning, measure_meaning, own_captions
from vse.tools.options import GalleryOptions
from vse.tools.pages import Album, save_page

SECTIONS = [("model", "Model"), ("legend", "How to read"), ("captions", "Images for a caption")]
SECTIONS += [("images", "Captions for an image")]


def main(options: GalleryOptions) -> None:
    """Write the page.

    Raises:
        InputError: the scores or the checkpoint cannot be read, or they are not those of the split.
    """
    check_writable(options.out)
    scores, split, trained = _open(options)
    pictures = ShownPictures(split, options.pictures)
    rank = ranks(scores, split.caption_image)
    meaning, about = _meaning(options, split, rank, trained)
    gallery = Gallery(split, scores, rank, meaning, pictures, min(options.answers, *scores.shape))
    by_caption = [gallery.images_for(caption) for caption in _chosen(rank.text_to_image, options)]
    by_image = [gallery.captions_for(place) for place in _chosen(rank.image_to_text, options)]
    found = _pictures_found(gallery, pictures, options)
    metrics = evaluate(scores, split.caption_image)
    what = f"{len(by_caption)} captions and {len(by_image)} images"
    which = "worst ranks first, equal ones by number" if options.order == "worst" else f"at random, seed {options.seed}"
    save_page(
        options.out,
        PAGE,
        title=f"{Path(options.source).name} on {split.captions_file.parent.name} {split.name}",
        sections=SECTIONS,
        note=f"{what}{' whose best answer is wrong' if options.failures else ''}, {which}.",
        table=_table(metrics),
        summary=f"rsum {metrics['rsum']:.1f} on {metrics['images']} images and {metrics['captions']} captions",
        trained=_training(trained),
        meaning=about,
        pictures=found,
        by_caption=by_caption,
        by_image=by_image,
        album=gallery.album,
    )
    say(found)
    say(f"{what}, the best {gallery.answers} answers each: {options.out}")


def _open(options: GalleryOptions) -> tuple[Tensor, Split, Trained | None]:
    """Read or compute the scores; open the split that they belong to."""
    wanted = EvaluationOptions(
        model_path=options.model_path or options.source,
        data_path=options.data_path,
        data_name=options.data_name,
        split=options.split,
        device=options.device,
    )
    if not holds_arrays(options.source):
        if options.model_path is not None:
            raise InputError(
                f"--model_path: {options.source} is a checkpoint already; the flag is for a file of scores"
            )
        [model] = open_models(None, wanted)
        return score(model, wanted), model.data.split, model.trained
    scores = read_matrix(options.source)
    trained = None if options.model_path is None else networks.load(options.model_path)
    if trained is None:
        folder = locate_data_set(options.data_path, options.data_name)
    else:
        folder = evaluation_folder(wanted, trained.data)
    split = features_or_pictures(CropTransform())(folder, options.split)
    if scores.shape != (len(split.images), len(split.captions)):
        raise InputError(
            f"{options.source}: [{', '.join(map(str, scores.shape))}] scores, but the {split.name} split of "
            f"{folder} has {len(split.images)} images and {len(split.captions)} captions; "
            "name what was evaluated by --data_path, --data_name and --split"
        )
    return scores, split, trained


def _meaning(options: GalleryOptions, split: Split, rank: Ranks, trained: Trained | None) -> tuple[Meaning | None, str]:
    """Measure which captions mean the same, and say how; None where that is not wanted or not possible."""
    kind = options.descriptions
    if kind is None:
        kind = "svd" if trained is None or trained.saved.get("descriptions") != "sentence" else "sentence"
    if kind == "none":
        return None, "Not marked on this page (--descriptions none)."
    try:
        meaning = measure_meaning(split, kind, options.similar)
    except InputError as problem:
        if options.descriptions is not None:
            raise
        warn(f"similar answers are not marked: {problem}")
        return None, f"Not marked on this page: {problem}."
    return meaning, _describe(meaning, kind, rank)


def _describe(meaning: Meaning, kind: Kind, rank: Ranks) -> str:
    own, others = meaning.shares()
    missed = [int((places > 0).sum()) for places in (rank.text_to_image, rank.image_to_text)]
    captions, images = meaning.false_negatives(rank)
    vectors = "SVD of TF-IDF, fitted to this split" if kind == "svd" else "sentence encoder"
    return (
        "Not the query's own, yet described alike: the dashed frame marks a possible false negative, an answer that "
        "may be right though the data set does not say so. Threshold: a cosine of "
        f"{meaning.threshold:g} or more between description vectors ({vectors}) of the caption and of the closest "
        f"caption of the other image. Of the pairs of captions of one image {own:.1f} % reach it, of those of two "
        f"images {others:.2f} %. Of the {missed[0]} captions whose best image is wrong, {images} have a best image "
        f"that is similar; of the {missed[1]} images whose best caption is wrong, {captions} have a best caption that "
        "is."
    )


def _table(metrics: Mapping[str, Any]) -> list[list[str]]:
    """Lay out recalls in percent and ranks from 1 for the page."""
    columns = {"r1": "R@1", "r5": "R@5", "r10": "R@10", "medr": "median rank", "meanr": "mean rank"}
    rows = [
        [name, *(f"{metrics[column + suffix]:.1f}" for column in columns)]
        for name, suffix in (("image to text", ""), ("text to image", "i"))
    ]
    return [["", *columns.values()], *rows]


def _training(trained: Trained | None) -> list[tuple[str, Any]]:
    """Say what a model was trained on, by the run record in its checkpoint."""
    if trained is None:
        return [("trained on", "not known: scores alone do not say; name their checkpoint with --model_path")]
    lines: list[tuple[str, Any]] = [
        ("network", trained.folder.name),
        ("objective", trained.saved.get("loss", "not recorded")),
    ]
    record = trained.record
    if record is None:
        return [*lines, ("trained on", trained.data.data_name or "not recorded; the checkpoint has no run record")]
    for split, name in (("train", "trained on"), ("dev", "selected on")):
        data = record["data"][split]
        lines.append(
            (name, f"{Path(data['folder']).name} {split}: {data['images']} images, {data['captions']} captions")
        )
    where = record["environment"]
    best = record["best_score"]
    return [
        *lines,
        ("images", f"{record['data']['train']['features']['shape']} ({record['data']['train']['features']['kind']})"),
        (
            "best on dev",
            "none yet" if best is None else f"{record['selected_by']} {best:.1f}, epoch {record['best_epoch']}",
        ),
        ("seed", record["seed"]),
        ("started", f"{record['started']}, on {where['device_name']}"),
        ("commit", f"{where['commit'] or 'not known'}{', with changes' if where['dirty'] else ''}"),
        ("weights", f"SHA-256 {trained.digest[:16]}..."),
    ]


def _chosen(rank: np.ndarray, options: GalleryOptions) -> list[int]:
    """Positions of the queries to show, given all queries' ranks."""
    candidates = np.flatnonzero(rank > 0) if options.failures else np.arange(len(rank))
    if options.order == "worst":
        candidates = candidates[np.argsort(-rank[candidates], kind="stable")]
    else:
        candidates = np.random.default_rng(options.seed).permutation(candidates)
    chosen: list[int] = candidates[: options.queries].tolist()
    return chosen


def _pictures_found(gallery: Gallery, pictures: ShownPictures, options: GalleryOptions) -> str:
    shown, missing = len(gallery.described), len(set(pictures.missing))
    if not missing:
        return f"The pictures of all {shown} images on the page were found."
    remedy = f"in {options.pictures}" if options.pictures else "; name their folder with --pictures"
    where = f" ({pictures.problem})" if pictures.problem else ""
    return f"Pictures of {missing} of the {shown} images on the page were not found {remedy}{where}.".replace(" ;", ";")


@dataclass
class Gallery:
    """Queries of a split and their answers, as the page shows them."""

    split: Split
    scores: Tensor
    rank: Ranks
    meaning: Meaning | None
    pictures: ShownPictures
    answers: int

    def __post_init__(self) -> None:
        self.album = Album()
        self.described: dict[int, dict[str, Any]] = {}

    def images_for(self, caption: int) -> dict[str, Any]:
        """Describe a caption, its own image, and the images retrieved for it."""
        column, own = self.scores[:, caption], int(self.split.caption_image[caption])
        found = [
            {**self._image(image), **self._compare(caption, image), "score": float(column[image])}
            for image in nearest(column[None], self.answers)[0].tolist()
        ]
        return {
            "number": caption,
            "text": self.split.captions[caption],
            "rank": int(self.rank.text_to_image[caption]) + 1,
            "wanted": {**self._image(own), "score": float(column[own])},
            "found": found,
        }

    def captions_for(self, place: int) -> dict[str, Any]:
        """Describe an image, by its place among those that have captions, its captions, and those retrieved for it."""
        image = int(np.unique(self.split.caption_image)[place])
        row, text = self.scores[image], self.split.captions
        found = [
            {"text": text[caption], **self._compare(caption, image), "score": float(row[caption])}
            for caption in nearest(row[None], self.answers)[0].tolist()
        ]
        own = [
            {"text": text[caption], "score": float(row[caption]), "rank": self._rank(row, caption)}
            for caption in own_captions(self.split, image).tolist()
        ]
        position = int(self.rank.image_to_text[place]) + 1
        return {**self._image(image), "rank": position, "own": own, "found": found}

    def _image(self, image: int) -> dict[str, Any]:
        """Describe an image: its captions, and its picture where there is one."""
        if image not in self.described:
            captions = [self.split.captions[caption] for caption in own_captions(self.split, image).tolist()]
            picture = self.pictures.open(image)
            name = f"image {image} {self.pictures.name(image)}".strip()
            shown = None if picture is None else self.album.add(f"picture{image}", picture, name, captions)
            self.described[image] = {"number": image, "captions": captions, "picture": shown}
        return self.described[image]

    def _compare(self, caption: int, image: int) -> dict[str, Any]:
        """Tell whether a caption belongs to an image, and else how like it is to the closest of the image's own."""
        right = bool(self.split.caption_image[caption] == image)
        own = own_captions(self.split, image)
        if right or self.meaning is None or not len(own):
            return {"right": right, "similar": False, "likeness": None, "closest": None}
        likeness = self.meaning.likeness(caption, own)
        best = int(likeness.argmax())
        return {
            "right": False,
            "similar": bool(likeness[best] >= self.meaning.threshold),
            "likeness": float(likeness[best]),
            "closest": self.split.captions[own[best]],
        }

    @staticmethod
    def _rank(row: Tensor, caption: int) -> int:
        """Rank of a caption from 1; of equal scores the lower index comes first."""
        return int((row > row[caption]).sum() + (row[:caption] == row[caption]).sum()) + 1
