"""A data set's vocabulary is found under the names it goes by, or built and kept."""

from __future__ import annotations

import shutil

import pytest

from tests.conftest import CAPTIONS, ROOT
from vse.data.datasets import find_vocabulary
from vse.errors import InputError
from vse.text.vocabulary import SPECIAL_WORDS, Vocabulary

PICKLE = ROOT / "tests" / "golden" / "text" / "protocol2_vocab.pkl"


def vocabulary() -> Vocabulary:
    return Vocabulary.build(CAPTIONS, 1)


@pytest.mark.parametrize(
    ("name", "data_name"),
    [
        ("f30k_precomp_vocab.json", "f30k_precomp"),
        ("f30k_precomp_vocab.json", "f30k"),
        ("f30k_vocab.json", "f30k_precomp"),
    ],
)
def test_a_vocabulary_is_found_with_and_without_precomp(tmp_path, name, data_name):
    vocabulary().save(tmp_path / name)
    found, location = find_vocabulary(tmp_path, data_name, tmp_path / "no data needed")
    assert found.digest == vocabulary().digest
    assert location == tmp_path


@pytest.mark.parametrize("data_name", ["iaprtc12", "IAPRTC12_precomp", "IAPR"])
def test_iapr_tc_12_without_a_vocabulary_is_read_with_flickr30ks(tmp_path, data_name, capsys):
    vocabulary().save(tmp_path / "f30k_precomp_vocab.json")
    assert find_vocabulary(tmp_path, data_name, tmp_path / "no data needed")[0].digest == vocabulary().digest
    assert "Flickr30K's vocabulary" in capsys.readouterr().out
    Vocabulary.build(["its own words"], 1).save(tmp_path / "IAPRTC_precomp_vocab.json")
    assert "own" in find_vocabulary(tmp_path, data_name, tmp_path)[0].word2idx


def test_other_data_sets_do_not_borrow_a_vocabulary(tmp_path, caption_file):
    vocabulary().save(tmp_path / "f30k_precomp_vocab.json")
    assert find_vocabulary(tmp_path, "coco", tmp_path, threshold=1)[1] == tmp_path
    assert (tmp_path / "coco_vocab.json").is_file()


def test_json_goes_before_pickle_and_a_file_may_be_named(tmp_path):
    shutil.copy(PICKLE, tmp_path / "coco_vocab.pkl")
    pickled = len(Vocabulary.load(PICKLE))
    assert len(find_vocabulary(tmp_path, "coco", tmp_path)[0]) == pickled != len(vocabulary())
    vocabulary().save(tmp_path / "coco_vocab.json")
    assert len(find_vocabulary(tmp_path, "coco", tmp_path)[0]) == len(vocabulary())
    assert len(find_vocabulary(tmp_path / "coco_vocab.pkl", "f30k", tmp_path)[0]) == pickled


def test_a_missing_vocabulary_is_built_from_train_and_dev_and_kept(tmp_path, caption_file, capsys):
    (tmp_path / "dev_caps.txt").write_text("a zebra\n" * 3)
    built, location = find_vocabulary(None, "small_precomp", tmp_path, threshold=3)
    assert list(built.word2idx) == [*SPECIAL_WORDS, "a", "red", ".", "zebra"]
    assert location == tmp_path
    assert str(tmp_path / "vocab.json") in capsys.readouterr().out
    again, _ = find_vocabulary(None, "small", tmp_path, threshold=1)
    assert again.digest == built.digest
    with pytest.raises(InputError, match="tokeniser"):
        find_vocabulary(None, "small", tmp_path, tokeniser="bytes-repr")


def test_a_vocabulary_folder_that_does_not_exist_is_made(tmp_path, caption_file):
    _, location = find_vocabulary(tmp_path / "data" / "vocab", "f30k_precomp", tmp_path)
    assert location == tmp_path / "data" / "vocab"
    assert (location / "f30k_precomp_vocab.json").is_file()


def test_a_vocabulary_that_cannot_be_saved_is_used_all_the_same(tmp_path, caption_file, capsys):
    (tmp_path / "blocked").write_text("a file where the folder should be")
    built, location = find_vocabulary(tmp_path / "blocked" / "vocab", "f30k", tmp_path, threshold=1)
    assert built.digest == vocabulary().digest
    assert location is None
    assert "memory only" in capsys.readouterr().err


def test_without_captions_there_is_no_vocabulary(tmp_path):
    with pytest.raises(InputError, match=r"train_caps\.txt"):
        find_vocabulary(None, "f30k", tmp_path)
