"""The options of every command, in a module of their own, because --help must not wait for torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from vse.options import Many, Maybe, Switch
from vse.ranges import AtLeast0, AtLeast1, Cosine, Workers


@dataclass
class CheckOptions:
    """Check a data set: counts, captions per image, unknown words, duplicates, broken rows and sources."""

    path: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PATH")]
    """Folder of the data set, or the folder that holds it; nothing is written into it."""
    data_name: Maybe[str] = None
    """Data set under PATH, when PATH holds several."""
    json: bool = False
    """Print the findings as JSON."""


@dataclass
class PrepareOptions:
    """Make the index of a raw data set, the vocabulary, token ids and description vectors, as training would."""

    path: Annotated[Maybe[str], tyro.conf.Positional, tyro.conf.arg(metavar="[PATH]")] = None
    """Folder of the data set, or the folder that holds it; default: the repository's data/ folder."""
    data_name: Maybe[str] = None
    """Data set under PATH, when PATH holds several; without both the built-in demo."""
    vocab_path: Maybe[str] = None
    """Folder of the vocabulary files; default: the data set's own folder."""
    tokeniser: Literal["punkt", "ascii-lower", "bytes-repr"] = "punkt"
    """How captions are read; bytes-repr as in HAL's original code."""
    descriptions: bool = True
    """Make the description vectors, which the objective lseh reads."""
    resize: Maybe[AtLeast1] = None
    """Cache all pictures as squares of this many pixels a side, which image towers read without decoding JPEGs."""
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
    """Data set folder to write; an interrupted extraction resumes."""
    model: str = "fasterrcnn_resnet50_fpn_v2"
    """Regions: a torchvision detector. Tokens: torchvision:NAME, timm:NAME, hf:FOLDER or efficientnet_lite0, 1, 2.
    none: captions and ids only."""
    weights: Maybe[Path] = None
    """File of the network's weights; default: the library's own."""
    regions: AtLeast1 = 36
    """Regions per image, of a detector."""
    grid: Maybe[AtLeast1] = None
    """Average a tower's tokens over this many cells per side; default: keep all tokens."""
    pooled: bool = False
    """Write a tower's single vector of the picture, which VSE++ and HAL read, instead of its tokens."""
    image_size: Maybe[AtLeast1] = None
    """Side of the square that a tower reads, in pixels; default: what it was trained on."""
    dtype: Literal["float32", "float16"] = "float16"
    """Precision of the features."""
    captions_per_image: Maybe[AtLeast1] = None
    """Keep this many captions of each image and leave out images with fewer; default: keep all captions."""
    dev: Maybe[AtLeast0] = None
    """Validation images to draw for a table that names no splits; default: a tenth, at most 1,000."""
    test: Maybe[AtLeast0] = None
    """Test images to draw likewise."""
    seed: AtLeast0 = 0
    """Random seed of that split."""
    skip_broken: bool = False
    """Leave out pictures that are missing or cannot be decoded, with their captions, and count them."""
    batch_size: AtLeast1 = 8
    """Pictures in the network at a time."""
    workers: Workers = 0
    """Processes that decode pictures."""
    device: Maybe[str] = None
    """cuda, mps or cpu; default: the first that is available."""


@dataclass
class ConvertOptions:
    """Convert features (TSV, HDF5, LMDB, .npz or .npy files) to memory-mapped .npy files with ids and boxes."""

    sources: Annotated[Many[Path], tyro.conf.Positional]
    """Feature files or folders of them: TSV, HDF5, LMDB, .npy, .npz, a folder with a .npz or .npy for each image."""
    out: Path
    """Data set folder to write."""
    captions: Maybe[Path] = None
    """Captions with the splits: a file or a data set folder; without it all images make one split, in order."""
    images: Maybe[Path] = None
    """Folder of the pictures, recorded for later use; default: the folder of the captions."""
    split: str = "train"
    """Name of the one split, without --captions."""
    match: Literal["auto", "name", "stem", "id", "id_number", "number"] = "auto"
    """How ids in the sources match --captions: by file name, file name without suffix, image id, a name that ends in
    the image id, or a name that ends in the same number as the file name."""
    ids: Maybe[Path] = None
    """File with the id of each row, for arrays that have none: text, .json, .npy, or .pkl (a list or id: row)."""
    dtype: Literal["float32", "float16"] = "float32"
    """Precision of the written features; boxes stay float32."""
    dtype_in: Maybe[Literal["float32", "float16", "float64"]] = None
    """Precision of the features in TSV, and in LMDB with --dim; default: inferred from their bytes."""
    axes: Literal["auto", "rd", "dr", "hwd", "dhw"] = "auto"
    """Order of an image's axes: regions r, dimensions d, rows and columns h w; default: inferred from all images."""
    regions: Maybe[AtLeast1] = None
    """Keep at most the first N regions of each image; images with fewer are padded."""
    captions_per_image: Maybe[AtLeast1] = None
    """Keep the first N captions of each image and leave out images with fewer; default: keep all captions."""
    drop_missing: bool = False
    """Leave out images of --captions that have no features, with their captions, and name them."""
    fields: Maybe[str] = None
    """Columns of a TSV file, in order; unknown names are ignored; default: by the number of columns."""
    features_key: Maybe[str] = None
    """Name of the features in HDF5 or .npz; default: one of the usual names."""
    dim: Maybe[AtLeast1] = None
    """LMDB values are raw numbers, this many per region."""
    trust: bool = False
    """Keep values beyond 1e6 and boxes outside their picture."""
    seed: AtLeast0 = 0
    """Seed of the splits, for a caption table that names none."""
    overwrite: bool = False
    """Replace existing feature files."""


@dataclass
class CompareOptions:
    """Compare evaluations: mean and deviation over seeds, and significance of differences."""

    results: Annotated[Many[str], tyro.conf.Positional, tyro.conf.arg(metavar="RESULT ...")]
    """Files that evaluation scripts write with --json, or folders of them; their records assign them to rows."""
    against: Maybe[str] = None
    """Row to compare the others with: its number or a unique part of its name."""
    metric: Literal["rsum", "r1", "r5", "r10", "r1i", "r5i", "r10i"] = "rsum"
    """What --against compares; a final i means text to image."""
    fold5: Switch = False
    """Compare the means over five folds (MS-COCO 1K) instead of the full split, for results made with --fold5."""
    format: Literal["markdown", "latex", "csv"] = "markdown"
    """Form of the tables."""


@dataclass
class EvaluateOptions:
    """Evaluate any model, a checkpoint or its scores or embeddings, by every protocol."""

    inputs: Annotated[Many[str], tyro.conf.Positional, tyro.conf.arg(metavar="INPUT ...")]
    """SCORES [images, captions]; or IMAGES [images, D] and CAPTIONS [captions, D]; or one archive that holds either
    (.npy, .npz or .safetensors; FILE:NAME selects one array of an archive);
    or one or more checkpoints or exported folders, whose scores are averaged."""
    data: Maybe[str] = None
    """Data set folder, or the name of a data set under data/. Default: for a checkpoint, the one it was trained on;
    for scores none, so every image has the same number of consecutive captions."""
    split: Maybe[str] = None
    """Split to evaluate; default: test, or with --coco testall if there is one."""
    caption_image: Maybe[str] = None
    """Instead of --data: file (.npy, or one integer per line) with the row of each caption's image, from 0."""
    image_ids: Maybe[str] = None
    """File with the id of each image, one line per image or caption; default: {split}_ids.txt of --data."""
    caption_ids: Maybe[str] = None
    """File with the id of each caption, one per line; default: {split}_cap_ids.txt of --data."""
    measure: Literal["cosine", "dot"] = "cosine"
    """How embeddings are compared."""
    fold5: Switch = False
    """Also the mean over five folds of consecutive images."""
    coco: Switch = False
    """MS-COCO's test split: also the mean of five 1K folds, CxC and ECCV Caption (needs the extra [eval])."""
    correct: Annotated[Many[str], tyro.conf.arg(aliases=["--rerank"])] = ()
    """Hubness corrections to evaluate beside the raw scores: csls, inverted_softmax, qbnorm, nnn, sinkhorn.
    Constants as in csls:k=20; needs --bank."""
    bank: Maybe[str] = None
    """Queries from which corrections estimate hubness: train, for a checkpoint; or an archive (.npz, .safetensors) with
    `images` and `captions` of the training split: embeddings or, if scores are evaluated, scores
    [bank images, captions] and [images, bank captions]; or test, which makes the numbers transductive."""
    json: Maybe[str] = None
    """Write all metrics, the rank of every query and the run record to this file, for python -m vse compare."""
    device: Maybe[str] = None
    """Device of checkpoints: cuda, mps or cpu; default: the first that is available."""


@dataclass
class ExperimentOptions:
    """Train and evaluate a grid of configurations from a plan, and report means, plots and differences."""

    plan: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PLAN")]
    """Plan, a TOML file; docs/evaluation.md describes it, and benchmarks/plans has examples."""
    out: Maybe[str] = None
    """Folder of the runs and the report; default: the plan's own."""
    jobs: AtLeast1 = 1
    """Runs side by side, which share the CPU's threads, or jobs in a cluster's queue."""
    cluster: Maybe[Literal["slurm", "local"]] = None
    """Submit runs as jobs (needs submitit), with the parameters of the plan's [cluster]; local: on this machine."""
    dry_run: bool = False
    """Print the commands and do nothing."""
    report: bool = False
    """Train nothing; report the finished runs."""


@dataclass
class ExportOptions:
    """Export a trained model: weights alone, configuration, vocabulary and model card, in the Hub's form."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """Checkpoint of this repository, such as runs/x/model_best.pth.tar."""
    out: str
    """Folder to write; files of an earlier export in it are replaced."""
    license: str = "other"
    """Licence of the weights, as the model card states it; the data set's licence may bind you."""
    features: Maybe[str] = None
    """Data set folder, or its features.json, that describes how to extract features; default: the training data's."""
    onnx: Switch = False
    """Write the encoders of an embedding network as images.onnx and captions.onnx as well (pip install 'vse[onnx]')."""


@dataclass
class GalleryOptions:
    """Make a page of queries, answers and pictures, which shows what a model retrieves and where it fails."""

    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]
    """Checkpoint to evaluate, or a file of scores: .npy (of --save_similarities), .npz or .safetensors."""
    model_path: Maybe[str] = None
    """With a file of scores: the checkpoint that computed them; the page then shows its run record."""
    data_path: Maybe[str] = None
    """Folder that holds the data set folders; default: that of the checkpoint's training data, or data/."""
    data_name: Maybe[str] = None
    """Data set; default: the one the checkpoint was trained on; for scores alone the built-in demo."""
    split: str = "test"
    """Split to evaluate."""
    pictures: Maybe[str] = None
    """Folder of the picture files; default: that of the data set."""
    order: Literal["worst", "random"] = "worst"
    """worst: queries with the worst ranks first; random: queries drawn at random."""
    seed: AtLeast0 = 0
    """Random seed of --order random."""
    failures: Switch = False
    """Show only queries whose best answer is wrong."""
    queries: AtLeast1 = 20
    """Number of queries in each direction."""
    answers: AtLeast1 = 5
    """Number of best answers to each query."""
    descriptions: Maybe[Literal["svd", "sentence", "none"]] = None
    """Description vectors that measure similarity in meaning; default: the kind used in training, or svd."""
    similar: Maybe[Cosine] = None
    """Lowest cosine of description vectors that counts as similar in meaning; default: svd 0.75, sentence 0.65."""
    out: str = "gallery.html"
    """Page to write; it contains its pictures and needs no other file."""
    device: Maybe[str] = None
    """cuda, mps or cpu; default: the first that is available."""


@dataclass
class IndexOptions:
    """Make an index of pictures or of a data set, to search by sentences and pictures."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """Checkpoint, folder of python -m vse export, or hf:owner/name."""
    data: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")]
    """Folder of pictures (captions are not needed), a picture, a data set folder or its name under data/,
    or a .npy file of features [images, ...]."""
    out: str
    """Folder of the index; in an existing one, new items are added, changed ones replaced and deleted ones removed."""
    split: str = "test"
    """Split of a data set."""
    features: Maybe[str] = None
    """Data set folder, or its features.json, that describes how to extract features; default: the training data's."""
    faiss: Maybe[Literal["flat", "ivfpq", "hnsw"]] = None
    """Add a FAISS index (extra [search]): flat, hnsw, or ivfpq for tens of thousands of vectors or more."""
    skip_broken: Switch = False
    """Leave out pictures that cannot be decoded, and name them."""
    batch_size: AtLeast1 = 128
    """Items encoded at a time."""
    device: Maybe[str] = None
    """cuda, mps or cpu; default: the first that is available."""


@dataclass
class JudgeOptions:
    """Compare scores, or description vectors, with human judgments of pictures and captions (Flickr8k)."""

    annotations: str
    """Flickr8k's ExpertAnnotations.txt or CrowdFlowerAnnotations.txt, or a file of either form."""
    data: str
    """Data set folder of the judged split, with {split}_names.txt, or the name of a data set under data/."""
    scores: Annotated[Maybe[str], tyro.conf.Positional, tyro.conf.arg(metavar="[SCORES]")] = None
    """Scores [images, captions] of the split: .npy, .npz or .safetensors; FILE:NAME selects an array."""
    descriptions: Maybe[str] = None
    """Judge description vectors of the captions instead of scores: svd, sentence, or a .npy file [captions, D]."""
    sentence_encoder: Maybe[str] = None
    """Folder or hub name of the encoder for --descriptions sentence; default: that of the extra [sentence]."""
    split: str = "test"
    """Judged split."""
    resamples: AtLeast1 = 1000
    """Number of bootstrap samples for the 95 % intervals."""
    json: Maybe[str] = None
    """Write all numbers to this file."""


@dataclass
class ParseOptions:
    """Parse captions (with spaCy) into *_caps.json, the word graphs of GSMN."""

    path: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PATH")]
    """Folder of the data set, or the folder that holds it."""
    data_name: Maybe[str] = None
    """Data set under PATH, when PATH holds several."""
    model: Maybe[str] = None
    """spaCy model; default: en_core_web_sm."""


@dataclass
class SearchOptions:
    """Search an index by a sentence or a picture; without either, prompt for sentences."""

    index: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="INDEX")]
    """Folder that python -m vse index wrote."""
    query: Annotated[Many[str], tyro.conf.Positional, tyro.conf.arg(metavar="[SENTENCE ...]")] = ()
    """Sentences, each in quotes."""
    image: Many[str] = ()
    """Picture files to search by."""
    find: Maybe[Literal["images", "captions"]] = None
    """What to find; default: images for a sentence; for a picture captions, or images if the index has no captions."""
    k: AtLeast1 = 10
    """Number of items to show."""
    candidates: AtLeast1 = 200
    """Number of items to score if a cheaper comparison (FAISS, or SGRAF's global vectors) chooses them."""
    exact: Switch = False
    """Score every item."""
    model: Maybe[str] = None
    """The index's model, if it has moved."""
    features: Maybe[str] = None
    """Data set folder, or its features.json, that describes how to extract features.
    Default: as the index records, or the training data's."""
    json: Maybe[str] = None
    """Write the answers to this file."""
    page: Maybe[str] = None
    """Write an HTML page with pictures to this file."""
    device: Maybe[str] = None
    """cuda, mps or cpu; default: the first that is available."""


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
