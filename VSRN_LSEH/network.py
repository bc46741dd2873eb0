"""VSRN as training, evaluation and search see it: its options, and the network that they describe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from vse.errors import InputError
from vse.networks import NetworkFolder, scores_are_cosines
from vse.options import DataOptions, EmbeddingOptions, Maybe, Switch
from vse.ranges import AtLeast1, Probability

if TYPE_CHECKING:  # torch takes a second to import; --help answers without it
    from vse.data.loading import Reader, Text
    from VSRN_LSEH.model import VSRN

NAME = "VSRN"


@dataclass
class NetworkOptions(EmbeddingOptions):
    """The network."""

    embed_size: AtLeast1 = 2048
    """Size of the joint embedding space, and of the regions during reasoning."""
    final_batchnorm: Literal["published", "always", "never"] = "published"
    """Put a BatchNorm after the GRU over regions and do not normalise the projected regions; published: only
    with f30k and iaprtc12 as --data_name."""
    region_norm_axis: Literal["regions", "features"] = "regions"
    """Normalise each feature over an image's regions (published) or each region over its features (repair)."""
    no_captioning: Switch = False
    """Train retrieval alone, without the caption-generation branch."""
    dim_hidden: AtLeast1 = 512
    """Caption generation: size of its GRUs."""
    dim_word: AtLeast1 = 300
    """Caption generation: size of its word vectors."""
    input_dropout_p: Probability = 0.2
    """Caption generation: dropout on the projected regions and on each step's input."""
    bidirectional: Literal[0, 1] = 0
    """Caption generation: 1 reads the regions in both directions."""
    max_len: AtLeast1 = 60
    """Caption generation: longest caption in tokens; a longer one is cut."""
    captioner_updates: Literal[1, 2] = 2
    """Updates per step of the caption-generation branch: 2, because the original code lists it twice, or 1 (repair)."""
    dim_vid: Maybe[AtLeast1] = None
    """Caption generation: input size; only checked against --embed_size."""
    rnn_type: Literal["gru"] = "gru"
    """Caption generation: accepted for original command lines."""
    rnn_dropout_p: Probability = 0.5
    """No effect, as in the original code: dropout between the layers of single-layer GRUs."""


def resolve(options: NetworkOptions, data: DataOptions) -> NetworkOptions:
    """Decide whether a BatchNorm follows the GRU over regions, as the original code does by the data set's name.

    Raises:
        InputError: `--dim_vid` is not `--embed_size`, or a text tower is to read captions that are generated.
    """
    from vse.data.datasets import canonical_name

    if options.dim_vid not in (None, options.embed_size):
        raise InputError(
            f"--dim_vid {options.dim_vid}: captions are generated from regions of --embed_size {options.embed_size}; "
            "leave --dim_vid out"
        )
    if options.towers.text_tower is not None and not options.no_captioning:
        raise InputError("--text_tower: VSRN generates captions of words, not of pieces; give --no_captioning as well")
    if options.final_batchnorm != "published":
        return options
    named = canonical_name(data.data_name or "") in ("f30k", "iaprtc12")
    return replace(options, final_batchnorm="always" if named else "never")


def reader(options: NetworkOptions) -> Reader:
    """Return how VSRN reads a data set."""
    from vse.nn.towers.plug import with_towers
    from VSRN_LSEH import data

    return with_towers(data.READER, options.towers)


def build(options: NetworkOptions, image_shape: tuple[int, ...], text: Text, pretrained: bool = True) -> VSRN:
    """Build the network that the options describe, for images of this shape: (regions, features), or pixels."""
    from vse.nn.towers.plug import plug_caption_embedding, plug_image_tower
    from vse.text.words import Words
    from VSRN_LSEH.captioning import END, PAD, START
    from VSRN_LSEH.model import VSRN

    if isinstance(text, Words) and not options.no_captioning:
        words = text.vocabulary
        if (words.pad, words.start, words.end) != (PAD, START, END):
            raise InputError(
                f"vocabulary with {words.pad}, {words.start}, {words.end} for <pad>, <start>, <end>; the captioner "
                f"needs {PAD}, {START}, {END}, give another vocabulary by --vocab_path, or --no_captioning"
            )
    tower, image_shape = plug_image_tower(options.towers, image_shape, pooled=False, pretrained=pretrained)
    network = VSRN(
        len(text),
        image_shape[-1],
        options.embed_size,
        options.word_dim,
        options.num_layers,
        use_abs=options.use_abs,
        no_imgnorm=options.no_imgnorm,
        measure=options.measure,
        final_batchnorm=options.final_batchnorm == "always",
        region_norm_axis=options.region_norm_axis,
        captioning=not options.no_captioning,
        dim_hidden=options.dim_hidden,
        dim_word=options.dim_word,
        input_dropout_p=options.input_dropout_p,
        bidirectional=bool(options.bidirectional),
        max_len=options.max_len,
        captioner_updates=options.captioner_updates,
    )
    network.image_tower = tower
    if options.towers.text_tower is not None:
        size, absolute = options.embed_size, options.use_abs
        network.caption_encoder = plug_caption_embedding(options.towers, text, size, absolute, pretrained)
    return network


def published_options(options: NetworkOptions, saved: Mapping[str, Any], state: Any) -> NetworkOptions:
    """Leave out the caption-generation branch, which checkpoints of the original code lack."""
    return replace(options, no_captioning=True)


FOLDER = NetworkFolder(
    NAME,
    NetworkOptions,
    build,
    reader,
    bounded=scores_are_cosines,
    resolve=resolve,
    published_options=published_options,
)
