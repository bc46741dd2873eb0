"""Captions -> semantic description vectors: TF-IDF of their stems, reduced by a truncated SVD (LSEH).

Only inner products of the vectors matter: each column is defined up to its sign.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
from nltk.stem.porter import PorterStemmer
from scipy.linalg import eigh
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator, eigsh
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from vse.descriptions.vectors import Descriptions, silence_noise
from vse.errors import InputError

COMPONENTS = 400

POWER_ITERATIONS = 100

RANDOM_STATE = 122

# NLTK's English list as of February 2022: later releases of its data are longer and would change the vectors.
_NLTK_ENGLISH = """
i me my myself we our ours ourselves you you're you've you'll you'd your yours yourself yourselves he him his himself
she she's her hers herself it it's its itself they them their theirs themselves what which who whom this that that'll
these those am is are was were be been being have has had having do does did doing a an the and but if or because as
until while of at by for with about against between into through during before after above below to from up down in
out on off over under again further then once here there when where why how all any both each few more most other
some such no nor not only own same so than too very s t can will just don don't should should've now d ll m o re ve y
ain aren aren't couldn couldn't didn didn't doesn doesn't hadn hadn't hasn hasn't haven haven't isn isn't ma mightn
mightn't mustn mustn't needn needn't shan shan't shouldn shouldn't wasn wasn't weren weren't won won't wouldn wouldn't
"""

STOP_WORDS = frozenset(_NLTK_ENGLISH.split())

RAW_TOKEN = re.compile("[a-zA-Z#]+")
"""Everything else separates: digits, punctuation, accents."""

_TERM = re.compile(r"\b\w\w+\b")  # scikit-learn's token pattern: drops stems of one letter, strips #

_DENSE_FEATURES = 2500  # up to here LAPACK on the dense Gram matrix costs less than Lanczos on the sparse one


def stem(token: str) -> str:
    """Porter stem of a raw token, lower-cased; empty for a stop word."""
    word = token.lower()
    return "" if word in STOP_WORDS else _porter_stem(word)


_porter_stem = PorterStemmer().stem


class _Columns(dict[str, tuple[int, ...]]):
    """Raw token -> columns of its terms; a token's stem is found once, when the token is first met."""

    def __init__(self) -> None:
        super().__init__()
        self.of_term: dict[str, int] = {}

    def __missing__(self, token: str) -> tuple[int, ...]:
        terms = (term for term in _TERM.findall(stem(token)) if term not in ENGLISH_STOP_WORDS)
        self[token] = columns = tuple(self.of_term.setdefault(term, len(self.of_term)) for term in terms)
        return columns


def tfidf(captions: Sequence[str], source: Path | str = "captions") -> tuple[csr_array, list[str]]:
    """TF-IDF of the captions' stems as scikit-learn's TfidfVectorizer defines it (smooth idf, rows of norm 1).

    scikit-learn's English stop list is applied to the stems, as published: it removes "two", "front" and "fire", too.

    Args:
        source: what the error message calls the captions.

    Returns:
        float64 [n captions, F terms] with sorted indices, and the F terms in alphabetical order.

    Raises:
        InputError: no caption holds a word that counts.
    """
    columns = _Columns()
    found: list[int] = []
    ends = [0]
    for caption in tqdm(captions, desc="stems", unit="captions", disable=None, leave=False):
        found.extend(chain.from_iterable(map(columns.__getitem__, RAW_TOKEN.findall(caption))))
        ends.append(len(found))
    if not found:
        raise InputError(f"{source}: nothing but stop words; expected English captions, one a line")
    terms = sorted(columns.of_term)
    alphabetical = np.empty(len(terms), dtype=np.int32)
    alphabetical[[columns.of_term[term] for term in terms]] = np.arange(len(terms))
    shape = (len(captions), len(terms))
    matrix = csr_array((np.ones(len(found)), alphabetical[found], np.asarray(ends, dtype=np.int32)), shape=shape)
    matrix.sum_duplicates()  # counts; sorts the indices, too
    captions_with_term = np.bincount(matrix.indices, minlength=len(terms))
    matrix.data *= (np.log((1 + len(captions)) / (1 + captions_with_term)) + 1)[matrix.indices]
    row = np.repeat(np.arange(len(captions)), np.diff(matrix.indptr))
    matrix.data /= np.sqrt(np.bincount(row, weights=matrix.data**2, minlength=len(captions)))[row]
    return matrix, terms


def fit(
    captions: Sequence[str],
    components: int = COMPONENTS,
    solver: Literal["exact", "randomized"] = "exact",
    threads: int = 1,
    source: Path | str = "captions",
) -> Descriptions:
    """Reduce the captions' TF-IDF matrix X [n, F] by a truncated SVD to the rows of X V.

    The largest entry of each right singular vector is made positive, so that signs are reproducible.

    Args:
        components: K; captions with fewer terms, or fewer captions, get as many components as there are.
        solver: `exact` takes the eigenvectors of the sparse X^T X: inner products of vectors are right to float32's
            last digits. `randomized` is the published solver with its parameters (scikit-learn, 100 power iterations,
            seed 122): some twenty times the work, and its last components have not converged.
        threads: of the linear algebra libraries. The products are narrow: further threads mostly spin.
        source: what the error message calls the captions.

    Raises:
        InputError: no caption holds a word that counts.
    """
    matrix, _ = tfidf(captions, source)
    components = min(components, *matrix.shape)
    with threadpool_limits(threads):
        values, basis = (_exact if solver == "exact" else _randomized)(matrix, components)
        signs = np.sign(basis[np.abs(basis).argmax(axis=0), np.arange(components)])
        vectors = matrix.astype(np.float32) @ (basis * signs).astype(np.float32)
    return Descriptions(silence_noise(vectors), values, solver)


def _exact(matrix: csr_array, components: int) -> tuple[np.ndarray, np.ndarray]:
    """Singular values [K] and right singular vectors [F, K] from the eigenvectors of X^T X [F, F]."""
    captions, features = matrix.shape
    gram = (matrix.T @ matrix).tocsr()
    if features <= _DENSE_FEATURES or captions <= components:
        values, basis = eigh(gram.toarray(), subset_by_index=(features - components, features - 1), overwrite_a=True)
    else:
        start = np.random.default_rng(RANDOM_STATE).standard_normal(features)
        lanczos_vectors = min(features, components + max(components // 2, 200))
        with tqdm(desc="singular vectors", unit="steps", disable=None, leave=False) as progress:

            def multiply(vector: np.ndarray) -> np.ndarray:
                progress.update()
                # A sparse product costs a tenth of keeping the Lanczos vectors orthogonal; the cube of the Gram matrix
                # has the same eigenvectors, better separated, and takes two thirds of the steps.
                return gram @ (gram @ (gram @ vector))

            operator = LinearOperator(gram.shape, matvec=multiply, dtype=gram.dtype)
            cubes, basis = eigsh(operator, components, which="LA", ncv=lanczos_vectors, v0=start, tol=1e-8)
            values = np.cbrt(cubes)
    return np.sqrt(np.maximum(values[::-1], 0)), basis[:, ::-1]


def _randomized(matrix: csr_array, components: int) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.decomposition import TruncatedSVD  # costs half a second that the default solver does not owe

    svd = TruncatedSVD(components, algorithm="randomized", n_iter=POWER_ITERATIONS, random_state=RANDOM_STATE)
    svd.fit(matrix)
    return svd.singular_values_, svd.components_.T
