"""An index on disk: incremental, tied to its network, and damage told in a sentence."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vse.errors import InputError
from vse.nn.network import Embeddings, WordSet
from vse.search.store import INDEX, Index, Item

HEAD = {"weights_sha256": "ab" * 32}


def items(*names: str, digest: str = "1") -> list[Item]:
    return [Item(name, name, digest) for name in names]


def filled(folder: Path, names: str = "abcde", digest: str = "1", base: float = 0, chunk: int = 2) -> Index:
    index = Index(folder, HEAD)
    given = items(*names, digest=digest)

    def encode(places: list[int]) -> Embeddings:
        return Embeddings(torch.tensor([[base + ord(given[place].key)] for place in places], dtype=torch.float32))

    index.update("images", given, encode, chunk)
    index.save()
    return index


def content(index: Index) -> dict[str, float]:
    rows: dict[str, float] = {}
    for shard in index.shards["images"]:
        values = shard.encoding().tensors()[0][:, 0].tolist()
        rows |= {item.key: value for item, value in zip(shard.items(), values, strict=True)}
    return rows


def test_what_was_written_is_read(tmp_path: Path) -> None:
    filled(tmp_path)
    read = Index(tmp_path)
    assert read.rows("images") == 5
    assert content(read) == {key: float(ord(key)) for key in "abcde"}
    assert len(read.shards["images"]) == 3


def test_items_that_did_not_change_are_not_encoded_again(tmp_path: Path) -> None:
    index = filled(tmp_path)
    asked: list[int] = []

    def encode(places: list[int]) -> Embeddings:
        asked.extend(places)
        return Embeddings(torch.zeros(len(places), 1))

    assert index.update("images", items(*"abf"), encode) == (1, 0, 2)
    assert asked == [2]


def test_changed_items_are_replaced_and_their_files_removed(tmp_path: Path) -> None:
    filled(tmp_path)
    filled(tmp_path, "bd", digest="2", base=1000)
    read = Index(tmp_path)
    assert content(read) == {key: float(ord(key)) + (1000 if key in "bd" else 0) for key in "abcde"}
    named = {shard.name for shard in read.shards["images"]}
    assert {path.name.partition(".")[0] for path in tmp_path.glob("images-*")} == named


def test_items_gone_from_a_place_are_removed(tmp_path: Path) -> None:
    index = filled(tmp_path, "abcde")
    index.update("images", items("ax", "ay"), lambda places: Embeddings(torch.zeros(len(places), 1)))
    assert index.remove_gone("images", "a", {"a", "ay"}) == ["ax"]
    assert sorted(content(Index(tmp_path))) == ["a", "ay", "b", "c", "d", "e"]


def test_an_interrupted_update_keeps_what_it_has_done(tmp_path: Path) -> None:
    index = Index(tmp_path, HEAD)

    def encode(places: list[int]) -> Embeddings:
        if 4 in places:
            raise KeyboardInterrupt
        return Embeddings(torch.ones(len(places), 1))

    with pytest.raises(KeyboardInterrupt):
        index.update("images", items(*"abcde"), encode, chunk=2)
    assert sorted(content(Index(tmp_path))) == ["a", "b", "c", "d"]


def test_local_encodings_keep_their_lengths(tmp_path: Path) -> None:
    index = Index(tmp_path, HEAD)
    words = WordSet(torch.rand(2, 3, 4), torch.tensor([3, 1]))
    index.update("captions", items("a", "b"), lambda places: words)
    read = Index(tmp_path).shards["captions"][0].encoding()
    assert isinstance(read, WordSet)
    assert torch.equal(read.features, words.features)
    assert torch.equal(read.lengths, words.lengths)


def test_another_network_is_refused(tmp_path: Path) -> None:
    filled(tmp_path)
    with pytest.raises(InputError, match="made with weights of SHA-256 abababababab"):
        Index(tmp_path, {"weights_sha256": "cd" * 32})


def test_a_key_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a: listed twice"):
        filled(tmp_path, "aba")


def test_an_interrupted_first_call_leaves_an_index(tmp_path: Path) -> None:
    Index(tmp_path, HEAD)
    (tmp_path / "images-00000.vectors.npy").write_bytes(b"half a shard")
    index = Index(tmp_path, HEAD)
    index.update("images", items("a"), lambda places: Embeddings(torch.ones(1, 1)))
    assert Index(tmp_path).rows("images") == 1


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds thesis\.txt and is no index"):
        Index(tmp_path, HEAD)


def test_vectors_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    index = Index(tmp_path, HEAD)
    with pytest.raises(InputError, match="NaN or infinity"):
        index.update("images", items("a"), lambda places: Embeddings(torch.full((1, 1), torch.nan)))


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"format": "vse index 1"}', '{"format": "vse index 1", "head": 3, "shards": {}}']
)
def test_a_damaged_index_is_refused(text: str, tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / INDEX).write_text(text)
    with pytest.raises(InputError, match="damaged, or not an index"):
        Index(tmp_path)


@pytest.mark.parametrize(("entry", "value"), [("kind", []), ("kind", 3), ("tensors", []), ("tensors", [{}])])
def test_a_shard_described_by_other_types_is_refused(entry: str, value: Any, tmp_path: Path) -> None:
    filled(tmp_path)
    content = json.loads((tmp_path / INDEX).read_text())
    content["shards"]["images"][0][entry] = value
    (tmp_path / INDEX).write_text(json.dumps(content))
    with pytest.raises(InputError, match="damaged, or not an index"):
        Index(tmp_path)


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_vectors_that_no_query_has_are_refused(dtype: type, tmp_path: Path) -> None:
    filled(tmp_path)
    shard = Index(tmp_path).shards["images"][0]
    query = shard.encoding()
    width = 9 if dtype is np.float32 else query.tensors()[0].shape[1]
    shard.check_vectors(query)
    np.save(tmp_path / f"{shard.name}.vectors.npy", np.ones((shard.rows, width), dtype))
    with pytest.raises(InputError, match=r"vectors\.npy is missing or damaged; make the index again"):
        shard.check_vectors(query)


@pytest.mark.parametrize("name", ["../../x", "images-0/../../x", "images-x"])
def test_shards_outside_the_folder_are_refused(name: str, tmp_path: Path) -> None:
    filled(tmp_path)
    path = tmp_path / INDEX
    path.write_text(path.read_text().replace("images-00000", name))
    with pytest.raises(InputError, match="damaged"):
        Index(tmp_path)


@pytest.mark.parametrize("ending", ["jsonl", "lines.npy", "vectors.npy"])
@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_damaged_shard_is_refused(ending: str, damage: str, tmp_path: Path) -> None:
    index = filled(tmp_path)
    path = tmp_path / f"images-00000.{ending}"
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(InputError, match="images-00000"):
        content(index)


def test_items_are_read_without_those_of_other_shards(tmp_path: Path) -> None:
    index = filled(tmp_path, "abcdef")
    (tmp_path / "images-00000.jsonl").unlink()
    assert [item.key for item in index.items_at("images", [5, 2])] == ["f", "c"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_in_place_of_a_shards_items_is_refused(tmp_path: Path) -> None:
    shard = filled(tmp_path).shards["images"][0]
    file = tmp_path / f"{shard.name}.jsonl"
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(InputError, match="jsonl is missing or damaged"):
        shard.items()


def test_a_shard_listed_twice_is_refused(tmp_path: Path) -> None:
    filled(tmp_path)
    index = json.loads((tmp_path / INDEX).read_text())
    index["shards"]["images"] *= 2
    (tmp_path / INDEX).write_text(json.dumps(index))
    with pytest.raises(InputError, match="damaged, or not an index"):
        Index(tmp_path)
