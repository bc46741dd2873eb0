"""The picture files of a split's images, for pages that show them; nothing is written."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from vse.data.datasets import Split
from vse.data.images import RawImages, open_picture
from vse.data.index import folder_pictures
from vse.data.pictures import inside, picture_folder
from vse.errors import InputError
from vse.files import read_text


class ShownPictures:
    """The pictures of a split's images: those that it reads, or those named beside its features.

    Args:
        split: of features or of pictures.
        folder: folder of the pictures; None: that of the data set.

    Raises:
        InputError: no such folder, or the names are not those of this split.
    """

    def __init__(self, split: Split, folder: str | None = None) -> None:
        self.missing: list[int] = []
        """Images that were asked for and whose pictures were not found."""
        self.problem = ""
        """Why no picture can be found, empty where they may be."""
        self._paths: list[Path] | None = None
        if folder is not None and not Path(folder).is_dir():
            raise InputError(f"--pictures {folder}: no such folder; expected the one that holds the picture files")
        if folder is None and isinstance(split.images, RawImages):
            self._paths = split.images.paths
            return
        try:
            place = picture_folder(split.captions_file.parent) if folder is None else Path(folder)
            names = _names(split, place)
        except InputError as problem:
            self.problem = str(problem)
            return
        rows, over = divmod(
            len(names), len(split.images)
        )  # several where a file has a line for each of an image's rows
        if over or not rows:
            raise InputError(
                f"{split.file('names.txt')}: {len(names)} lines; expected one for each of the {len(split.images)} "
                f"images of {split.name}"
            )
        self._paths = [place / inside(name, str(split.file("names.txt"))) for name in names[::rows]]

    def open(self, image: int) -> Image.Image | None:
        """Open the picture of an image; None where it is not found.

        Raises:
            InputError: it is there and cannot be decoded.
        """
        if self._paths is not None and self._paths[image].is_file():
            return open_picture(self._paths[image])
        self.missing.append(image)
        return None

    def name(self, image: int) -> str:
        """Return the file name of an image's picture, empty where it is not known."""
        return "" if self._paths is None else self._paths[image].name


def _names(split: Split, place: Path) -> list[str]:
    """List the file names of a split's pictures, by `{split}_names.txt` or by ids and `id_mapping.json`."""
    file = split.file("names.txt")
    if file.is_file():
        return read_text(file, encoding="utf-8", errors="replace").removesuffix("\n").split("\n")
    found = folder_pictures(split.captions_file.parent, place).get(split.name)
    if found is None:
        raise InputError(f"{file}: no such file; expected the picture file of each image")
    return found.names
