"""Draw what SGR or SAF makes of an image and a caption: where each word looks, and which words count.

    python visualize.py                                        the first test image and its first caption
    python visualize.py --image 12 --caption 63                caption 63 against image 12
    python visualize.py --image 12 --text "a red car on a street"

Writes a PNG and an HTML page to attention/ beside the checkpoint, or to --out. The page explains its words.
"""

# What `python train.py` saves; ours or of the original code.
MODEL_PATH = "runs/demo_SAF/checkpoint/model_best.pth.tar"
# Folder of the data sets; None: the data that the model was trained on.
DATA_PATH = None

from SGRAF_LSEH.network import FOLDER
from vse.cli import run
from vse.tools.attention_options import AttentionOptions as Options


def main(options: Options) -> None:
    """Write the PNG and the HTML page."""
    from SGRAF_LSEH.explanation import explain
    from vse.tools.attention import draw

    draw(FOLDER, explain, options)


if __name__ == "__main__":
    run(main, Options, defaults={"model_path": MODEL_PATH, "data_path": DATA_PATH})
