"""Explain a score of SGR or SAF: where each word looks, and which words count."""

from __future__ import annotations

from typing import Any

import torch

from SGRAF_LSEH.model import SGRAF
from SGRAF_LSEH.nodes import TEMPERATURE
from SGRAF_LSEH.similarity import TextualRepresentations, VisualRepresentations
from vse.evaluation.scoring import evaluating
from vse.nn.attention import attention_over_regions, inner_products
from vse.tools.attention_tiles import Explanation

SHARED = {
    "node": "What the network compares: one for the caption as a whole, and one for each word with what it looks at.",
    "global": "The node of the whole caption and the whole image.",
}
GATE = "How much a node counts in the score (SAF): shares of all nodes that sum to 100 %."
STEP = (
    "How much the global node listens to each node in a step of the graph (SGR): shares that sum to 100 %. The score "
    "is read from the global node after the last step."
)


def explain(network: SGRAF, images: VisualRepresentations, captions: TextualRepresentations) -> Explanation:
    """Explain a score by the attention, and by SAF's gates or SGR's edges to the global node."""
    encoder = network.similarity_encoder
    weights: dict[str, torch.Tensor] = {}

    def see_gates(module: Any, inputs: Any) -> None:
        weights["gate"] = module.gates(*inputs)[0][0, 0]

    def see_edges(module: Any, inputs: Any) -> None:
        affinity, receivers, nodes, mask = inputs
        weights[f"step {len(weights) + 1}"] = module.edges(affinity, receivers[..., :1, :], nodes, mask)[0, 0, 0]

    watched = [(encoder.SAF_module, see_gates)] if encoder.filters else [(s, see_edges) for s in encoder.SGR_module]
    hooks = [module.register_forward_pre_hook(see) for module, see in watched]
    try:
        with evaluating(network):
            score = network.similarity(images, captions).item()
            attention = attention_over_regions(inner_products(images.features, captions.features), TEMPERATURE)[0, 0]
    finally:
        for hook in hooks:
            hook.remove()
    rows = {name: row.cpu().numpy() for name, row in weights.items()}
    meanings = SHARED | ({"gate": GATE} if encoder.filters else {"step": STEP})
    return Explanation(score, attention.cpu().numpy(), ["global"], rows, True, meanings)
