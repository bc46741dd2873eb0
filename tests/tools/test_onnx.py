"""ONNX files of the encoders compute what torch computes, or are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import vse
from tests.trained import CAPTIONS, features, write_checkpoint
from vse.errors import InputError
from vse.tools import onnx
from vse.tools.export import main
from vse.tools.options import ExportOptions

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")


@pytest.mark.parametrize("name", ["VSEpp", "VSRN", "VSEinfty", "HAL"])
def test_onnx_vectors_equal_torchs(name: str, tmp_path: Path) -> None:
    main(ExportOptions(str(write_checkpoint(tmp_path / "model.pth.tar", name)), str(tmp_path / "out"), onnx=True))
    model = vse.load(tmp_path / "out", device="cpu")
    session = onnxruntime.InferenceSession(tmp_path / "out" / onnx.CAPTIONS)
    ids, lengths = model.text.captions(CAPTIONS, tmp_path / "given_caps.txt").batch(np.arange(len(CAPTIONS)), None)
    vectors = session.run(None, {"captions": ids.numpy(), "lengths": lengths.numpy()})[0]
    expected = model.encode_text(CAPTIONS).vectors  # type: ignore[attr-defined]
    assert np.abs(vectors - expected.numpy()).max() < 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "out" / onnx.IMAGES)
    vectors = session.run(None, {"images": features()})[0]
    assert np.abs(vectors - model.encode_images(features()).vectors.numpy()).max() < 1e-5  # type: ignore[attr-defined]


def test_an_export_without_onnx_leaves_none_of_an_earlier_one(tmp_path: Path) -> None:
    model, out = str(write_checkpoint(tmp_path / "model.pth.tar")), str(tmp_path / "out")
    main(ExportOptions(model, out, onnx=True))
    main(ExportOptions(model, out))
    assert not list((tmp_path / "out").glob("*.onnx"))


def test_a_network_of_pairs_is_refused(tmp_path: Path) -> None:
    model = vse.load(write_checkpoint(tmp_path / "model.pth.tar", "SGRAF"), device="cpu")
    with pytest.raises(InputError, match="SGRAF scores pairs"):
        onnx.write_onnx(model, tmp_path)
    assert not (tmp_path / onnx.IMAGES).exists()


def test_a_file_that_computes_something_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = vse.load(write_checkpoint(tmp_path / "model.pth.tar"), device="cpu")
    export = onnx._export

    def of_other_weights(name: str, module: torch.nn.Module, inputs: onnx.Inputs) -> bytes:
        content = export(name, module, inputs)
        next(module.parameters()).data.add_(0.1)
        return content

    monkeypatch.setattr(onnx, "_export", of_other_weights)
    with pytest.raises(InputError, match=r"images.onnx: ONNX Runtime's vectors differ from torch's by"):
        onnx.write_onnx(model, tmp_path)
    assert not (tmp_path / onnx.IMAGES).exists()
