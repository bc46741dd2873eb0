"""The options of every command, apart from what it does: torch takes a second to import, and --help answers without."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from vse.options import Switch
from vse.ranges import AtLeast0, AtLeast1, Cosine, Workers


@dataclass
class CheckOptions:
    """Check a data set: counts, captions per image, unknown words, duplicates, broken rows, what was made from what."""

    path: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PATH")]
    """Folder of the data set, or the folder that holds it; nothing is written into it."""
    data_name: str | None = None
    """Data set under PATH, when PATH holds several."""
    json: bool = False
    """Print the findings as JSON."""


@dataclass
class PrepareOptions:
    """Make the index of a raw data set, the vocabulary, token ids and description vectors, as training would."""

    path: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[PATH]")] = None
    """Folder of the data set, or the folder that holds it; default: the repository's data/ folder."""
    data_name: str | None = None
    """Data set under PATH, when PATH holds several; without both the built-in demo."""
    vocab_path: str | None = None
    """Folder of the vocabulary files; default: the data set's own folder."""
    tokeniser: Literal["punkt", "ascii-lower", "bytes-repr"] = "punkt"
    """How captions are read; HAL's original code has bytes-repr."""
    descriptions: bool = True
    """Make the description vectors, which the objective lseh reads."""
    resize: AtLeast1 | None = None
    """Keep all pictures as squares of so many pixels a side, which image towers read without decoding JPEGs."""
    workers: AtLeast1 = 1
    """Threads that decode pictures for --resize."""


@dataclass
class FeaturesOptions:
    """Make a data set folder from pictures and captions: regions of a detector or tokens of a tower, with boxes."""

    images: Annotated[Path, tyro.conf.Positional]
    """Folder of the pictures."""
    captions: Path
    """Caption table, JSON file or folder, in any form that docs/data.md lists."""
    out: Path
    """Data set folder to write; an extraction that was interrupted there goes on."""
    model: str = "fasterrcnn_resnet50_fpn_v2"
    """Regions: a detector of torchvision; tokens: torchvision:NAME, timm:NAME, hf:FOLDER or efficientnet_lite0, 1, 2;
    none: captions and ids only."""
    weights: Path | None = None
    """File of the network's weights; default: the library's own."""
    regions: AtLeast1 = 36
    """Regions per image, of a detector."""
    grid: AtLeast1 | None = None
    """Cells per side that the tokens of a tower are averaged to; default: all its tokens."""
    pooled: bool = False
    """Keep a tower's one vector of the whole picture, which VSE++ and HAL read, in place of its tokens."""
    image_size: AtLeast1 | None = None
    """Side of the square that a tower reads, in pixels; default: what it was trained on."""
    dtype: Literal["float32", "float16"] = "float16"
    """Precision of the features."""
    captions_per_image: AtLeast1 | None = None
    """Keep this many captions of each image and leave out images with fewer; default: keep all captions."""
    dev: AtLeast0 | None = None
    """Validation images to draw for a table that names no splits; default: a tenth, at most 1,000."""
    test: AtLeast0 | None = None
    """Test images to draw likewise."""
    seed: AtLeast0 = 0
    """Seed of that drawing."""
    skip_broken: bool = False
    """Leave out pictures that are missing or cannot be decoded, with their captions, and count them."""
    batch_size: AtLeast1 = 8
    """Pictures in the network at a time."""
    workers: Workers = 0
    """Processes that decode pictures."""
    device: str | None = None
    """cuda, mps or cpu; default: the first of them that is there."""


@dataclass
class ConvertOptions:
    """Convert features (TSV, HDF5, LMDB, .npz or .npy files) to memory-mapped .npy files with ids and boxes."""

    sources: Annotated[list[Path], tyro.conf.Positional]
    """Feature files or folders of them: TSV, HDF5, LMDB, .npy, .npz, a folder with a .npz or .npy for each image."""
    out: Path
    """Data set folder to write."""
    captions: Path | None = None
    """Captions with the splits: a file or a data set folder; without it all images make one split, in order."""
    images: Path | None = None
    """Folder of the pictures, only noted for later; default: where the captions lie."""
    split: str = "train"
    """Name of the one split, without --captions."""
    match: Literal["auto", "name", "stem", "id", "id_number", "number"] = "auto"
    """What ids in the sources are to --captions: file name, the same without suffix, image id, name that ends in it,
    name that ends in the same number as the file name."""
    ids: Path | None = None
    """File with the id of each row, for arrays that have none: text, .json, .npy, or .pkl (a list or id: row)."""
    dtype: Literal["float32", "float16"] = "float32"
    """Precision of the features that are written; boxes stay float32."""
    dtype_in: Literal["float32", "float16", "float64"] | None = None
    """Precision of the features in TSV, and in LMDB with --dim; default: found out from their bytes."""
    axes: Literal["auto", "rd", "dr", "hwd", "dhw"] = "auto"
    """Order of an image's axes: regions r, dimensions d, rows and columns h w; default: found out from all images."""
    regions: AtLeast1 | None = None
    """Keep at most so many regions of each image, the first ones; images with fewer are padded."""
    captions_per_image: AtLeast1 | None = None
    """Keep so many captions of each image, the first ones, and leave images with fewer out; default: all captions."""
    drop_missing: bool = False
    """Leave images of --captions without features out, with their captions, and name them."""
    fields: str | None = None
    """Columns of a TSV file, in order; default: by their number. Others than image_id,image_w,... are ignored."""
    features_key: str | None = None
    """Name of the features in HDF5 or .npz; default: one of the usual names."""
    dim: AtLeast1 | None = None
    """LMDB values are bare numbers, so many for each region."""
    trust: bool = False
    """Keep values beyond 1e6 and boxes outside their picture."""
    seed: AtLeast0 = 0
    """Seed of the splits, for a caption table that names none."""
    overwrite: bool = False
    """Replace feature files that are there."""


@dataclass
class CompareOptions:
    """Compare evaluations: mean and deviation over seeds, and whether differences are real."""

    results: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RESULT ...")]
    """Files that evaluation scripts write with --json, or folders of them. The record in each file tells which row it
    belongs to."""
    against: str | None = None
    """Row that the others are compared with: its number, or a part of its name that no other has."""
    metric: Literal["rsum", "r1", "r5", "r10", "r1i", "r5i", "r10i"] = "rsum"
    """What --against compares; the i is text to image."""
    fold5: Switch = False
    """Compare the means over five folds (MS-COCO 1K) instead of the full split; of results made with --fold5."""
    format: Literal["markdown", "latex", "csv"] = "markdown"
    """Form of the tables."""


@dataclass
class EvaluateOptions:
    """Evaluate any model, a checkpoint or its scores or embeddings, by every protocol."""

    inputs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="INPUT ...")]
    """SCORES [images, captions]; or IMAGES [images, D] and CAPTIONS [captions, D]; or one archive that holds either
    (.npy, .npz or .safetensors; FILE:NAME chooses one array of an archive); or a checkpoint of this repository, or a
    folder of python -m vse export, or several, whose scores are averaged."""
    data: str | None = None
    """Data set folder, or the name of a data set under data/; default: of a checkpoint the one it was trained on, of
    scores none, and the captions belong evenly to the images."""
    split: str | None = None
    """Split that is evaluated; default: test (with --coco testall where there is one)."""
    caption_image: str | None = None
    """File (.npy or integers, one a line) with the row of each caption's image, from 0; without --data."""
    image_ids: str | None = None
    """File with the id of each image, a line an image or a caption; default: {split}_ids.txt of --data."""
    caption_ids: str | None = None
    """File with the id of each caption, one a line; default: {split}_cap_ids.txt of --data."""
    measure: Literal["cosine", "dot"] = "cosine"
    """How embeddings are compared."""
    fold5: Switch = False
    """Also the mean over five folds of consecutive images."""
    coco: Switch = False
    """MS-COCO's test split: also the mean of five 1K folds, CxC and ECCV Caption (needs the extra [eval])."""
    correct: Annotated[tuple[str, ...], tyro.conf.arg(aliases=["--rerank"])] = ()
    """Hubness corrections beside the raw scores: csls, inverted_softmax, qbnorm, nnn, sinkhorn; constants as in
    csls:k=20. They need a --bank."""
    bank: str | None = None
    """Queries by which corrections know hubs: train, for a checkpoint; an archive (.npz, .safetensors) with `images`
    and `captions` of the training split, as embeddings or, if scores are evaluated, as scores [bank images, captions]
    and [images, bank captions]; or test, which makes the numbers transductive."""
    json: str | None = None
    """Write all numbers, the rank of every query and how they were made to this file, for `python -m vse compare`."""
    device: str | None = None
    """Device of checkpoints: cuda, mps or cpu; default: the first of them that is available."""


@dataclass
class ExperimentOptions:
    """Train and evaluate a grid of configurations from a plan, and report means, plots and differences."""

    plan: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PLAN")]
    """Plan, a TOML file; benchmarks/plans holds some, docs/evaluation.md describes it."""
    out: str | None = None
    """Folder of the runs and the report; default: the plan's own."""
    jobs: AtLeast1 = 1
    """Runs side by side, or jobs in a cluster's queue. On this machine they share the CPU's threads."""
    cluster: Literal["slurm", "local"] | None = None
    """Submit runs as jobs (needs submitit); the plan's [cluster] holds its parameters. local: jobs on this machine."""
    dry_run: bool = False
    """Print the commands and do nothing."""
    report: bool = False
    """Train nothing; report what is finished."""


@dataclass
class ExportOptions:
    """Export a trained model: weights alone, configuration, vocabulary and model card, in the Hub's form."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """Checkpoint of this repository, such as runs/x/model_best.pth.tar."""
    out: str
    """Folder to write; files of an earlier export in it are replaced."""
    license: str = "other"
    """Licence of the weights, as the model card states it; the data set's licence may bind you."""
    features: str | None = None
    """Data set folder, or its features.json, that says how features are made of pictures; default: the training
    data's."""
    onnx: Switch = False
    """Write the encoders of an embedding network as images.onnx and captions.onnx as well (pip install 'vse[onnx]')."""


@dataclass
class GalleryOptions:
    """Show what a model retrieves and where it goes wrong: a page of queries, answers and pictures."""

    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]
    """Checkpoint, which is evaluated now, or a file of scores: .npy (--save_similarities), .npz or .safetensors."""
    model_path: str | None = None
    """With a file of scores: the checkpoint that gave the scores; the page then says what it was trained on."""
    data_path: str | None = None
    """Folder that holds the data set folders; default: where the checkpoint's training data was, or the repository's
    data/ folder."""
    data_name: str | None = None
    """Data set; default: the one the checkpoint was trained on; for scores alone the built-in demo."""
    split: str = "test"
    """Split that is evaluated."""
    pictures: str | None = None
    """Folder of the picture files; default: where the data set says."""
    order: Literal["worst", "random"] = "worst"
    """Queries whose right answer is farthest down come first, or queries are drawn at random."""
    seed: AtLeast0 = 0
    """Of --order random."""
    failures: Switch = False
    """Only queries whose best answer is wrong."""
    queries: AtLeast1 = 20
    """Queries in each direction."""
    answers: AtLeast1 = 5
    """Best answers to each query."""
    descriptions: Literal["svd", "sentence", "none"] | None = None
    """Description vectors that tell what is similar in meaning; default: the kind that the model was trained with, or
    svd."""
    similar: Cosine | None = None
    """Cosine of description vectors from which captions are similar in meaning; default: svd 0.75, sentence 0.65."""
    out: str = "gallery.html"
    """The page; it holds its pictures and needs no other file."""
    device: str | None = None
    """cuda, mps or cpu; default: the first of them that is available."""


@dataclass
class IndexOptions:
    """Make an index of pictures or of a data set, to be searched by sentences and pictures."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """Checkpoint, folder of python -m vse export, or hf:owner/name."""
    data: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")]
    """Folder of pictures, which need no captions; a picture; a data set folder, or its name under data/; or features
    [images, ...] in a .npy file."""
    out: str
    """Folder of the index; in one that is there, new items are added, changed ones replaced, deleted ones removed."""
    split: str = "test"
    """Split of a data set."""
    features: str | None = None
    """Data set folder, or its features.json, that says how the features that the network reads are made of pictures;
    default: the training data's."""
    faiss: Literal["flat", "ivfpq", "hnsw"] | None = None
    """Add a FAISS index (extra [search]): flat, ivfpq for tens of thousands or more, or hnsw."""
    skip_broken: Switch = False
    """Leave out pictures that cannot be decoded, and name them."""
    batch_size: AtLeast1 = 128
    """Items encoded at a time."""
    device: str | None = None
    """cuda, mps or cpu; default: the first of them that is available."""


@dataclass
class JudgeOptions:
    """Compare scores, or description vectors, with human judgments of pictures and captions (Flickr8k)."""

    annotations: str
    """ExpertAnnotations.txt or CrowdFlowerAnnotations.txt of Flickr8k, or a file of either form."""
    data: str
    """Data set folder of the split that was judged, with {split}_names.txt; or the name of a data set under data/."""
    scores: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[SCORES]")] = None
    """Scores [images, captions] of the split: .npy, .npz or .safetensors; FILE:NAME chooses an array."""
    descriptions: str | None = None
    """Judge vectors of the captions in place of scores: svd, sentence, or a .npy file [captions, D]."""
    sentence_encoder: str | None = None
    """Folder or hub name of the encoder of --descriptions sentence; default: the one of the extra [sentence]."""
    split: str = "test"
    """Split that was judged."""
    resamples: AtLeast1 = 1000
    """Of the bootstrap behind the 95 % intervals."""
    json: str | None = None
    """Write all numbers to this file."""


@dataclass
class ParseOptions:
    """Parse captions (with spaCy) into *_caps.json, the word graphs of GSMN."""

    path: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PATH")]
    """Folder of the data set, or the folder that holds it."""
    data_name: str | None = None
    """Data set under PATH, when PATH holds several."""
    model: str | None = None
    """spaCy model; default: en_core_web_sm, however it was installed."""


@dataclass
class SearchOptions:
    """Search an index by a sentence or a picture; without either, sentences are read from a prompt."""

    index: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="INDEX")]
    """Folder that python -m vse index wrote."""
    query: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[SENTENCE ...]")] = ()
    """Sentences, each in quotes."""
    image: tuple[str, ...] = ()
    """Picture files to search by."""
    find: Literal["images", "captions"] | None = None
    """What is searched; default: images by a sentence; by a picture captions, or images if the index has no
    captions."""
    k: AtLeast1 = 10
    """Best items that are shown."""
    candidates: AtLeast1 = 200
    """Items that the network scores where a cheaper comparison chooses them (FAISS, or the global vectors of SGRAF)."""
    exact: Switch = False
    """Score every item."""
    model: str | None = None
    """The model that the index was made with, if it is no longer where it was."""
    features: str | None = None
    """Data set folder, or its features.json, that says how the features that the network reads are made of pictures;
    default: what the index says, or the training data's."""
    json: str | None = None
    """Write the answers to this file."""
    page: str | None = None
    """Write an HTML page with the pictures to this file."""
    device: str | None = None
    """cuda, mps or cpu; default: the first of them that is available."""


COMMANDS: dict[str, type[Any]] = {
    "check": CheckOptions,
    "prepare": PrepareOptions,
    "features": FeaturesOptions,
    "convert": ConvertOptions,
    "compare": CompareOptions,
    "evaluate": EvaluateOptions,
    "experiment": ExperimentOptions,
    "export": ExportOptions,
    "gallery": GalleryOptions,
    "index": IndexOptions,
    "judge": JudgeOptions,
    "parse": ParseOptions,
    "search": SearchOptions,
}
"""Command -> its options; the module of the same name beside this one has its `main(options)`."""
