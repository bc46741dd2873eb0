"""Evaluate a trained VSE++ network: recall of caption and image retrieval on a test split."""

# What `python train.py` saves; any checkpoint of ours or the published code.
MODEL_PATH = "runs/runX/model_best.pth.tar"
# Folder of the data sets; None: the data that the model was trained on.
DATA_PATH = None


from vse.cli import run
from vse.evaluation.script import evaluation_split, load_trained, report, restore, score, words_of
from vse.options import EvaluationOptions
from VSEpp_LSEH import data, train


def main(options: EvaluationOptions) -> None:
    """Print the recall table; write similarities and metrics if asked."""
    trained = load_trained(options.model_path, train.NAME, train.Options)
    split, folder = evaluation_split(options, trained, data.split_opener(trained.options))
    vocabulary, words = words_of(split, folder, options, trained)
    network = restore(train.build(trained.options, split.images, len(vocabulary), pretrained=False), trained)
    report(score(network, words, options), split, options, f"{options.model_path} on {folder.name} {split.name}")


if __name__ == "__main__":
    run(main, EvaluationOptions, defaults={"model_path": MODEL_PATH, "data_path": DATA_PATH})
