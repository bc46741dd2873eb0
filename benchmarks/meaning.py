"""The gallery's threshold of similarity in meaning, by human judgments of Flickr8k's pairs.

    python benchmarks/meaning.py ExpertAnnotations.txt data/f8k_precomp --descriptions sentence

The gallery marks a wrong answer if the closest caption of the image in question reaches the threshold. The same is
done here with the judged pairs of a caption and a foreign picture. A mark is right if the experts' mean grade is 3 or
more. The rule: the lowest threshold, in steps of 0.05, at which three of four marks are right.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from tabulate import tabulate

from vse.data.datasets import open_split
from vse.evaluation.judgments import read_split_judgments
from vse.tools.meaning import Meaning, measure_meaning, own_captions

RELEVANT = 3.0
RIGHT = 0.75
STEP = 0.05


def marks(meaning: Meaning, image: np.ndarray, caption: np.ndarray) -> np.ndarray:
    """Return the cosine that decides over each pair [P] of an image and a caption: that of the closest caption."""
    pairs = zip(image.tolist(), caption.tolist(), strict=True)
    return np.array([meaning.likeness(other, own_captions(meaning.split, row)).max() for row, other in pairs])


def main() -> None:
    """Print a line for each threshold, and the one that the rule chooses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("annotations", help="ExpertAnnotations.txt of Flickr8k")
    parser.add_argument("data", type=Path, help="data set folder with test_names.txt")
    parser.add_argument("--descriptions", choices=["svd", "sentence"], default="svd")
    options = parser.parse_args()
    split = open_split(options.data, "test")
    owner = split.caption_image
    judged = read_split_judgments(options.annotations, options.data, "test", len(split.images), owner)
    foreign = judged.keep(owner[judged.caption] != judged.image)
    relevant = foreign.grade >= RELEVANT
    meaning = measure_meaning(split, options.descriptions)
    cosine = marks(meaning, foreign.image, foreign.caption)
    rows, chosen = [], None
    for step in range(6, 20):
        threshold = round(step * STEP, 2)
        marked = cosine >= threshold
        right = relevant[marked].mean() if marked.any() else 1.0
        chosen = threshold if chosen is None and right >= RIGHT else chosen
        own, others = Meaning(split, meaning.vectors, meaning.kind, threshold).shares()
        found = relevant[marked].sum() / relevant.sum()
        rows.append([threshold, int(marked.sum()), 100 * right, 100 * found, own, others])
    print(f"{len(relevant)} foreign pairs, {relevant.sum()} with a mean grade of {RELEVANT:g} or more")
    heads = ["threshold", "marked", "right %", "found %", "pairs of one image %", "of two images %"]
    print(tabulate(rows, headers=heads, floatfmt=("g", "g", ".1f", ".1f", ".1f", ".3f")))
    print(f"lowest threshold at which {RIGHT:.0%} of the marks are right: {chosen}")


if __name__ == "__main__":
    main()
