"""Towers plugged into a network, as the command line's `TowerOptions` describe them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vse.data.decoding import RandomCrop, TowerTransform
from vse.data.images import picture_splits
from vse.data.loading import Reader, Text
from vse.errors import InputError
from vse.nn.towers.encoders import TowerCaptionEmbedding, TowerWordStates
from vse.nn.towers.tower import (
    ImageTower,
    TextTower,
    build_image_tower,
    build_text_tower,
    picture_input,
    text_folder,
)
from vse.options import TowerOptions
from vse.text.tower_pieces import TowerPieces

FLAGS_OF = {
    "image_tower": ("image_size", "tower_weights", "image_tower_train", "image_tower_lr", "smallest_crop"),
    "text_tower": ("text_tower_train", "text_tower_lr"),
}
"""A tower's option -> those that mean nothing without it."""


def check_towers(options: TowerOptions) -> None:
    """Refuse what is asked of a tower that is not there, which would otherwise be ignored.

    Raises:
        InputError: it names the option.
    """
    for tower, names in FLAGS_OF.items():
        for name in names if getattr(options, tower) is None else ():
            if (value := getattr(options, name)) != getattr(TowerOptions(), name):
                raise InputError(f"--{name} {value}: there is no --{tower}; give one, or leave --{name} out")


def with_towers(reader: Reader, options: TowerOptions, use_restval: bool = False) -> Reader:
    """Make a reader read what the towers want: pictures and pieces; without towers it stays as it is.

    Args:
        use_restval: add MS-COCO's restval images to train, where there is an image tower.

    Raises:
        InputError: no such tower, or a library is missing.
    """
    return _with_text_tower(_with_image_tower(reader, options, use_restval), options)


def _with_image_tower(reader: Reader, options: TowerOptions, use_restval: bool) -> Reader:
    if options.image_tower is None:
        return reader
    reads = picture_input(options.image_tower, options.image_size)
    transform = TowerTransform(reads, RandomCrop(options.smallest_crop))
    return replace(reader, open_split=picture_splits(transform, use_restval, options.skip_broken))


def _with_text_tower(reader: Reader, options: TowerOptions) -> Reader:
    if options.text_tower is None:
        return reader
    name = text_folder(options.text_tower)
    return replace(
        reader,
        locate_text=lambda data, folder: TowerPieces.find(name),
        prepare_text=lambda data, folder: TowerPieces.find(name, folder),
        text_of_state=_pieces_of_state,
        augment=True,
    )


def _pieces_of_state(state: Mapping[str, Any]) -> TowerPieces:
    return TowerPieces(state["tokenizer"], state["config"], state["mask"])


def plug_image_tower(
    options: TowerOptions, image_shape: tuple[int, ...], pooled: bool, pretrained: bool
) -> tuple[ImageTower | None, tuple[int, ...]]:
    """Build the image tower, if there is one, and the shape of an image that the network behind it sees.

    Args:
        image_shape: of an image of the data set; what is returned where there is no tower.
        pooled: the network reads one vector an image, not local features.
        pretrained: with the tower's weights; False where a checkpoint brings them.

    Raises:
        InputError: see `vse.nn.towers.tower.build_image_tower`.
    """
    if options.image_tower is None:
        return None, image_shape
    tower = build_image_tower(
        options.image_tower,
        options.image_size,
        Path(options.tower_weights) if options.tower_weights and pretrained else None,
        trained=options.image_tower_train,
        pooled=pooled,
        checkpointing=options.gradient_checkpointing,
        pretrained=pretrained,
    )
    tower.rate, tower.layer_decay = options.image_tower_lr, options.layer_decay
    return tower, tower.shape


def plug_text_tower(options: TowerOptions, text: Text, pooled: bool, pretrained: bool) -> TextTower:
    """Build the text tower.

    Args:
        text: the `TowerPieces` that captions are read with.
        pooled: the network reads one vector a caption, not words.
        pretrained: with the tower's weights; False where a checkpoint brings them.

    Raises:
        InputError: see `vse.nn.towers.tower.build_text_tower`.
    """
    if options.text_tower is None or not isinstance(text, TowerPieces):
        raise ValueError("there is no text tower, or captions are not read with its pieces")
    tower = build_text_tower(
        options.text_tower,
        trained=options.text_tower_train,
        pooled=pooled,
        checkpointing=options.gradient_checkpointing,
        pretrained=pretrained,
        config=text.config,
    )
    tower.rate, tower.layer_decay = options.text_tower_lr, options.layer_decay
    return tower


def plug_caption_embedding(
    options: TowerOptions, text: Text, embed_size: int, absolute: bool, pretrained: bool
) -> TowerCaptionEmbedding:
    """Build the text tower as an encoder of one vector a caption; see `plug_text_tower` and `TowerCaptionEmbedding`."""
    return TowerCaptionEmbedding(plug_text_tower(options, text, True, pretrained), embed_size, absolute)


def plug_word_states(
    options: TowerOptions, text: Text, embed_size: int, normalise: bool, pretrained: bool
) -> TowerWordStates:
    """Build the text tower as an encoder of one state a word; see `plug_text_tower` and `TowerWordStates`."""
    return TowerWordStates(plug_text_tower(options, text, False, pretrained), embed_size, normalise)
