"""Caption encoders over a text tower, for networks of words and for networks of one vector a caption."""

from __future__ import annotations

from torch import Tensor, nn

from vse.nn.encoders import NORM_EPSILON, l2norm, xavier_uniform_linear
from vse.nn.towers.tower import TextTower


class TowerWordStates(nn.Module):
    """A text tower's state at each piece, projected and normalised; in place of `vse.nn.encoders.WordStates`.

    Args:
        tower: gives states, not pooled vectors.
        embed_size: E, the size of the joint space.
        normalise: L2-normalise each state.
    """

    def __init__(self, tower: TextTower, embed_size: int, normalise: bool = True) -> None:
        super().__init__()
        self.tower = tower
        self.fc = xavier_uniform_linear(nn.Linear(tower.dimensions, embed_size))
        self.normalise = normalise

    def forward(self, captions: Tensor, lengths: Tensor) -> Tensor:
        """Read piece ids [B, T] of `lengths` [B] -> states [B, T, E], exactly 0 at padding."""
        states = self.fc(self.tower(captions, lengths))
        states = l2norm(states, eps=NORM_EPSILON) if self.normalise else states
        return states * self.tower.inside(captions, lengths)[..., None]


class TowerCaptionEmbedding(nn.Module):
    """A text tower's pooled vector, projected and normalised; in place of `vse.nn.encoders.CaptionEmbedding`.

    Args:
        tower: gives pooled vectors.
        embed_size: E, the size of the joint space.
        absolute: take absolute values (order embeddings).
    """

    def __init__(self, tower: TextTower, embed_size: int, absolute: bool = False) -> None:
        super().__init__()
        self.tower = tower
        self.fc = xavier_uniform_linear(nn.Linear(tower.dimensions, embed_size))
        self.absolute = absolute

    def forward(self, captions: Tensor, lengths: Tensor) -> Tensor:
        """Read piece ids [B, T] of `lengths` [B] -> [B, E]."""
        embeddings = l2norm(self.fc(self.tower(captions, lengths)))
        return embeddings.abs() if self.absolute else embeddings
