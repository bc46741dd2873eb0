"""`python -m vse export MODEL --out FOLDER`: export a trained model as a folder in the Hub's form."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment

from vse import networks
from vse.console import say
from vse.errors import InputError
from vse.files import writable_folder
from vse.formats.exported import CARD, CONFIG, VOCABULARY, WEIGHTS, refuse_other_files, write_exported
from vse.inference.model import Model, load
from vse.records import environment
from vse.tools.onnx import CAPTIONS, IMAGES, remove_onnx, write_onnx
from vse.tools.options import ExportOptions

CARD_TEMPLATE = """---
library_name: vse
license: {{ license }}
pipeline_tag: feature-extraction
tags: [image-text-retrieval, visual-semantic-embeddings, {{ network }}]
---
# {{ network }} on {{ data_name }}

{{ network }} scores how well an image and a caption fit.
{%- if pairwise %} Its scores need image and caption at once.{% else %} Both become vectors of {{ size }} numbers.
{%- endif %} It reads {{ images }}.

```python
import vse

model = vse.load("FOLDER")  # this folder, or hf:owner/name
captions = model.encode_text(["a dog on the grass"])
```

| | |
|---|---|
| network | {{ network }}, {{ parameters }} parameters |
| objective | {{ objective }} |
| trained on | {{ data }} |
| vocabulary | {{ words }} |
| score on dev | {{ score }} |
| images | {{ images }} |
| features extracted by | {{ extraction }} |
| commit of the training | {{ commit }} |
| weights (SHA-256) | `{{ digest }}` |

## Limits

The model knows only the words of its vocabulary and reads all others as one unknown word. The licence above is the
exporter's for the weights in this folder; the pictures and captions of the training data have their own licences.
"""


def main(options: ExportOptions) -> None:
    """Write the folder and load it again, which must give the same weights to the bit.

    Raises:
        InputError: not a checkpoint with the shape of its images, or a folder that cannot be written or holds files of
            something else.
    """
    if not options.license.strip() or not options.license.isprintable():
        raise InputError(f"--license {options.license!r}: expected an identifier such as apache-2.0")
    model = load(options.model, device="cpu", features=options.features)
    folder = writable_folder(options.out, "--out")
    refuse_other_files(folder)
    if options.onnx:
        difference = write_onnx(model, folder)
        say(f"{IMAGES} and {CAPTIONS} compute what torch does, to {difference:.1g}")
        if len(model.image_shape) == 2:
            say(f"{IMAGES} takes all {model.image_shape[0]} rows of an image as regions; give it no padded images")
    else:
        remove_onnx(folder)
    commit = environment(torch.device("cpu"))["commit"]
    write_exported(model.trained.checkpoint, folder, model.extraction, model_card(model, options.license), commit)
    if networks.load(folder).digest != model.digest:
        raise InputError(f"{folder}: what was written does not read as it was; the disk is not to be trusted")
    size = (folder / WEIGHTS).stat().st_size
    say(f"{WEIGHTS} ({size / 1e6:.1f} MB), {CONFIG}, {VOCABULARY} and {CARD}: {folder}")


def model_card(model: Model, licence: str) -> str:
    """Write the model card of a model, from the record of its training where it has one."""
    trained = model.trained
    record: Mapping[str, Any] = trained.record or {}
    data = (record.get("data") or {}).get("train") or {}
    name = Path(data["folder"]).name if "folder" in data else trained.data.data_name or "unknown data"
    captions = f"{name}, {data['images']} images, {data['captions']} captions" if "images" in data else name
    made = model.extraction
    return (
        Environment(autoescape=False)
        .from_string(CARD_TEMPLATE)
        .render(
            license=licence.strip(),
            network=trained.folder.name,
            data_name=name,
            pairwise=model.pairwise,
            size=trained.saved.get("embed_size", "unknown"),
            images="pictures" if model.reads_pictures else f"features of shape {list(model.image_shape)}",
            parameters=f"{sum(parameter.numel() for parameter in model.network.parameters()):,}",
            objective=_objective(trained.saved),
            data=captions,
            words=f"{len(model.text)} ids",
            score=_score(record),
            extraction="not recorded" if made is None else f"{made['model']} (`python -m vse features`)",
            commit=(record.get("environment") or {}).get("commit") or "not recorded",
            digest=model.digest,
        )
    )


def _objective(saved: Mapping[str, Any]) -> str:
    """Name the objective and the constants that it was given."""
    name = saved.get("loss") or saved.get("objective") or "not recorded"
    constants = {key: saved.get(key) for key in ("margin", "semantic_weight", "max_violation")}
    return ", ".join([str(name), *(f"{key} {value}" for key, value in constants.items() if value is not None)])


def _score(record: Mapping[str, Any]) -> str:
    if record.get("best_score") is None:
        return "not recorded"
    return f"{record.get('selected_by')} {record['best_score']:.1f} (epoch {record.get('best_epoch')})"
