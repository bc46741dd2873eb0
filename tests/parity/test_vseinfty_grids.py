"""VSE-infinity trains a CNN on grids as the published code does (tests/golden/vseinfty)."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from tests.parity.golden import relative
from tests.parity.vseinfty import CLOSE, Golden, hinge
from vse.data.batches import ImageBatch
from VSEinfty_LSEH import model
from VSEinfty_LSEH.backbones import GridTower
from VSEinfty_LSEH.schedule import fixed_blocks, make_optimizer


def test_grid_features_and_embeddings(monkeypatch: pytest.MonkeyPatch) -> None:
    golden = Golden("grid")
    network = golden.network()
    pictures = golden["in/images"].double()
    batch = ImageBatch(images=pictures, image_ids=torch.arange(len(pictures)))
    tower = network.eval().image_tower
    assert isinstance(tower, GridTower)
    assert relative(tower(pictures), golden["out_eval/base_features"]) < CLOSE
    assert relative(network.encode_images(batch).vectors, golden["out_eval/img_emb"]) < CLOSE

    draws = [golden["in/rand_list_2"].double()[:, None], golden["in/rand_list_1"].double()]
    monkeypatch.setattr(model.torch, "rand", lambda *_shape, **_where: draws.pop(0))
    seen = []
    network.image_encoder.gpool.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[1]))
    running = tower.backbone.bn1.running_mean.clone()
    assert relative(network.train().encode_images(batch).vectors, golden["out_train/img_emb"]) < CLOSE
    assert seen[0].tolist() == golden["out_train/feat_lengths"].long().tolist()
    assert torch.equal(tower.backbone.bn1.running_mean, running)


def test_a_stage_of_unfreezing_trains_the_published_parameters() -> None:
    golden = Golden("grid")
    network = golden.network()
    tower = network.image_tower
    assert isinstance(tower, GridTower)
    for stage, names in golden.settings["trainable"].items():
        tower.fix(4 if stage == "frozen" else int(stage[-1]))
        published = {name.replace("backbone.resnet.", "backbone.") for name in names}
        sides = (("", tower), ("image_encoder.", network.image_encoder))
        named = {prefix + name: value for prefix, side in sides for name, value in side.named_parameters()}
        ours = {name for name, parameter in named.items() if parameter.requires_grad}
        assert ours == {name for name in published if not name.startswith("backbone.fc.")}, stage


def test_stages_follow_the_published_epochs() -> None:
    defaults = SimpleNamespace(embedding_warmup_epochs=2, backbone_warmup_epochs=5)
    assert [fixed_blocks(epoch, defaults) for epoch in range(19)] == [4] * 2 + [3] * 5 + [2] * 5 + [1] * 5 + [0] * 2
    script = SimpleNamespace(embedding_warmup_epochs=1, backbone_warmup_epochs=0)
    assert [fixed_blocks(epoch, script) for epoch in range(3)] == [4, 0, 0]


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_grid_parameter_groups_are_the_published_ones(kind: str) -> None:
    golden = Golden("grid")
    network = golden.network()
    optimizer = make_optimizer(
        network, hinge("sum_hinge", 0.2), SimpleNamespace(**{**vars(golden.options), "optim": kind})
    )
    ours = {
        id(parameter): {name: group[name] for name in ("lr", "weight_decay", "momentum", "nesterov") if name in group}
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    parameters = dict(network.named_parameters())
    prefixes = {"txt/": "caption_encoder.", "img/": "image_encoder."}
    groups = zip(golden.settings["groups"][kind], golden.settings["group_options"][kind], strict=True)
    for first, wanted in groups:
        name = prefixes[first[:4]] + first[4:]
        for original, layers in (
            ("backbone.base.", "conv1 bn1 - - layer1 layer2 layer3"),
            ("backbone.top.", "layer4"),
        ):
            if original in name:
                number = name.split(original)[1].split(".")[0]
                name = name.replace(f"{original}{number}", f"backbone.{layers.split()[int(number)]}")
        name = name.replace("backbone.resnet.", "backbone.").replace("image_encoder.backbone.", "image_tower.backbone.")
        name = name.replace("image_encoder.image_encoder.", "image_encoder.")
        assert ours[id(parameters[name])] == pytest.approx(wanted), name
    assert len(ours) == len(parameters)
