"""Semantic description vectors of a data set (LSEH): saved, read, checked against the captions, made where missing.

Row i of `train_svd.txt` describes training caption i and, in LSEH, the image of pair i. Made by `vse.descriptions.svd`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STOP_WORDS_ID = "nltk english 2022-02 on words, scikit-learn english on stems"

NOISE = 1e-12


@dataclass
class Descriptions:
    """Description vectors of n captions and their origin."""

    vectors: np.ndarray  # [n, K] float32: the captions' TF-IDF in the basis of K right singular vectors
    singular_values: np.ndarray  # [K] float64, descending
    solver: str


def silence_noise(vectors: np.ndarray) -> np.ndarray:
    """Set rows with a squared norm below 1e-12 to zero, in place.

    They belong to captions without a known word. LSEH divides by the row's largest inner product, which would make
    weights of order 1 out of their rounding errors.
    """
    vectors[np.einsum("ij,ij->i", vectors, vectors) < NOISE] = 0
    return vectors
