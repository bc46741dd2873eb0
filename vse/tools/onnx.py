"""The two encoders of an embedding network as ONNX files, checked against torch by ONNX Runtime."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vse.data.batches import CaptionBatch, ImageBatch
from vse.errors import InputError
from vse.evaluation.scoring import evaluating
from vse.extras import library
from vse.files import write_atomically
from vse.inference.model import Model
from vse.nn.network import EmbeddingNetwork

IMAGES = "images.onnx"
"""images [B, ...] float32, shaped as the network reads them -> vectors [B, E]."""
CAPTIONS = "captions.onnx"
"""captions [B, T] int64, padded with 0, and lengths [B] int64 -> vectors [B, E]."""

TOLERANCE = 1e-4
OPSET = 17
TRACED = (3, 7)
CHECKED = ((1, 3), (2, 12), (5, 7))
"""Captions, and tokens of the longest, of the batches that are compared."""


def remove_onnx(folder: Path) -> None:
    """Delete the files of an earlier export, which are of another model."""
    for name in (IMAGES, CAPTIONS):
        (folder / name).unlink(missing_ok=True)


def write_onnx(model: Model, folder: Path) -> float:
    """Write `images.onnx` and `captions.onnx` into a folder, and compare them with torch on batches of other sizes.

    Returns:
        The largest difference of a component of a vector.

    Raises:
        InputError: the network scores pairs, a package is missing, an operation has no ONNX form, or the files compute
            something else than torch.
    """
    network = model.network
    if not isinstance(network, EmbeddingNetwork):
        raise InputError(
            f"--onnx: {model.trained.folder.name} scores pairs, and its items have no vectors; export it without --onnx"
        )
    library("onnx", "--onnx", "onnx")
    worst, contents = 0.0, {}
    with evaluating(network):
        for name, module, inputs in (
            (IMAGES, _Images(network), _images(model)),
            (CAPTIONS, _Captions(network), _captions(model)),
        ):
            contents[name] = _export(name, module, inputs[0])
            for batch in inputs[1:]:
                worst = max(worst, _difference(contents[name], module, batch, name))
    for name, content in contents.items():
        write_atomically(folder / name, lambda file, content=content: file.write(content))  # type: ignore[misc]
    return worst


class _Images(nn.Module):
    def __init__(self, network: EmbeddingNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        ids = torch.arange(images.shape[0])
        return self.network.encode_images(ImageBatch(images=images, image_ids=ids)).vectors


class _Captions(nn.Module):
    def __init__(self, network: EmbeddingNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, captions: Tensor, lengths: Tensor) -> Tensor:
        ids = torch.arange(captions.shape[0])
        batch = CaptionBatch(captions=captions, lengths=lengths, caption_ids=ids, image_ids=ids)
        return self.network.encode_captions(batch).vectors


Inputs = Mapping[str, Tensor]
"""Name of an input -> value."""


def _images(model: Model) -> list[Inputs]:
    """Draw batches of images: one to trace, and others to compare."""
    random = torch.Generator().manual_seed(0)
    sizes = [TRACED[0], *(size for size, _ in CHECKED)]
    return [{"images": torch.randn(size, *model.image_shape, generator=random)} for size in sizes]


def _captions(model: Model) -> list[Inputs]:
    """Draw batches of captions: one to trace, and others to compare, longest first as the network reads them."""
    random = torch.Generator().manual_seed(0)
    batches: list[Inputs] = []
    for size, longest in (TRACED, *CHECKED):
        lengths = torch.randint(3, longest + 1, (size,), generator=random).sort(descending=True).values
        lengths[0] = longest
        captions = torch.randint(1, len(model.text), (size, longest), generator=random)
        captions[torch.arange(longest) >= lengths[:, None]] = 0
        batches.append({"captions": captions, "lengths": lengths})
    return batches


def _export(name: str, module: nn.Module, inputs: Inputs) -> bytes:
    axes = {key: {0: "batch"} for key in (*inputs, "vectors")}
    if "captions" in inputs:
        axes["captions"][1] = "tokens"
    file = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the tracer, about what the comparison below decides
            torch.onnx.export(
                module.eval(),
                tuple(inputs.values()),
                file,  # type: ignore[arg-type]
                input_names=list(inputs),
                output_names=["vectors"],
                dynamic_axes=axes,
                opset_version=OPSET,
                dynamo=False,  # the newer exporter has no form of a packed GRU
            )
    except Exception as problem:  # the exporter raises what it likes
        reason = str(problem).partition("\n")[0]
        raise InputError(f"{name}: the network has no ONNX form ({reason}); export it without --onnx") from None
    return file.getvalue()


def _difference(content: bytes, module: nn.Module, inputs: Inputs, name: str) -> float:
    """Compare what ONNX Runtime and torch compute of a batch -> the largest difference."""
    runtime = library("onnxruntime", "--onnx", "onnx")
    expected = module(*inputs.values()).numpy()
    try:
        session = runtime.InferenceSession(content, _quiet(runtime), providers=["CPUExecutionProvider"])
        found: Sequence[np.ndarray] = session.run(None, {key: value.numpy() for key, value in inputs.items()})
        difference = float(np.abs(found[0] - expected).max()) if found[0].shape == expected.shape else float("inf")
    except Exception:  # the runtime raises what it likes
        difference = float("inf")
    if not difference <= TOLERANCE:
        raise InputError(
            f"{name}: ONNX Runtime's vectors differ from torch's by {difference:g}, more than {TOLERANCE:g}; "
            "nothing was written, export without --onnx"
        )
    return difference


def _quiet(runtime: object) -> object:
    options = runtime.SessionOptions()  # type: ignore[attr-defined]
    options.log_severity_level = 4
    return options
