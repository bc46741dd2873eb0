"""Exported models: a folder of weights alone, configuration, vocabulary and model card, in the Hub's form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vse.checkpoints import FORMAT, Checkpoint, digest, from_content
from vse.errors import InputError
from vse.extras import library
from vse.files import open_regular, read_text, write_atomically
from vse.records import PATHS

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
VOCABULARY = "vocabulary.json"
CARD = "README.md"

HUB = "hf:"


def is_exported(path: str | Path) -> bool:
    """Return whether a name is that of an exported folder, here or on the Hub, not of a checkpoint file."""
    return str(path).startswith(HUB) or Path(path).is_dir()


def refuse_other_files(folder: Path) -> None:
    """Refuse a folder with a README.md or config.json of something else, which an export would replace.

    Raises:
        InputError: which file.
    """
    for name, mark in ((CARD, "library_name: vse"), (CONFIG, '"library_name": "vse"')):
        path = folder / name
        if path.exists() and mark not in read_text(path, errors="replace"):
            raise InputError(f"{path}: not of an export, which would replace it; give an empty or a new folder")


def write_exported(
    checkpoint: Checkpoint, folder: Path, extraction: Mapping[str, Any] | None, card: str, commit: str | None
) -> None:
    """Write weights, configuration, vocabulary and card; the configuration comes last and makes the folder whole.

    Args:
        folder: exists and is writable.
        extraction: how the features that the network reads are made of pictures, if that is known.
        card: the model card, Markdown.
        commit: of the program that exports.

    Raises:
        InputError: a file cannot be written, or the package safetensors is missing.
    """
    safetensors = library("safetensors.torch", "export", "export")
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.parts[0].items()}
    record = None if checkpoint.record is None else without_places(checkpoint.record)
    if extraction is not None:
        record = {**(record or {}), "extraction": dict(extraction)}
    entries = {
        "format": FORMAT,
        "network": checkpoint.network,
        "options": {**without_places(checkpoint.options), "data_path": None},  # the data set's name stays
        "image_shape": checkpoint.image_shape,
        "record": record,
    }
    entries = json.loads(json.dumps(entries))  # what is read is what was digested
    vocabulary = json.loads(json.dumps(checkpoint.vocabulary))
    config = {
        **entries,
        "weights": list(state),  # safetensors sorts the names, and the digest of the weights knows their order
        "weights_sha256": digest([state]),
        "sha256": digest({**entries, "vocabulary": vocabulary, "model": state}),
        "commit": commit,
        "library_name": "vse",
    }
    # Tensors that share memory, as tied weights do, are written one by one.
    content = safetensors.save({name: tensor.clone() for name, tensor in state.items()}, metadata={"format": "pt"})
    _write(folder / WEIGHTS, content)
    _write(folder / VOCABULARY, _json(vocabulary))
    _write(folder / CARD, card.encode())
    _write(folder / CONFIG, _json(config))


def without_places(value: Any) -> Any:
    """Leave out of a record, or of options, where on whose machine the training ran; of a path its name stays."""
    if not isinstance(value, Mapping):
        return value
    kept = {name: without_places(part) for name, part in value.items() if name not in ("host", "command")}
    paths = [name for name in (*PATHS, "folder", "path") if isinstance(kept.get(name), str)]
    return {**kept, **{name: Path(kept[name]).name for name in paths}}


def _write(path: Path, content: bytes) -> None:
    write_atomically(path, lambda file: file.write(content))


def _json(value: Any) -> bytes:
    return f"{json.dumps(value, indent=1, ensure_ascii=False)}\n".encode()


def load(path: str | Path, network: str | None = None) -> Checkpoint:
    """Read an exported folder, or `hf:owner/name` of the Hugging Face hub or its cache.

    Args:
        network: the network it must be of; None takes any.

    Raises:
        InputError: missing, damaged, altered, of another network, or it cannot be fetched.
    """
    folder = _from_hub(str(path)) if str(path).startswith(HUB) else Path(path)
    expected = "expected a checkpoint file or a folder that python -m vse export wrote"
    config, vocabulary = (_read(folder / name, expected) for name in (CONFIG, VOCABULARY))
    if not isinstance(config, dict) or not isinstance(config.get("weights"), list):
        raise InputError(f"{folder / CONFIG}: not the configuration of an exported model; {expected}")
    safetensors = library("safetensors.torch", str(path), "export")
    try:
        with open_regular(folder / WEIGHTS):  # a pipe would be waited for
            state: dict[str, torch.Tensor] = safetensors.load_file(folder / WEIGHTS)
        state = {name: state[name] for name in config["weights"]} if len(state) == len(config["weights"]) else {}
    except FileNotFoundError:
        raise InputError(f"{folder / WEIGHTS}: no such file; {expected}") from None
    except Exception:  # the reader raises what it likes
        state = {}
    if not state:
        raise InputError(f"{folder / WEIGHTS}: damaged, or not the weights that {CONFIG} lists; export the model again")
    entries = {name: config.get(name) for name in ("format", "network", "options", "image_shape", "record")}
    content = {**entries, "vocabulary": vocabulary, "model": state, "sha256": config.get("sha256")}
    return from_content(content, folder, network)


def _read(path: Path, expected: str) -> Any:
    try:
        return json.loads(read_text(path, "utf-8"))
    except OSError as problem:
        raise InputError(f"{path}: cannot be read ({problem.strerror}); {expected}") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path}: not JSON; {expected}") from None


def _from_hub(name: str) -> Path:
    hub = library("huggingface_hub", name, "export")
    files = [WEIGHTS, CONFIG, VOCABULARY, CARD]
    try:
        return Path(hub.snapshot_download(name.removeprefix(HUB), allow_patterns=files))
    except Exception as problem:  # the hub's client raises exceptions of many libraries
        raise InputError(
            f"{name}: not in the cache of the Hugging Face hub, and it cannot be fetched ({type(problem).__name__}); "
            f"download its {', '.join(files)} on another machine and give their folder"
        ) from None
