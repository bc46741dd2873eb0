"""Objectives: scores of a batch and information on its pairs -> a scalar to minimise."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from vse.errors import InputError
from vse.losses.false_negatives import Gist
from vse.losses.memory_bank import MemoryBank
from vse.losses.pairs import BankScores, Pairs
from vse.options import SameImage

__all__ = ["BankScores", "Objective", "Pairs", "Roles"]


class Roles(NamedTuple):
    """Which of the B x B pairs of images and captions are right answers and which are wrong ones; both symmetric."""

    positives: Tensor  # [B, B] bool, at least the diagonal
    negatives: Tensor  # [B, B] bool
    one_positive: bool  # the diagonal alone is positive


@dataclass(eq=False, repr=False, kw_only=True)
class Objective(nn.Module):
    """Base of the objectives. Scores are float32 [B, B], rows images, columns captions, for any B >= 1.

    The fields of an objective are its constants; the flag of a constant has its name. An objective of the library is a
    dataclass. A user's own may be a plain class whose constructor begins with `super().__init__()`.

    Args:
        same_image: what other captions of a query's image, and other copies of a caption's image, are: wrong answers
            like any other (`negative`), nothing (`ignore`), or right answers (`positive`). The default of every
            objective is the rule that it was published with.
        false_negatives: a filter that takes probable false negatives out of the negatives.

    Raises:
        InputError: a constant is out of range; the message begins with the constant's name.
    """

    same_image: SameImage = "negative"
    false_negatives: Gist | None = None

    same_image_rules: ClassVar[tuple[SameImage, ...]] = ("negative", "ignore", "positive")
    needs_descriptions = False
    """Reads `Pairs.descriptions`."""
    needs_embeddings = False
    """Reads `Pairs.images` and `Pairs.captions`: a network that scores pairs has none."""
    needs_bounded_scores = False
    """Defined for scores in [-1, 1] only, such as cosines."""
    sparse_gradient = False
    """At most 3 B of the B x B scores have a gradient, those of the hardest negatives and of the matching pairs."""
    averaged = False
    """The loss is the mean over the queries of a direction instead of the sum; logs show losses per pair."""
    max_violation = False
    """Each query's hardest negative counts alone."""

    def __post_init__(self) -> None:
        nn.Module.__init__(self)
        self.bank: MemoryBank | None = None
        """Embeddings that the objective wants remembered; the training loop fills the bank and scores against it."""
        if self.same_image not in self.same_image_rules:
            expected = ", ".join(self.same_image_rules)
            raise InputError(f"same_image {self.same_image}: expected one of {expected} for this objective")
        if self.false_negatives is not None:
            self.needs_descriptions = True

    def directions(self, scores: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Return the two scalars that add up to the loss: image-to-text (rows) and text-to-image (columns)."""
        raise NotImplementedError

    def forward(self, scores: Tensor, pairs: Pairs) -> Tensor:
        """Return the loss, a scalar."""
        image_to_text, text_to_image = self.directions(scores, pairs)
        return image_to_text + text_to_image

    def roles(self, pairs: Pairs) -> Roles:
        """Return which pairs are right and wrong answers, by `same_image` and `false_negatives`."""
        own = torch.eye(len(pairs.image_ids), dtype=torch.bool, device=pairs.image_ids.device)
        positives, negatives = own, ~own
        if self.same_image in ("ignore", "positive"):
            same = own | (pairs.image_ids[:, None] == pairs.image_ids[None, :])
            negatives = ~same
            if self.same_image == "positive":
                positives = same
        if self.false_negatives is not None:
            negatives = negatives & ~self.false_negatives.suspects(described(pairs))
        return Roles(positives, negatives, self.same_image != "positive")

    def sum_form(self) -> Objective | None:
        """Return the same objective summed over all negatives, which leaves a cold start; None: it has no such form."""
        return None

    def start(self, captions: int) -> None:
        """Tell the objective how many training captions there are; called once, before a checkpoint is loaded."""

    def begin(self, epoch: int, position: int, steps_per_epoch: int) -> None:
        """Tell the objective that the next batch is the one at `position` of `epoch`; called before every step."""

    def diagnose(self, scores: Tensor) -> str | None:
        """Return what is wrong with a run whose batches score like this, and the remedy, in one sentence, or None.

        The same trouble always gives the same sentence. Waits for the device: do not call it at every step.
        """
        return None

    def constants(self) -> dict[str, Any]:
        """Return the constants that this objective has, by name, its own before those of every objective."""
        names = [field.name for field in fields(self)]
        if "__dataclass_fields__" not in vars(type(self)):  # a user's plain class: what its constructor has set
            plain = {name for name, value in vars(self).items() if isinstance(value, (bool, int, float, str))}
            names += [name for name in vars(self) if name in plain - vars(Objective()).keys()]
        names.sort(key=lambda name: name in ("same_image", "false_negatives"))
        return {name: getattr(self, name) for name in names}

    def __repr__(self) -> str:
        """Return the class and its numbers, `max_violation`, and the choices that are not the default."""
        defaults = {field.name: field.default for field in fields(self)}

        def says(name: str, value: object) -> bool:
            number = isinstance(value, (int, float, tuple)) and not isinstance(value, bool)
            return number or name == "max_violation" or value != defaults.get(name)

        shown = [f"{name}={value!r}" for name, value in self.constants().items() if says(name, value)]
        return f"{type(self).__name__}({', '.join(shown)})"


def described(pairs: Pairs) -> Tensor:
    """Return the descriptions of a batch that must have them, [B, K].

    Raises:
        ValueError: the batch has none.
    """
    if pairs.descriptions is None:
        raise ValueError("this objective needs Pairs.descriptions")
    return pairs.descriptions
