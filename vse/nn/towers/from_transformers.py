"""Towers of the transformers library: `hf:FOLDER`, or `hf:NAME` of the Hugging Face hub or its cache.

Pictures: ViT, DeiT, Swin, DINOv2, DINOv3, CLIP's and SigLIP's vision towers. Captions: BERT and its like, CLIP's and
SigLIP's text towers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor, nn

from vse.data.decoding import PictureInput
from vse.errors import InputError
from vse.extras import hub_folder, library
from vse.nn.backbones import read_weights
from vse.nn.towers.parts import (
    ImageFeatures,
    Parts,
    TextFeatures,
    checkpoint_blocks,
    layers_of,
    repeated_blocks,
)
from vse.text.word_pieces import first_line

PICTURE_TOWERS = ("vit", "deit", "swin", "swinv2", "dinov2", "dinov2_with_registers", "dinov3_vit", "clip", "siglip")
"""`model_type` of configurations whose pictures' tokens are known."""

TEXT_TOWERS = ("bert", "roberta", "xlm-roberta", "distilbert", "mpnet", "electra", "deberta-v2", "clip", "siglip")

CONFIGURATION = ["config.json", "preprocessor_config.json", "processor_config.json"]

WEIGHTS = "model.safetensors"

UNUSED = ("pooler.", "embeddings.mask_token")
"""Parameters that no token depends on; files may lack them."""


def picture_input(name: str, size: int | None) -> PictureInput:
    """Describe the pictures that the model's own preprocessing makes.

    Raises:
        InputError: the folder does not tell how pictures are prepared.
    """
    folder = hub_folder(name, CONFIGURATION)
    settings = _json(folder / "preprocessor_config.json") or _json(folder / "processor_config.json").get(
        "image_processor", {}
    )
    own: Any = settings.get("crop_size") or settings.get("size") or {}
    side: Any = own if isinstance(own, int) else own.get("height") or own.get("shortest_edge")
    try:
        return PictureInput(
            size or int(side),
            tuple(map(float, settings["image_mean"])),  # type: ignore[arg-type]
            tuple(map(float, settings["image_std"])),  # type: ignore[arg-type]
            "bilinear" if settings.get("resample") == Image.Resampling.BILINEAR else "bicubic",
        )
    except (KeyError, TypeError):
        raise InputError(
            f"hf:{name}: its preprocessor_config.json is missing or lacks size, image_mean or image_std; complete the "
            "folder"
        ) from None


def build_picture_tower(name: str, size: int, weights: Path | None, pretrained: bool) -> Parts:
    """Build a vision model, for pictures of `size` pixels.

    Args:
        weights: a state dict file under the names of the installed transformers; wins over `pretrained`.

    Raises:
        InputError: a model of another type, or weights that cannot be found, read or fitted.
    """
    network, kind = _load(name, "vision", weights, pretrained)
    config = network.config
    prefix = {"swin": 0, "swinv2": 0, "siglip": 0, "deit": 2}.get(kind, 1)
    prefix += getattr(config, "num_register_tokens", 0)
    resized = kind in ("vit", "deit", "clip", "siglip") and size != config.image_size
    settings = {"interpolate_pos_encoding": True} if resized else {}
    run = partial(_run_pictures, prefix=prefix, kind=kind, settings=settings)
    blocks = repeated_blocks(network)
    return Parts(
        network,
        run,
        layers_of(network, blocks),
        partial(checkpoint_blocks, blocks),
        pooling=("head.", "vision_model.head."),
        unused=UNUSED,
    )


def build_text_tower(name: str, pretrained: bool, config: Mapping[str, Any] | None = None) -> Parts:
    """Build a text model.

    Args:
        config: its configuration as plain values, for a model without weights; default: the folder's.

    Raises:
        InputError: a model of another type, or weights that cannot be found, read or fitted.
    """
    network, kind = _load(name, "text", None, pretrained) if pretrained or config is None else _random_text(config)
    blocks = repeated_blocks(network)
    return Parts(
        network,
        partial(_run_captions, kind=kind),
        layers_of(network, blocks),
        partial(checkpoint_blocks, blocks),
        pooling=("head.", "text_model.head."),
        unused=UNUSED,
    )


def _load(name: str, side: Literal["vision", "text"], weights: Path | None, pretrained: bool) -> tuple[Any, str]:
    transformers = library("transformers", f"hf:{name}", "bert")
    from_folder = pretrained and weights is None
    folder = hub_folder(name, [*CONFIGURATION, WEIGHTS] if from_folder else CONFIGURATION)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        config = transformers.AutoConfig.from_pretrained(folder)
    except (OSError, ValueError) as problem:
        raise InputError(f"hf:{name}: {first_line(problem)}; expected a folder with config.json") from None
    kind = config.model_type.removesuffix("_vision_model").removesuffix("_text_model")
    known = PICTURE_TOWERS if side == "vision" else TEXT_TOWERS
    if kind not in known:
        raise InputError(f"hf:{name}: a model of type {kind}; expected one of {', '.join(known)}")
    if kind in ("clip", "siglip"):
        model = getattr(transformers, f"{'CLIP' if kind == 'clip' else 'Siglip'}{side.title()}Model")
        config = getattr(config, f"{side}_config", config)
    else:
        model = transformers.MODEL_MAPPING[type(config)]
    if not from_folder and weights is None:
        return model(config), kind
    state = {"state_dict": read_weights(weights)} if weights is not None else {}
    try:
        network, found = model.from_pretrained(
            None if state else folder, config=config, output_loading_info=True, dtype=torch.float32, **state
        )
    except (OSError, ValueError, RuntimeError) as problem:
        raise InputError(f"hf:{name}: {first_line(problem)}; expected the folder of a model with {WEIGHTS}") from None
    missing = [key for key in found["missing_keys"] if not key.startswith(UNUSED)]
    if missing or found["mismatched_keys"]:
        key = missing[0] if missing else found["mismatched_keys"][0][0]
        raise InputError(
            f"{weights or folder}: lacks {key}, or it has another shape; expected the weights of hf:{name}"
        )
    return network, kind


def _random_text(config: Mapping[str, Any]) -> tuple[Any, str]:
    transformers = library("transformers", "--text_tower", "bert")
    values = transformers.AutoConfig.for_model(**config)
    kind = values.model_type.removesuffix("_text_model")
    named = {"clip": "CLIPTextModel", "siglip": "SiglipTextModel"}
    model = getattr(transformers, named[kind]) if kind in named else transformers.MODEL_MAPPING[type(values)]
    return model(values), kind


def _run_pictures(network: Any, pixels: Tensor, prefix: int, kind: str, settings: dict[str, Any]) -> ImageFeatures:
    output = network(pixels, **settings)
    states = output.last_hidden_state
    if kind == "clip":  # the library normalises the class token only
        states = getattr(network, "vision_model", network).post_layernorm(states)
    if kind == "siglip":
        return ImageFeatures(states, output.pooler_output)
    return ImageFeatures(states[:, prefix:], states[:, 0] if prefix else states.mean(dim=1))


def _run_captions(network: Any, ids: Tensor, inside: Tensor, kind: str) -> TextFeatures:
    config = network.config
    pad = config.pad_token_id or 0
    ids = torch.where(inside, ids, pad)
    if kind == "siglip":  # trained on captions padded to the full length, with attention to the padding
        full = nn.functional.pad(ids, (0, config.max_position_embeddings - ids.shape[1]), value=pad)
        output = network(full)
        return TextFeatures(output.last_hidden_state[:, : ids.shape[1]], output.pooler_output)
    states = network(ids, attention_mask=inside.long()).last_hidden_state
    if kind == "clip":  # the state of the end marker, which has seen the whole caption
        return TextFeatures(states, states[torch.arange(len(ids), device=ids.device), inside.sum(dim=1) - 1])
    return TextFeatures(states, states[:, 0])


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
