"""The published making of description vectors, re-enacted from its description with the libraries that it uses.

    python benchmarks/published_descriptions.py CAPTIONS_FILE FOLDER

Writes FOLDER/train_svd.txt as published and, outside the times, FOLDER/vectors.npy. Prints CPU seconds per stage as
JSON. The clean-up is a regular expression, as it was when the published vectors were made.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from nltk.stem.porter import PorterStemmer
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

seconds = {"imports": time.process_time()}

from vse.descriptions.svd import STOP_WORDS  # noqa: E402 - the list alone is wanted, its module's imports do not count

last = time.process_time()


def finish(stage: str) -> None:
    """Print the seconds of a stage that ends."""
    global last
    seconds[stage] = time.process_time() - last
    last += seconds[stage]


captions_file, folder = Path(sys.argv[1]), Path(sys.argv[2])
with captions_file.open(encoding="utf-8") as file:
    text = pd.Series(file.readlines())
text = text.str.replace("[^a-zA-Z#]", " ", regex=True).str.lower()
finish("read, clean up")
words = text.apply(lambda caption: caption.split())
stop_words = list(STOP_WORDS)
words = words.apply(lambda caption: [word for word in caption if word not in stop_words])
finish("stop words")
porter = PorterStemmer()
words = words.apply(lambda caption: [porter.stem(word) for word in caption])
finish("stems")
matrix = TfidfVectorizer(stop_words="english", smooth_idf=True).fit_transform(words.apply(" ".join))
finish("TF-IDF")
svd = TruncatedSVD(min(400, matrix.shape[1]), algorithm="randomized", n_iter=100, random_state=122)
vectors = svd.fit(matrix).transform(matrix)
finish("SVD")
np.savetxt(folder / "train_svd.txt", vectors, fmt="%s", delimiter=",")
finish("write text")
np.save(folder / "vectors.npy", vectors)
print(json.dumps(seconds))
