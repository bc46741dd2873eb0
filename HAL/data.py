"""What a batch of HAL holds: as VSE++'s; captions can be tokenised as for the original checkpoints."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import VSEpp_LSEH.data
from vse.data.loading import Reader, locate_words, prepare_words


def reader(crop_size: int, use_restval: bool, skip_broken: bool, tokeniser: str) -> Reader:
    """Read a data set as VSE++ does.

    Args:
        tokeniser: one of `vse.text.tokens.TOKENISERS`.
    """
    read = VSEpp_LSEH.data.reader(crop_size, use_restval, skip_broken)
    return replace(
        read,
        locate_text=partial(locate_words, tokeniser=tokeniser),
        prepare_text=partial(prepare_words, tokeniser=tokeniser),
    )
