"""Names of CNNs in checkpoints of the original code."""

from __future__ import annotations

import torch

from vse.published.cnn_names import published_cnn_names


def test_linear_layers_of_old_vgg_checkpoints_are_renamed() -> None:
    old = {f"cnn.classifier.{place}.bias": torch.tensor(float(place)) for place in (1, 4)}
    new = published_cnn_names(old | {"cnn.features.module.0.bias": torch.zeros(1)})
    assert {name: float(value) for name, value in new.items()} == {
        "cnn.classifier.0.bias": 1.0,
        "cnn.classifier.3.bias": 4.0,
        "cnn.features.0.bias": 0.0,
    }
    kept = {"cnn.classifier.0.bias": torch.zeros(1), "cnn.classifier.3.bias": torch.zeros(1)}
    assert published_cnn_names(kept).keys() == kept.keys()


def test_data_parallel_leaves_no_trace_in_names() -> None:
    state = {"cnn.module.conv1.weight": torch.zeros(1), "cnn.layer1.0.module.bias": torch.zeros(1)}
    assert list(published_cnn_names(state)) == ["cnn.conv1.weight", "cnn.layer1.0.module.bias"]
