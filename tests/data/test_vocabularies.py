"""A data set's vocabulary is found under its names; only training builds one, and ties it to its captions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import CAPTIONS, ROOT
from vse.data.vocabularies import locate_vocabulary, prepare_vocabulary
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
    found, location = prepare_vocabulary(tmp_path, data_name, tmp_path / "no data needed")
    assert found.digest == locate_vocabulary(tmp_path, data_name, tmp_path).digest == vocabulary().digest
    assert location == tmp_path


@pytest.mark.parametrize("data_name", ["iaprtc12", "IAPRTC12_precomp", "IAPR"])
def test_iapr_tc_12_falls_back_on_flickr30ks_vocabulary(tmp_path, data_name, capsys):
    vocabulary().save(tmp_path / "f30k_precomp_vocab.json")
    assert locate_vocabulary(tmp_path, data_name, tmp_path / "no data needed").digest == vocabulary().digest
    assert "Flickr30K's vocabulary" in capsys.readouterr().out
    Vocabulary.build(["its own words"], 1).save(tmp_path / "IAPRTC_precomp_vocab.json")
    assert "own" in prepare_vocabulary(tmp_path, data_name, tmp_path)[0].word2idx


def test_other_data_sets_do_not_borrow_a_vocabulary(tmp_path, caption_file):
    vocabulary().save(tmp_path / "f30k_precomp_vocab.json")
    with pytest.raises(InputError, match=r"no vocabulary \(coco_vocab\.json, "):
        locate_vocabulary(tmp_path, "coco", tmp_path)
    assert prepare_vocabulary(tmp_path, "coco", tmp_path, threshold=1)[1] == tmp_path
    assert (tmp_path / "coco_vocab.json").is_file()


def test_json_goes_before_pickle_and_a_file_may_be_named(tmp_path):
    shutil.copy(PICKLE, tmp_path / "coco_vocab.pkl")
    pickled = len(Vocabulary.load(PICKLE))
    assert len(locate_vocabulary(tmp_path, "coco", tmp_path)) == pickled != len(vocabulary())
    vocabulary().save(tmp_path / "coco_vocab.json")
    assert len(locate_vocabulary(tmp_path, "coco", tmp_path)) == len(vocabulary())
    assert len(locate_vocabulary(tmp_path / "coco_vocab.pkl", "f30k", tmp_path)) == pickled


def test_looking_for_a_vocabulary_writes_nothing(tmp_path, caption_file):
    for vocab_path in (None, tmp_path, tmp_path / "missing", tmp_path / "missing.json"):
        with pytest.raises(InputError, match="--vocab_path"):
            locate_vocabulary(vocab_path, "small", tmp_path)
    assert list(tmp_path.iterdir()) == [caption_file]


def test_a_vocabulary_built_here_is_no_published_checkpoints_own(tmp_path, caption_file):
    prepare_vocabulary(None, "small", tmp_path, threshold=1)
    with pytest.raises(InputError, match=r"vocab\.json: built here .* --vocab_path"):
        locate_vocabulary(None, "small", tmp_path)
    assert locate_vocabulary(tmp_path / "vocab.json", "small", tmp_path).digest == vocabulary().digest


def test_a_missing_vocabulary_is_built_from_train_and_dev(tmp_path, caption_file, capsys):
    (tmp_path / "dev_caps.txt").write_text("a zebra\n" * 3)
    built, location = prepare_vocabulary(None, "small_precomp", tmp_path, threshold=3)
    assert list(built.word2idx) == [*SPECIAL_WORDS, "a", "red", ".", "zebra"]
    assert location == tmp_path
    assert str(tmp_path / "vocab.json") in capsys.readouterr().out
    again, _ = prepare_vocabulary(None, "small", tmp_path, threshold=1)
    assert again.digest == built.digest
    assert capsys.readouterr().out == ""
    with pytest.raises(InputError, match="tokeniser"):
        prepare_vocabulary(None, "small", tmp_path, tokeniser="bytes-repr")


def test_a_vocabulary_is_tied_to_the_captions_it_was_built_from(tmp_path, caption_file, capsys):
    prepare_vocabulary(None, "small", tmp_path, threshold=2)
    caption_file.write_text("a ship sails\n" * 3)
    built, _ = prepare_vocabulary(None, "small", tmp_path, threshold=1)
    assert list(built.word2idx) == [*SPECIAL_WORDS, "a", "ship", "sails"]
    assert built.threshold == 2
    (tmp_path / "dev_caps.txt").write_text("a zebra\n" * 3)
    assert "zebra" in prepare_vocabulary(None, "small", tmp_path)[0].word2idx
    assert capsys.readouterr().out.count("captions that have changed since") == 2


def test_a_vocabulary_that_was_given_is_never_rebuilt(tmp_path, caption_file):
    given = Vocabulary.build(["quite other words"], 1)
    given.made_from = {"train_caps.txt": "0" * 64}
    given.save(tmp_path / "own.json")
    assert prepare_vocabulary(tmp_path / "own.json", "small", tmp_path)[0].digest == given.digest
    content = json.loads((tmp_path / "own.json").read_text())
    del content["made_from"]
    (tmp_path / "vocab.json").write_text(json.dumps(content))
    assert prepare_vocabulary(None, "small", tmp_path)[0].digest == given.digest


def test_training_makes_a_vocabulary_folder_and_says_so(tmp_path, caption_file, capsys):
    _, location = prepare_vocabulary(tmp_path / "data" / "vocab", "f30k_precomp", tmp_path, threshold=1)
    assert location == tmp_path / "data" / "vocab"
    assert (location / "f30k_precomp_vocab.json").is_file()
    assert f"{location}: made" in capsys.readouterr().out


def test_a_mistyped_vocabulary_folder_is_not_made(tmp_path, caption_file):
    (tmp_path / "right").mkdir()
    vocabulary().save(tmp_path / "right" / "f30k_vocab.json")
    with pytest.raises(InputError, match=r"rigth: no such folder, but .*right holds vocabularies"):
        prepare_vocabulary(tmp_path / "rigth", "f30k", tmp_path, threshold=1)
    assert not (tmp_path / "rigth").exists()


def test_a_vocabulary_that_cannot_be_saved_is_used_all_the_same(tmp_path, caption_file, capsys):
    (tmp_path / "blocked").write_text("a file where the folder should be")
    built, location = prepare_vocabulary(tmp_path / "blocked" / "vocab", "f30k", tmp_path, threshold=1)
    assert built.digest == vocabulary().digest
    assert location is None
    assert "memory only" in capsys.readouterr().err


def test_captions_without_words_build_no_vocabulary(tmp_path, caption_file):
    Path(caption_file).write_text("一个男人在公园里奔跑。\n两只狗在海边站着。\n")
    with pytest.raises(InputError, match=r"train_caps\.txt: none of the 2 words .* blanks between"):
        prepare_vocabulary(None, "small", tmp_path)
    assert not (tmp_path / "vocab.json").exists()


def test_without_captions_there_is_no_vocabulary(tmp_path):
    with pytest.raises(InputError, match=r"train_caps\.txt"):
        prepare_vocabulary(None, "f30k", tmp_path)
