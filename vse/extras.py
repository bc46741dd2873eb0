"""Libraries of optional extras, and models of the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from vse.errors import InputError


def library(module: str, name: str, extra: str) -> Any:
    """Import a library that only some features need.

    Args:
        module: the library.
        name: what needs it, for the message.
        extra: the extra of this package that installs it.

    Raises:
        InputError: the library is not installed.
    """
    try:
        return import_module(module)
    except ImportError:
        raise InputError(f'{name}: needs the package {module}; pip install "vse[{extra}]"') from None


def hub_folder(name: str, files: Sequence[str]) -> Path:
    """Return the folder `name`, or the one in the hub's cache that holds these files of the model `name`.

    Files that the cache lacks are fetched.

    Raises:
        InputError: there is no such folder or model, or it cannot be fetched.
    """
    if Path(name).is_dir():
        return Path(name)
    hub = library("huggingface_hub", name, "bert")
    try:
        return Path(hub.snapshot_download(name, allow_patterns=list(files)))
    except Exception as problem:  # the hub's client raises exceptions of many libraries
        raise InputError(
            f"{name}: no such folder, not in the cache of the Hugging Face hub, and it cannot be fetched "
            f"({type(problem).__name__}); download its {', '.join(files)} on another machine and give their folder"
        ) from None
