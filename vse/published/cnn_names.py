"""Names of a CNN's weights in VSE++ checkpoints of the original code, which read pictures."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


def published_cnn_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the image part of a VSE++ checkpoint of the original code as torchvision names it.

    `cnn.features.module.*` and `cnn.module.*` lose DataParallel's `module`; the linear layers of old torchvision VGGs,
    `cnn.classifier.1` and `.4`, become `.0` and `.3`. Other names stay.
    """
    old_vgg = any(key.startswith("cnn.classifier.1.") for key in state)
    renamed = {}
    for key, value in state.items():
        name = key.replace("cnn.features.module.", "cnn.features.", 1)
        name = "cnn." + name.removeprefix("cnn.module.") if name.startswith("cnn.module.") else name
        if old_vgg:
            name = name.replace("cnn.classifier.1.", "cnn.classifier.0.").replace(
                "cnn.classifier.4.", "cnn.classifier.3."
            )
        renamed[name] = value
    return renamed
