"""Constants of the networks' own objectives, for `--help`, which must not import torch and so not their classes."""

CONSTANTS = {
    "lseh": {
        "margin": 0.185,
        "semantic_weight": 0.025,
        "semantic_normalise": "rowmax",
        "semantic_symmetrise": False,
        "same_image": "zero_margin",
        "same_image_key": "image_ids",
    },
    "hal": {
        "local_alpha": 30.0,
        "local_ep": 0.3,
        "positive_term": "published",
        "memory_bank": False,
        "same_image": "negative",
    },
}
"""Objective -> the defaults of its class in `vse.losses`; those of an option that is off are left out."""
