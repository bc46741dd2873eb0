"""Evaluate a trained HAL network, as evaluation.py does, and keep its embeddings and a line of its results.

python3 compute_results.py --data_path data/data/resnet_precomp --fold5 --model_path runs/COCO/model_best.pth.tar
python3 compute_results.py --data_path data/data --model_path runs/f30k/model_best.pth.tar --save_csv results.csv
"""

# What `python train.py` saves.
MODEL_PATH = "runs/runX/model_best.pth.tar"
# Folder of the data sets; None: the data that the model was trained on.
DATA_PATH = None

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from HAL import evaluation
from HAL.network import FOLDER
from vse.cli import run
from vse.console import say
from vse.errors import InputError
from vse.files import write_atomically

if TYPE_CHECKING:  # torch takes a second to import; --help answers without it
    from vse.evaluation.script import EvaluatedModel


@dataclass
class Options(evaluation.Options):
    """What to evaluate, and what to write."""

    save_embeddings: bool = False
    """Write the embeddings to RUN_img_and_cap_embeddings.npz, RUN being the checkpoint's folder."""
    save_csv: str = ""
    """Append a line of results to this file; with --fold5 to FILE_fold1 (the first fold) and FILE_fold5 (the mean)."""


def main(options: Options) -> None:
    """Print the recall table; write the requested files."""
    from vse.evaluation.script import joined, open_models, report, score

    with joined(options.device) as first:
        [model] = open_models(FOLDER, options, lambda trained: evaluation.with_tokeniser(trained, options))
        scores = score(model, options)
        if first:
            keep(model, report(scores, [model], options), options)


def keep(model: "EvaluatedModel", metrics: Mapping[str, Any], options: Options) -> None:
    """Write the embeddings and the lines of results that the options ask for."""
    run_name = str(model.trained.saved.get("logger_name"))
    if options.save_embeddings:
        run_folder = model.trained.path.resolve().parent
        save_embeddings(Path(f"{run_folder.name}_img_and_cap_embeddings.npz"), model, options.device)
    if options.save_csv and options.fold5:
        append_results(f"{options.save_csv}_fold1", run_name, metrics["fold5"]["folds"][0])
        append_results(f"{options.save_csv}_fold5", run_name, metrics["fold5"])
    elif options.save_csv:
        append_results(options.save_csv, run_name, metrics)


def save_embeddings(path: Path, model: "EvaluatedModel", device: str | None) -> None:
    """Write float32 `img_embs` [N, E], `cap_embs` [M, E] and `caption_image` [M], each caption's row of `img_embs`."""
    import numpy as np

    from vse.distributed import choose_device
    from vse.evaluation.scoring import encode_data

    data = model.data
    images, captions = encode_data(model.network, data, choose_device(device))
    arrays = {
        "img_embs": images.vectors.numpy(),
        "cap_embs": captions.vectors.numpy(),
        "caption_image": data.split.caption_image,
    }
    write_atomically(path, lambda file: np.savez(file, **arrays))
    say(f"embeddings of {len(images)} images, {len(captions)} captions: {path}")


def append_results(path: str, name: str, metrics: Mapping[str, float]) -> None:
    """One line: name, then R@1, R@5, R@10, median and mean rank of both directions, and rsum."""
    columns = ("r1", "r5", "r10", "medr", "meanr", "r1i", "r5i", "r10i", "medri", "meanri", "rsum")
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(", ".join([name, *(f"{metrics[column]:.1f}" for column in columns)]) + "\n")
    except OSError as problem:
        raise InputError(f"--save_csv {path}: cannot be written ({problem.strerror}); give another file") from None


if __name__ == "__main__":
    run(main, Options, defaults={"model_path": MODEL_PATH, "data_path": DATA_PATH})
