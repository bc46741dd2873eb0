"""Option groups that scripts share. A script's options are a dataclass of such groups, and flags carry no prefix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Annotated, Any, Literal, TypeVar

import tyro

from vse.constants import CONSTANTS
from vse.ranges import (
    AtLeast0,
    AtLeast1,
    Finite,
    Gibibytes,
    Layers,
    NonNegative,
    Pixels,
    Positive,
    PositiveShare,
    Probability,
    Share,
    Workers,
)

Options = TypeVar("Options")

Value = TypeVar("Value")

Switch = Annotated[bool, tyro.conf.FlagCreatePairsOff]
"""A flag without a `--no_` form."""


_hint = tyro.conf.arg(help_behavior_hint=lambda value: "" if value in ("", "None") else f"(default: {value})")

Maybe = Annotated[Value | None, _hint]
"""An option that is None unless it is given; its help text says what None means, so `--help` does not show it."""
Many = Annotated[tuple[Value, ...], _hint]
"""An option of any number of values, none unless it is given."""


@dataclass
class DataOptions:
    """Data set and batches."""

    data_path: Maybe[str] = None
    """Folder that holds the data set folders; default: the repository's data/ folder."""
    data_name: Maybe[str] = None
    """Data set: f30k, coco, iaprtc12 or a folder's name; without --data_path and --data_name the built-in demo."""
    vocab_path: Maybe[str] = None
    """Folder of the vocabulary files; default: the data set's own folder. A missing vocabulary is built and saved."""
    batch_size: AtLeast1 = 128
    """Pairs in a training batch (of each process under torchrun), items in an evaluation batch."""
    workers: Workers = 0
    """Loader processes; 0 reads in the main process. The number does not change the batches."""
    max_words: AtLeast1 = 1000
    """Maximum number of words in a caption; longer ones are refused, because memory grows with its square."""
    img_dim: Maybe[AtLeast1] = None
    """Expected feature size; only checked against the file, which decides."""
    descriptions: str = "svd"
    """Description vectors, for objectives that need them: svd as in the original code, sentence, or a .npy file."""
    sentence_encoder: Maybe[str] = None
    """Folder or hub name of the encoder for --descriptions sentence; default: that of pip install 'vse[sentence]'."""
    noise: Probability = 0.0
    """Fraction of the training captions or images to mismatch on purpose; needs --noise_protocol."""
    noise_protocol: Maybe[str] = None
    """captions: each gets another image (NCR); images: the captions of an image all get the same other one (DECL);
    or a .npy file with the image of each caption, or of each image."""
    noise_seed: AtLeast0 = 0
    """Random seed of the mismatched pairs."""


Precision = Literal["float32", "tf32", "bf16"]
"""How a network computes on CUDA."""


@dataclass
class TrainingOptions:
    """The training run."""

    num_epochs: AtLeast1 = 30
    """Passes over the training captions."""
    learning_rate: NonNegative = 0.0002
    """Initial learning rate."""
    lr_update: AtLeast1 = 15
    """Epochs between divisions of the learning rate by ten."""
    grad_clip: NonNegative = 2.0
    """Maximum total gradient norm; 0 turns clipping off."""
    early_stopping: Maybe[AtLeast1] = None
    """Stop after this many epochs in a row without a better dev score; default: never."""
    val_step: AtLeast1 = 500
    """Steps between validations; each epoch also ends with one."""
    log_step: AtLeast1 = 10
    """Steps between log lines."""
    logger_name: str = "runs/runX"
    """Run folder: options, metrics, TensorBoard events, checkpoints, vocabulary."""
    model_name: Maybe[str] = None
    """Folder of the checkpoints; default: the run folder."""
    init_model: Maybe[str] = None
    """Checkpoint, ours or the original code's, whose weights the run starts from."""
    resume: Maybe[str] = None
    """Checkpoint to resume from, or auto: the run folder's own if there is one."""
    seed: AtLeast0 = 0
    """Random seed of initial weights, order of the data and dropout."""
    device: Maybe[str] = None
    """cuda, mps or cpu; default: the first that is available."""
    precision: Maybe[Precision] = None
    """tf32: round the factors of float32 products on CUDA; bf16: autocast on CUDA; scores and objectives stay float32.
    Default: tf32 on CUDA, float32 elsewhere."""
    deterministic: Switch = False
    """Compute with kernels that give the same bits every time; slower on CUDA, no difference on the CPU."""
    compile: Switch = False
    """Compile the objective, but not the encoders, whose lengths vary between batches, with torch.compile."""
    sync_batchnorm: bool = True
    """Under torchrun: compute BatchNorm1d's statistics over the pairs of all processes, as a single process would."""
    features_on_device: Maybe[bool] = None
    """Keep all training features on the device; default: on CUDA, if they take less than half of its free memory."""
    track: Maybe[Literal["wandb", "mlflow", "trackio"]] = None
    """Tracking service to which the metrics are also sent."""
    optimizer: Literal["original", "adam", "adamw", "sgd"] = "original"
    """original: the original code's; adamw: for towers; sgd: with a momentum of 0.9."""
    weight_decay: NonNegative = 0.0
    """Weight decay of all parameters, with an --optimizer other than original."""
    schedule: Literal["original", "step", "cosine"] = "original"
    """original: the original code's, see --lr_update; step: see --lr_milestones; cosine: to 0 at the end."""
    lr_milestones: Many[Positive] = ()
    """Where --schedule step multiplies the rates by --lr_decay: epochs (4 4.5) or, below 1, fractions of the run."""
    lr_decay: PositiveShare = 0.1
    """Factor at each milestone."""
    lr_warmup_steps: AtLeast0 = 0
    """Number of steps over which the learning rates grow linearly to their initial value."""
    ema: Probability = 0.0
    """Decay of the moving average of the weights that is evaluated and saved, such as 0.999; 0: off."""


Trained = Literal["none", "all"] | AtLeast1
"""How much of a tower is trained: nothing, everything, or its last N blocks."""


@dataclass
class TowerOptions:
    """Pretrained towers (docs/towers.md)."""

    image_tower: Maybe[str] = None
    """Read pictures with torchvision:NAME, timm:NAME, hf:FOLDER (or hub name) or efficientnet_lite0, 1, 2."""
    image_size: Maybe[Pixels] = None
    """Side of the square that the image tower reads, in pixels; default: the size it was trained on."""
    tower_weights: Maybe[str] = None
    """File of the image tower's weights; default: the library's own."""
    image_tower_train: Trained = "none"
    """Train nothing of the image tower, all of it, or its last N blocks."""
    image_tower_lr: PositiveShare = 0.1
    """Fraction of the learning rate that the image tower gets."""
    skip_broken: Switch = False
    """Pictures: leave out those that cannot be decoded, and report them."""
    smallest_crop: PositiveShare = 0.6
    """Smallest random crop in training, as a fraction of the picture's area; crops are also mirrored at random."""
    text_tower: Maybe[str] = None
    """Read captions with hf:FOLDER (or hub name): BERT or similar, or CLIP's or SigLIP's text tower."""
    text_tower_train: Trained = "all"
    """Train nothing of the text tower, all of it, or its last N blocks."""
    text_tower_lr: PositiveShare = 0.1
    """Fraction of the learning rate that the text tower gets."""
    layer_decay: PositiveShare = 1.0
    """Factor by which a tower's learning rate falls from each block to the one before it."""
    gradient_checkpointing: Switch = False
    """Recompute the towers' blocks in the backward pass: less memory, about a third more time."""


@dataclass
class EncoderOptions:
    """The network."""

    word_dim: AtLeast1 = 300
    """Size of the word vectors."""
    embed_size: AtLeast1 = 1024
    """Size of the joint space."""
    num_layers: Layers = 1
    """Layers of the caption GRU."""
    no_imgnorm: Switch = False
    """Do not normalise images (VSE0), or their regions."""
    towers: TowerOptions = field(default_factory=TowerOptions)


@dataclass
class EmbeddingOptions(EncoderOptions):
    """The network."""

    measure: Literal["cosine", "order"] = "cosine"
    """Similarity measure."""
    use_abs: Switch = False
    """Use the absolute values of the embeddings (order embeddings)."""


@dataclass
class EvaluationOptions:
    """What to evaluate, and what to write."""

    model_path: str = "runs/runX/model_best.pth.tar"
    """Checkpoint to evaluate, ours or the original code's."""
    ensemble: Many[str] = ()
    """Further checkpoints; the mean of all models' scores is evaluated."""
    data_path: Maybe[str] = None
    """Folder that holds the data set folders; default: where the checkpoint's training data was."""
    data_name: Maybe[str] = None
    """Data set; default: the one the checkpoint was trained on."""
    vocab_path: Maybe[str] = None
    """Folder of the vocabulary for a checkpoint of the original code, which has none; default: the data set's."""
    split: Maybe[str] = None
    """Split; default: test, or with --fold5 testall if there is one."""
    fold5: Switch = False
    """Mean over five folds of consecutive images (MS-COCO 1K), after the full split (5K)."""
    annotations: Maybe[str] = None
    """Flickr8k's ExpertAnnotations.txt or CrowdFlowerAnnotations.txt: also compare the scores with human judgments."""
    save_similarities: Maybe[str] = None
    """Write the scores to this .npy file, float32 [images, captions]."""
    json: Maybe[str] = None
    """Write all metrics to this file."""
    batch_size: AtLeast1 = 128
    """Items encoded at a time."""
    max_words: AtLeast1 = 1000
    """Maximum number of words in a caption; longer ones are refused."""
    memory_budget: Gibibytes = 1.0
    """GB that a block of scores may take while it is computed."""
    device: Maybe[str] = None
    """cuda, mps or cpu; default: the first that is available."""


SameImage = Literal["negative", "ignore", "positive", "zero_margin"]
"""What other captions of an image are to an objective, when they meet in a batch."""
WarmupForm = Literal["sum", "mean"]
"""How a warm-up adds up the terms of all negatives."""


@dataclass
class ObjectiveOptions:
    """The objective and its constants.

    A constant that is not given is the network's, or else the objective's default (docs/objectives.md).
    """

    loss: str = "lseh"
    """Training objective (docs/objectives.md), or your own, FILE.py:ClassName.
    lseh, lmh (max_hinge), sum_hinge, luwm, hal, infonce, soft_margin, sam, selhn, tal, unihn,
    siglip, dcl, hn_nce, soft_labels, neighbor_retr or crcl."""
    max_violation: Maybe[bool] = None
    """lseh, sam, soft_margin: use only each query's hardest negative instead of all."""
    same_image: Maybe[SameImage] = None
    """How to treat other captions of an image: wrong (negative), right (positive) or neither (ignore).
    zero_margin: for lseh. Default: the rule that the objective was published with."""
    false_negatives: Maybe[Literal["gist"]] = None
    """gist: drop negatives whose descriptions are too close to the query's."""
    gist_margin: Maybe[NonNegative] = None
    """gist: drop a negative whose similarity is within this distance of the positive's; default: 0.05."""
    gist_ratio: Maybe[Positive] = None
    """gist: instead, drop a negative whose similarity exceeds this fraction of the positive's, such as 0.95."""
    warmup_epochs: Maybe[NonNegative] = None
    """Number of first epochs, or a fraction, that sum over all negatives; for objectives of hardest negatives."""
    warmup_form: Maybe[WarmupForm] = None
    """sum (the default), as in VSE-infinity, or mean, the sum divided by the batch size."""
    margin: Maybe[NonNegative] = None
    """Margin of the hinge; of an unrelated negative (lseh, sam); within which negatives count (luwm)."""
    semantic_weight: Maybe[Finite] = None
    """How much semantic similarity adds to the margin (lseh) or subtracts from it (sam); negative: the reverse."""
    semantic_normalise: Maybe[Literal["rowmax", "cosine", "self"]] = None
    """lseh: what inner products of descriptions are divided by."""
    semantic_symmetrise: Maybe[bool] = None
    """lseh: average the similarities of both orders of a pair."""
    same_image_key: Maybe[Literal["image_ids", "legacy_div5"]] = None
    """lseh: how captions of one image are found; legacy_div5: by id // 5, as in the original code."""
    positive_coefficients: Maybe[tuple[Finite, Finite, Finite]] = None
    """luwm: constant, linear and quadratic coefficient of the positive."""
    negative_coefficients: Maybe[tuple[Finite, Finite, Finite]] = None
    """luwm: the same for the hardest negative."""
    local_alpha: Maybe[Positive] = None
    """hal: scale of the batch's negatives (Flickr30K: 60)."""
    local_ep: Maybe[Finite] = None
    """hal: threshold of the batch's negatives (Flickr30K: 0.7)."""
    positive_term: Maybe[Literal["published", "repaired"]] = None
    """hal: repaired also pulls matching pairs that score 0 or less."""
    memory_bank: Maybe[bool] = None
    """hal: also weight the pairs by a memory bank, from the second epoch on."""
    mb_rate: Maybe[PositiveShare] = None
    """hal: fraction of the training captions in the bank (0.05)."""
    mb_k: Maybe[AtLeast1] = None
    """hal: nearest rows of the bank that count (250)."""
    global_alpha: Maybe[NonNegative] = None
    """hal: scale of the positives' weights (40)."""
    global_beta: Maybe[NonNegative] = None
    """hal: scale of the negatives' weights (40)."""
    global_ep_posi: Maybe[Finite] = None
    """hal: threshold of the positives' weights (0.2; it cancels out)."""
    global_ep_nega: Maybe[Finite] = None
    """hal: threshold of the negatives' weights (0.1)."""
    global_weighting: Maybe[Literal["published", "repaired"]] = None
    """hal: repaired corrects the weighting by the bank (docs/differences.md)."""
    temperature: Maybe[Positive] = None
    """infonce, dcl, hn_nce, soft_labels, neighbor_retr: initial value, learned; tal, crcl: fixed."""
    sharpness: Maybe[Positive] = None
    """soft_margin: how closely it approximates a hinge; unihn: how much the hardest negative dominates."""
    epsilon: Maybe[NonNegative] = None
    """selhn: distance of positive and hardest negative below which a query averages over its negatives."""
    logit_scale: Maybe[Positive] = None
    """siglip: initial value of the learned scale."""
    logit_bias: Maybe[Finite] = None
    """siglip: initial value of the learned bias."""
    hardness: Maybe[NonNegative] = None
    """hn_nce: how much more weight harder negatives get; 0: the same."""
    soft_weight: Maybe[NonNegative] = None
    """soft_labels: weight of the divergence from the descriptions' distribution."""
    soft_temperature: Maybe[Positive] = None
    """soft_labels: temperature of that distribution."""
    centrality_scale: Maybe[NonNegative] = None
    """neighbor_retr: how much more weight central items get; 0: the same."""
    neighbors: Maybe[AtLeast1] = None
    """neighbor_retr: number of best wrong answers that become soft positives."""
    neighbor_scale: Maybe[Positive] = None
    """neighbor_retr: inverse temperature of the second and third terms."""
    plan_weight: Maybe[Share] = None
    """neighbor_retr: weight of the Sinkhorn plan in the targets."""
    plan_temperature: Maybe[Positive] = None
    """neighbor_retr: temperature of the plan."""
    bank_size: Maybe[AtLeast1] = None
    """neighbor_retr: size of the bank of the latest training pairs."""
    momentum: Maybe[Share] = None
    """crcl: weight of the old belief in the new one."""
    belief_epochs: Maybe[AtLeast0] = None
    """crcl: number of first epochs in which every pair is believed."""
    complementary_weight: Maybe[NonNegative] = None
    """crcl: weight of the wrong answers' term."""
    score_scale: Maybe[Positive] = None
    """Give the objective tanh(scores / X), if it needs bounded scores and the network has none (GSMN)."""


@dataclass(frozen=True)
class NetworkDefaults:
    """How a network's recipe differs from the objectives' defaults; an entry counts where the objective has it."""

    loss: str = "lseh"
    max_violation: bool = False
    warmup_epochs: float = 0.0
    warmup_form: WarmupForm = "sum"
    constants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Name of an objective -> name of a constant -> the network's own value."""

    def options(self) -> ObjectiveOptions:
        """Return the options that say nothing but the network's objective: what a command line begins with."""
        return ObjectiveOptions(loss=self.loss)

    def shown(self) -> dict[str, Any]:
        """Return the constants of the network's own objective, for `--help`."""
        own = {"loss": self.loss, "max_violation": self.max_violation, "warmup_epochs": self.warmup_epochs}
        return {**own, **CONSTANTS[self.loss], **self.constants.get(self.loss, {})}


def on_demo(options: DataOptions) -> bool:
    """Return whether no data set is named, so that the built-in demo is meant."""
    return options.data_path is None and options.data_name is None


Evaluation = TypeVar("Evaluation", bound=EvaluationOptions)


def on_iaprtc12(options: Evaluation) -> Evaluation:
    """Make IAPR TC-12 the data set under `--data_path`; checkpoints of the original code call it f30k_precomp."""
    if options.data_path is not None and options.data_name is None:
        return replace(options, data_name="iaprtc12")
    return options


def as_dict(options: Any) -> dict[str, Any]:
    """Return options by the names of their flags, as saved with runs and checkpoints; groups are dissolved."""
    values: dict[str, Any] = {}
    for entry in fields(options):
        value = getattr(options, entry.name)
        values |= as_dict(value) if is_dataclass(value) else {entry.name: value}
    return values


def with_values(options: Options, values: Mapping[str, Any]) -> Options:
    """Return a copy of options with other values, each given by the name of its flag; unknown names are left out."""
    changed = {}
    for entry in fields(options):  # type: ignore[arg-type]
        value = getattr(options, entry.name)
        if is_dataclass(value):
            changed[entry.name] = with_values(value, values)
        elif entry.name in values:
            changed[entry.name] = values[entry.name]
    return replace(options, **changed)  # type: ignore[type-var]
