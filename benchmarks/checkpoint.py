"""Evaluation of a VSE++ checkpoint as a whole process, from its start to the printed result.

    python benchmarks/checkpoint.py                       # both procedures, 1,000 images x 5,000 captions
    python benchmarks/checkpoint.py --one original        # CPU seconds, as JSON

The checkpoint and a data set of random features, 36 regions of 2,048 values, flattened as LSEH's VSE++ takes them, are
made first and not timed. Ours is `VSEpp_LSEH/evaluation.py`. The original procedure is written here from the
description of the code: it draws initial weights, loads the checkpoint, encodes each image once for each of its five
captions, and ranks query by query in float64.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import PROCEDURES

from vse import REPOSITORY

IMAGES, CAPTIONS, REGIONS, FEATURES, WORDS = 1000, 5, 36, 2048, 1000
BATCH = 128
DATA, CHECKPOINT = "data", Path("run", "model_best.pth.tar")


def make(folder: Path, images: int) -> None:
    """Make a data set with a test split of `images` images, and a network trained on it for a step."""
    import numpy as np
    import torch
    from measuring import random_words

    draw, random, data = np.random.default_rng(0), torch.Generator().manual_seed(0), folder / DATA
    data.mkdir()
    for split, count in (("train", BATCH // CAPTIONS + 1), ("dev", 2), ("test", images)):
        np.save(data / f"{split}_ims.npy", draw.standard_normal((count, REGIONS, FEATURES), np.float32))
        lengths = 2 + draw.poisson(10, count * CAPTIONS)
        drawn = random_words(int(lengths.sum()), vocabulary=WORDS + 4, generator=random).numpy()
        words = np.split(drawn, lengths.cumsum()[:-1])
        if split == "train":  # a word that occurs four times there is in the vocabulary
            words = np.array_split(4 + np.tile(draw.permutation(WORDS), 4), count * CAPTIONS)
        lines = (" ".join(f"word{word}" for word in caption) for caption in words)
        (data / f"{split}_caps.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    train = ["--loss", "lmh", "--num_epochs", "1", "--device", "cpu", "--logger_name", str(folder / CHECKPOINT.parent)]
    subprocess.run(command_of("train", folder, *train), check=True, stdout=subprocess.DEVNULL)


def command_of(script: str, folder: Path, *flags: str) -> list[str]:
    """Return the command of one of VSE++'s scripts on the data set."""
    path = str(REPOSITORY / "VSEpp_LSEH" / f"{script}.py")
    return [sys.executable, path, "--data_path", str(folder), "--data_name", DATA, *flags]


def our_evaluation(folder: Path) -> list[str]:
    """Return the command of our evaluation of the checkpoint in `folder`."""
    return command_of("evaluation", folder, "--model_path", str(folder / CHECKPOINT), "--device", "cpu")


def original_evaluation(folder: Path) -> dict[str, float]:
    """Evaluate as the original code does; return the mean ranks of both directions."""
    import numpy as np
    import torch
    from evaluation import published_loop
    from measuring import with_grus_of
    from nltk.tokenize import NLTKWordTokenizer

    from VSEpp_LSEH.model import VSEpp

    checkpoint = torch.load(folder / CHECKPOINT, weights_only=True)
    words = {word: number for number, word in enumerate(checkpoint["vocabulary"]["words"])}
    network = VSEpp((REGIONS, FEATURES), len(words))
    network.load_state_dict(checkpoint["model"])
    network.eval()

    features = np.load(folder / DATA / "test_ims.npy")
    captions = (folder / DATA / "test_caps.txt").read_text(encoding="utf-8").splitlines()
    image_vectors, caption_vectors = np.zeros((2, len(captions), network.image_encoder.fc.out_features))
    split = NLTKWordTokenizer().tokenize
    with torch.no_grad(), with_grus_of("original"):
        for start in range(0, len(captions), BATCH):
            batch = range(start, min(start + BATCH, len(captions)))
            images = torch.stack([torch.from_numpy(features[number // CAPTIONS]) for number in batch])
            ids = [
                [words["<start>"], *(words.get(word, words["<unk>"]) for word in split(captions[number].lower()))]
                for number in batch
            ]
            ids = [torch.tensor([*caption, words["<end>"]]) for caption in ids]
            order = sorted(range(len(ids)), key=lambda place: -len(ids[place]))
            lengths = torch.tensor([len(ids[place]) for place in order])
            padded = torch.nn.utils.rnn.pad_sequence([ids[place] for place in order], batch_first=True)
            image_vectors[list(batch)] = network.image_encoder(images.flatten(1)).numpy()
            rows = [start + place for place in order]
            caption_vectors[rows] = network.caption_encoder(padded, lengths).numpy()
    images = range(len(captions) // CAPTIONS)
    image_to_text, text_to_image = map(np.array, published_loop(image_vectors[::CAPTIONS], caption_vectors, images))
    return {"meanr": image_to_text.mean() + 1, "meanri": text_to_image.mean() + 1}


def seconds_of(procedure: str, folder: Path) -> float:
    """CPU seconds of a process that evaluates the checkpoint in `folder`."""
    command = our_evaluation(folder) if procedure == "ours" else [sys.executable, __file__, "--original", str(folder)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print the CPU seconds of a procedure as JSON, or of both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", choices=PROCEDURES, help="CPU seconds of this procedure, as JSON")
    parser.add_argument("--images", type=int, default=IMAGES, help="images of the test split")
    parser.add_argument("--original", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.original is not None:
        print(json.dumps(original_evaluation(options.original)))
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), options.images)
        if options.one is not None:
            print(json.dumps({"cpu_s": seconds_of(options.one, Path(folder))}))
            return
        for procedure in PROCEDURES:
            print(f"{procedure}: {seconds_of(procedure, Path(folder)):.1f} CPU s")


if __name__ == "__main__":
    main()
