"""HTML pages that need no other file: their pictures are in them."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment
from PIL import Image

from vse.files import write_atomically


def embedded(picture: Image.Image, kind: Literal["PNG", "JPEG"]) -> str:
    """Encode a picture as the `src` of an `<img>`."""
    content = io.BytesIO()
    picture.save(content, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(content.getvalue()).decode('ascii')}"


def save_page(path: str | Path, template: str, **values: Any) -> None:
    """Write a Jinja template, filled in; markup in the values is text. The file appears whole or not at all.

    Raises:
        InputError: it cannot be written.
    """
    page = Environment(autoescape=True).from_string(template).render(values)
    write_atomically(path, lambda file: file.write(f"{page}\n".encode()))
