"""The towers' command line options, and the towers and transforms that they describe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vse.data.decoding import RandomCrop, TowerTransform
from vse.nn.towers.tower import ImageTower, TextTower, Trained, build_image_tower, build_text_tower, picture_input


@dataclass
class TowerOptions:
    """Pretrained networks that read pictures and captions."""

    image_tower: str | None = None
    """Read pictures with torchvision:NAME, timm:NAME, hf:FOLDER (or hub name) or efficientnet_lite0, 1, 2."""
    image_size: int | None = None
    """Side of the square that the image tower reads, in pixels; default: what it was trained on."""
    tower_weights: Path | None = None
    """File of the image tower's weights; default: the library's own."""
    image_tower_train: Trained = "none"
    """Train nothing of the image tower, all of it, or its last N blocks."""
    image_tower_lr: float = 0.1
    """Share of the learning rate that the image tower gets."""
    text_tower: str | None = None
    """Read captions with hf:FOLDER (or hub name): BERT and its like, CLIP, SigLIP; default: the network's own."""
    text_tower_train: Trained = "all"
    """Train nothing of the text tower, all of it, or its last N blocks."""
    text_tower_lr: float = 0.1
    """Share of the learning rate that the text tower gets."""
    layer_decay: float = 1.0
    """Factor on a tower's rate from one block to the one before it."""
    gradient_checkpointing: bool = False
    """Compute the towers' blocks once more in the backward pass: less memory, a third more time."""
    smallest_crop: float = 0.6
    """Training sees a random part of each picture, at least this share of its area."""

    def transform(self) -> TowerTransform:
        """How pictures are read for the image tower.

        Raises:
            InputError: no such tower, or a library is missing.
        """
        assert self.image_tower is not None
        return TowerTransform(picture_input(self.image_tower, self.image_size), RandomCrop(self.smallest_crop))

    def build_image_tower(self, pooled: bool, pretrained: bool = True) -> ImageTower:
        """The image tower, for networks of local features or of one vector an image (`pooled`).

        Raises:
            InputError: see `vse.nn.towers.tower.build_image_tower`.
        """
        assert self.image_tower is not None
        return build_image_tower(
            self.image_tower,
            self.image_size,
            self.tower_weights,
            trained=self.image_tower_train,
            pooled=pooled,
            checkpointing=self.gradient_checkpointing,
            pretrained=pretrained,
        )

    def build_text_tower(self, pooled: bool, pretrained: bool = True) -> TextTower:
        """The text tower, for networks of words or of one vector a caption (`pooled`).

        Raises:
            InputError: see `vse.nn.towers.tower.build_text_tower`.
        """
        assert self.text_tower is not None
        return build_text_tower(
            self.text_tower,
            trained=self.text_tower_train,
            pooled=pooled,
            checkpointing=self.gradient_checkpointing,
            pretrained=pretrained,
        )
