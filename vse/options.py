"""Command lines: option groups shared by every script, parsing, and how a user's mistake ends."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass
class DataOptions:
    """Which data a network sees."""

    data_path: str | None = None
    """Folder that holds the data set folders; default: the repository's data/ folder."""
    data_name: str | None = None
    """Data set: f30k, coco, iaprtc12 or a folder's name; without --data_path and --data_name the embedded demo."""
    vocab_path: str | None = None
    """Folder of the vocabulary files; default: the data set's own folder. A missing vocabulary is built and saved."""
    batch_size: int = 128
    """Pairs in a training batch (of each process, under torchrun), items in an evaluation batch."""
    workers: int = 0
    """Loader processes; 0 reads in the main process. The number does not change the batches."""
    img_dim: int | None = None
    """Feature size you expect; only checked, the file decides."""


@dataclass
class TrainingOptions:
    """How the loop runs."""

    num_epochs: int = 30
    """Passes over the training captions."""
    learning_rate: float = 0.0002
    """Initial learning rate."""
    lr_update: int = 15
    """Epochs between divisions of the learning rate by ten."""
    grad_clip: float = 2.0
    """Largest total gradient norm; 0 turns clipping off."""
    val_step: int = 500
    """Steps between validations, besides the one that ends each epoch."""
    log_step: int = 10
    """Steps between log lines."""
    logger_name: str = "runs/runX"
    """Run folder: options, metrics, TensorBoard events, checkpoints, vocabulary."""
    model_name: str | None = None
    """Folder of the checkpoints, if not the run folder."""
    init_model: str | None = None
    """Checkpoint, ours or a published one, whose weights the run begins with."""
    resume: str | None = None
    """Checkpoint to go on from, or auto: the run folder's own if there is one."""
    seed: int = 0
    """Seed of everything random: initial weights, order, dropout."""
    device: str | None = None
    """cuda, mps or cpu; default: the first of them that is there."""
    precision: Literal["float32", "bf16"] = "float32"
    """bf16: autocast on CUDA; scores and objectives stay float32."""
    compile: bool = False
    """Compile the training step with torch.compile."""
    features_on_device: bool = False
    """Hold all training features in the device's memory."""


@dataclass
class EncoderOptions:
    """Sizes of the encoders."""

    word_dim: int = 300
    """Size of the word vectors."""
    embed_size: int = 1024
    """Size of the joint space."""
    num_layers: int = 1
    """Layers of the caption GRU."""
    no_imgnorm: bool = False
    """Do not normalise images (VSE0), or their regions."""


@dataclass
class EmbeddingOptions(EncoderOptions):
    """Networks that give every image and caption one embedding."""

    measure: Literal["cosine", "order"] = "cosine"
    """Similarity measure."""
    use_abs: bool = False
    """Absolute values of the embeddings (order embeddings)."""


@dataclass
class EvaluationOptions:
    """What an evaluation script reads and writes."""

    model_path: str = "runs/runX/model_best.pth.tar"
    """Checkpoint to evaluate, ours or a published one."""
    data_path: str | None = None
    """Folder that holds the data set folders; default: where the checkpoint's training data was."""
    data_name: str | None = None
    """Data set; default: the one the checkpoint was trained on."""
    vocab_path: str | None = None
    """Folder of the vocabulary, for a published checkpoint that carries none; default: the data set's own folder."""
    split: str | None = None
    """Split; default: test (with --fold5 testall where there is one)."""
    fold5: bool = False
    """Mean over five folds of consecutive images (MS-COCO 1K) besides the full split (5K)."""
    save_similarities: str | None = None
    """Write the scores to this .npy file, float32 [images, captions]."""
    json: str | None = None
    """Write all metrics to this file."""
    batch_size: int = 128
    """Items encoded at a time."""
    memory_budget: float = 1.0
    """GB that a block of scores may take while it is computed."""
    device: str | None = None
    """cuda, mps or cpu; default: the first of them that is there."""


def on_demo(options: DataOptions) -> bool:
    """Return whether no data set is named, so that the embedded demo is meant."""
    return options.data_path is None and options.data_name is None


def plain(options: Any) -> dict[str, Any]:
    """A dataclass of options as plain values, as saved with runs and checkpoints."""
    return asdict(options)
