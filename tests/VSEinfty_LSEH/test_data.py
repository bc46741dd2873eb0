"""What VSE-infinity reads, and how its flags appear in errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from vse.errors import InputError
from vse.options import DataOptions
from VSEinfty_LSEH.network import NetworkOptions, reader


def test_a_missing_bert_names_the_flag_and_the_alternative(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unreachable(*_arguments: object, **_options: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    with pytest.raises(InputError, match=r"^--bert no/such-bert: .*--text_encoder bigru$"):
        reader(NetworkOptions(bert="no/such-bert")).locate_text(DataOptions(), tmp_path)
