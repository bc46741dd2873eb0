"""torchvision's CNNs without their heads: names, sizes, and weights from a file, a checkpoint or the network."""

from __future__ import annotations

import pickle
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torchvision.models import ResNet18_Weights, resnet18

from vse.errors import InputError
from vse.nn.backbones import cnn_backbone, read_weights
from vse.published.cnn_names import published_cnn_names

GOLDEN = Path(__file__).parents[1] / "golden/images"


def test_backbones_have_the_published_names_and_sizes() -> None:
    with np.load(GOLDEN / "vsepp_cnn_keys.npz", allow_pickle=False) as golden:
        for name, size in (("vgg19", 4096), ("resnet152", 2048)):
            published = [key.decode() for key in golden[name]]
            with torch.device("meta"):
                network, features = cnn_backbone(name, pretrained=False)
                ours = {f"cnn.{key}" for key in network.state_dict()} | {"fc.weight", "fc.bias"}
                assert network.eval()(torch.empty(2, 3, 224, 224)).shape == (2, size)
            assert features == size
            renamed = published_cnn_names({key: torch.empty(0) for key in published})
            assert set(renamed) == ours


@pytest.mark.parametrize(("prefix", "under"), [("", None), ("module.", "state_dict")])
def test_weights_come_from_a_file_with_or_without_head(tmp_path: Path, prefix: str, under: str | None) -> None:
    state = resnet18(num_classes=7).state_dict()
    content = {prefix + name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    torch.save({under: content} if under else content, tmp_path / "w.pth")
    network, size = cnn_backbone("resnet18", tmp_path / "w.pth")
    assert size == 512
    assert torch.equal(network.state_dict()["layer4.1.conv2.weight"], state["layer4.1.conv2.weight"])


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    state = resnet18().state_dict()
    cases = {
        "lacks conv1.weight": {name: value for name, value in state.items() if name != "conv1.weight"},
        "does not know extra": state | {"extra": torch.zeros(1)},
        "another shape for conv1.weight": state | {"conv1.weight": torch.zeros(1)},
        "no state dict": {"epoch": 3},
    }
    for complaint, content in cases.items():
        torch.save(content, tmp_path / "w.pth")
        with pytest.raises(InputError, match=complaint):
            cnn_backbone("resnet18", tmp_path / "w.pth")
    (tmp_path / "w.pth").write_bytes(pickle.dumps(Path("x"), protocol=2))
    with pytest.raises(InputError, match="damaged"):
        cnn_backbone("resnet18", tmp_path / "w.pth")
    with pytest.raises(InputError, match="no such weights file"):
        cnn_backbone("resnet18", tmp_path / "absent.pth")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights at all" * 9])
def test_a_damaged_weights_file_is_refused_by_name(name: str, content: bytes, tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}: damaged, .* use another copy") as refused:
        read_weights(tmp_path / name)
    assert "\n" not in str(refused.value)


def test_unreachable_weights_name_the_file_and_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise URLError("name or service not known")

    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", no_network)
    with pytest.raises(InputError, match=r"resnet18-\w+\.pth on another machine and give it with --cnn_weights FILE"):
        cnn_backbone("resnet18")


@pytest.mark.parametrize("name", ["resnet9000", "squeezenet1_0", "fasterrcnn_resnet50_fpn"])
def test_networks_of_another_form_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=name):
        cnn_backbone(name, pretrained=False)
