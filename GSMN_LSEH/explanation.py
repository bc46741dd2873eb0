"""Explain a score of GSMN: where each word looks, and what each word adds to the score."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from GSMN_LSEH.model import GSMN, TextualGraphs, VisualGraphs
from vse.evaluation.scoring import evaluating
from vse.nn.attention import attention_over_regions, inner_products
from vse.tools.attention_tiles import Explanation

MEANINGS = {
    "part": "What a word adds to the score after the graph convolution; all parts and that of the regions sum to the "
    "score. A part below 0 (blue) takes off the score.",
    "regions": "What all regions add together: each is compared with the words that it attends to.",
}


def explain(network: GSMN, images: VisualGraphs, captions: TextualGraphs) -> Explanation:
    """Explain a score by the words' attention and by the parts that sum to it."""
    nodes: dict[str, torch.Tensor] = {}

    def see(name: str) -> Any:
        return lambda module, inputs, output: nodes.__setitem__(name, output.mean(-1).flatten())

    matchings = {"regions": network.region_matching, "words": network.word_matching}
    hooks = [matching.out_2.register_forward_hook(see(name)) for name, matching in matchings.items()]
    padding = images.padding
    try:
        with evaluating(network):
            score = network.similarity(images, captions).item()
            products = inner_products(images.features, captions.features)
            hidden = None if padding is None else padding[:, None, None]
            attention = attention_over_regions(products, network.temperature, hidden)[0, 0]
    finally:
        for hook in hooks:
            hook.remove()
    regions = nodes["regions"] if padding is None else nodes["regions"][~padding[0]]
    parts = np.concatenate([[regions.mean().item()], (nodes["words"] / len(nodes["words"])).cpu().numpy()])
    return Explanation(score, attention[:, : len(regions)].cpu().numpy(), ["regions"], {"part": parts}, False, MEANINGS)
