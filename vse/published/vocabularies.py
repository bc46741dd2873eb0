"""The words a network knows and their ids; reading the vocabularies that the published code comes with."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

from vse.errors import InputError


def _read_pickle(content: bytes, path: Path) -> dict[str, Any]:
    try:
        reader = _VocabularyReader(content)
        fields = reader.fields()
    except Exception as problem:  # a damaged pickle may raise almost anything
        raise InputError(
            f"{path}: not a pickled Vocabulary ({problem}); expected a published vocabulary, give or build another"
        ) from None
    return fields


class _VocabularyReader(pickle.Unpickler):
    """Reads a pickled `Vocabulary` (of the modules the published code put it in, any protocol, Python 2 too).

    The only names a file may use are the class, for which an empty one stands in, and the two that old protocols need
    to make an instance of it; so there is nothing else that a file could call.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="utf-8")
        self.stand_in = type("Vocabulary", (), {})
        self.names = {
            ("__main__", "Vocabulary"): self.stand_in,
            ("vocab", "Vocabulary"): self.stand_in,
            ("copy_reg", "_reconstructor"): lambda made, base, state: self.stand_in(),
            ("copyreg", "_reconstructor"): lambda made, base, state: self.stand_in(),
            ("__builtin__", "object"): None,
            ("builtins", "object"): None,
        }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.names:
            raise pickle.UnpicklingError(f"it asks for {f'{module}.{name}'!r}")
        return self.names[module, name]

    def fields(self) -> dict[str, Any]:
        vocabulary = self.load()
        if type(vocabulary) is not self.stand_in:
            raise pickle.UnpicklingError("it holds something else")
        return dict(vars(vocabulary))
