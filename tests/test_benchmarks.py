"""The original procedures of the benchmarks compute what ours compute, and their runner measures both."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
import torch

from GSMN_LSEH.model import GSMN
from SGRAF_LSEH.model import SGRAF
from tests.conftest import Script
from vse import REPOSITORY
from vse.errors import InputError
from vse.nn.encoders import l2norm
from VSEinfty_LSEH.pooling import GeneralisedPooling
from VSRN_LSEH.captioning import Captioner


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> ModuleType:
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    return importlib.import_module(request.param)


@pytest.mark.parametrize("benchmark", ["sgraf"], indirect=True)
@pytest.mark.parametrize("module", ["SGR", "SAF"])
def test_sgraf_loop_gives_our_scores(benchmark: ModuleType, module: str) -> None:
    torch.manual_seed(0)
    network = SGRAF(module, 50, num_regions=5, img_dim=7, word_dim=6, embed_size=16, sim_dim=8)
    for part in network.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    regions, words, lengths = l2norm(torch.randn(3, 5, 16)), l2norm(torch.randn(4, 6, 16)), torch.tensor([6, 4, 3, 1])
    words *= (torch.arange(6) < lengths[:, None])[..., None]
    network.eval()
    with torch.no_grad():
        encoder = network.similarity_encoder
        vectors = encoder.v_global_w(regions)
        captions = torch.cat(
            [encoder.t_global_w(words[n : n + 1, :length]) for n, length in enumerate(lengths.tolist())]
        )
        ours = network.similarity(
            benchmark.VisualRepresentations(regions, vectors),
            benchmark.TextualRepresentations(words, lengths, captions),
        )
        torch.testing.assert_close(benchmark.loop_similarity(network, regions, words, lengths), ours)


@pytest.mark.parametrize("benchmark", ["gsmn"], indirect=True)
def test_gsmn_loop_gives_our_scores(benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "IMAGE_DIM", 12)
    monkeypatch.setattr(benchmark, "VOCABULARY", 50)
    torch.manual_seed(0)
    network = GSMN(50, img_dim=12, word_dim=6, embed_size=64, bi_gru=True, lambda_softmax=20.0).eval()
    batch = benchmark.synthetic(3, 4)
    with torch.no_grad():
        images, captions = network.encode_images(batch), network.encode_captions(batch)
        loop = benchmark.loop_similarity(
            network, images.features, batch.extras["boxes"], captions.features, captions.lengths
        )
        torch.testing.assert_close(loop, network.similarity(images, captions), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("benchmark", ["vsrn"], indirect=True)
def test_vsrn_captions_word_by_word_cost_the_same(benchmark: ModuleType) -> None:
    torch.manual_seed(0)
    captioner = Captioner(30, 8, dim_hidden=8, dim_word=6, dropout=0.0, max_len=9)
    regions, lengths = torch.randn(3, 5, 8), torch.tensor([9, 6, 3])
    captions = torch.randint(4, 30, (3, 9)) * (torch.arange(9) < lengths[:, None])
    original = benchmark.original_captioning(captioner, regions, captions, lengths, None)
    torch.testing.assert_close(original, captioner.loss(regions, captions, lengths))


@pytest.mark.parametrize("benchmark", ["vseinfty"], indirect=True)
def test_direct_pooling_gives_our_vectors(benchmark: ModuleType) -> None:
    torch.manual_seed(0)
    pooling, lengths = GeneralisedPooling(), torch.tensor([6, 4, 4, 1])
    features = torch.randn(4, 6, 5)
    torch.testing.assert_close(benchmark.direct(pooling, features, lengths), pooling(features, lengths))


@pytest.mark.parametrize("benchmark", ["evaluation"], indirect=True)
@pytest.mark.parametrize("procedure", ["original", "ours"])
def test_an_evaluation_is_timed(benchmark: ModuleType, procedure: str) -> None:
    assert benchmark.seconds_of(procedure, 120, 12) > 0


@pytest.mark.parametrize("benchmark", ["checkpoint"], indirect=True)
def test_the_original_evaluation_gives_our_ranks(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(benchmark, "REGIONS", 2)
    monkeypatch.setattr(benchmark, "FEATURES", 8)
    benchmark.make(tmp_path, 20)
    result = tmp_path / "test.json"
    subprocess.run([*benchmark.our_evaluation(tmp_path), "--json", str(result)], check=True)
    metrics = json.loads(result.read_text())
    original = benchmark.original_evaluation(tmp_path)
    assert {name: metrics[name] for name in original} == pytest.approx(original)


@pytest.mark.parametrize("benchmark", ["run"], indirect=True)
def test_the_runner_takes_turns_and_states_the_ratio(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    turns: list[str] = []

    def take(row: object, procedure: str) -> dict[str, float]:
        turns.append(procedure)
        return {"cpu_s": {"original": 3.0, "ours": 0.5}[procedure], "memory_mb": 1500.0}

    monkeypatch.setattr(benchmark, "take", take)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    monkeypatch.setattr(
        "sys.argv", ["run.py", "--only", "HAL", "--rounds", "3", "--json", str(tmp_path / "speed.json")]
    )
    benchmark.main()
    assert turns == ["original", "ours", "ours", "original", "original", "ours"]
    assert json.loads((tmp_path / "speed.json").read_text())["rows"][0]["ratios"] == [6.0, 6.0, 6.0]
    assert "| 0.500 s, 1,500 MB | 3.00 s, 1,500 MB     | 6.0     |" in capsys.readouterr().out


@pytest.mark.parametrize("benchmark", ["run"], indirect=True)
def test_the_runner_refuses_a_busy_machine(benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (1000.0, 0.0, 0.0))
    monkeypatch.setattr("sys.argv", ["run.py", "--only", "HAL"])
    with pytest.raises(InputError, match=r"the load is 1000\.0 on"):
        benchmark.main()


@pytest.mark.parametrize(
    "command", ["cold_start.py nowhere", "graded.py nowhere --against LMH --data nowhere --annotations nowhere"]
)
def test_a_wrong_folder_is_one_sentence(script: Script, command: str) -> None:
    done = script("benchmarks", f"python {command}", status=2)
    assert "nowhere" in done.errors


SEEDS = """run,data,seed,rsum,odd
LMH,a,0,200.0,1.0
LMH,a,1,202.0,
LSEH,a,0,201.0,nan
LSEH,a,1,203.0,1.0
"""


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--against lmh", "--against lmh: expected a row: LMH, LSEH"),
        ("--against LMH --metric none", "--metric none: expected a column of"),
        ("--against LMH --data b", "--data b: expected a data set of"),
        ("--against LMH --metric odd", "odd of LMH, seed 1, is ''; expected a number"),
        ("--against LMH --plot plot.gif", "--plot plot.gif: expected the name of an .svg or .png file"),
        ("--against LMH --plot none/plot.svg", "none is no folder"),
    ],
)
@pytest.mark.parametrize("benchmark", ["paired"], indirect=True)
def test_wrong_rows_and_columns_are_one_sentence(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: str, words: str
) -> None:
    (tmp_path / "seeds.csv").write_text(SEEDS)
    monkeypatch.setattr("sys.argv", ["paired.py", str(tmp_path / "seeds.csv"), *flags.split()])
    with pytest.raises(InputError, match=re.escape(words)):
        benchmark.main()


@pytest.mark.parametrize("benchmark", ["paired"], indirect=True)
@pytest.mark.parametrize(("line", "words"), [("LMH,a,0,9.0,1.0", "is there twice"), ("TAL,a,0", "rsum of TAL, seed 0")])
def test_a_line_too_many_or_too_short_is_refused(benchmark: ModuleType, tmp_path: Path, line: str, words: str) -> None:
    (tmp_path / "seeds.csv").write_text(f"{SEEDS}{line}\n")
    with pytest.raises(InputError, match=words):
        benchmark.read(tmp_path / "seeds.csv", "rsum", None)


@pytest.mark.parametrize("benchmark", ["paired"], indirect=True)
def test_equal_differences_have_an_interval_without_width(benchmark: ModuleType) -> None:
    same = {"LMH": {"0": 1.0, "1": 3.0}, "LSEH": {"0": 1.5, "1": 3.5}}
    assert benchmark.compare(same, "LMH")[0].interval == (0.5, 0.5)
    with pytest.raises(InputError, match="has one seed"):
        benchmark.compare({"LMH": {"0": 1.0}, "LSEH": {"0": 1.0}}, "LMH")


@pytest.mark.parametrize("benchmark", ["cold_start"], indirect=True)
def test_first_steps_are_a_median_and_a_range(benchmark: ModuleType) -> None:
    early, late, never = {50: 9.0, 100: 60.0}, {50: 1.0, 100: 2.0, 150: 70.0}, {50: 1.0, 1150: 49.9}
    assert benchmark.first_steps([late, never, early], 50) == "150 (100 to > 1,150)"
    assert benchmark.first_steps([never, never], 50) == "> 1,150"
    assert benchmark.first_steps([early, early], 50) == "100"
    assert benchmark.first_steps([{300: 1.0}, late], 50) == "> 300 (150 to > 300)"


PLAN = """seeds = [0]
networks = {"VSE++" = "VSEpp_LSEH/train.py"}
objectives = {"LMH" = "--loss lmh"}
"""


@pytest.mark.parametrize("benchmark", ["measuring"], indirect=True)
def test_runs_that_have_not_ended_are_refused(benchmark: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(PLAN)
    with pytest.raises(InputError, match="1 of 1 runs have not ended"):
        benchmark.finished_runs(tmp_path)
    (tmp_path / "demo__vse++__lmh__seed_0").mkdir()
    (tmp_path / "demo__vse++__lmh__seed_0" / "test.json").touch()
    assert [run.row for run in benchmark.finished_runs(tmp_path)] == ["LMH"]


@pytest.mark.parametrize("benchmark", ["measuring"], indirect=True)
def test_runs_on_two_data_sets_are_not_mixed(benchmark: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(f'{PLAN}data = {{"a" = "--data_name a", "b" = "--data_name b"}}\n')
    with pytest.raises(InputError, match="an experiment on a, b; expected one data set"):
        benchmark.finished_runs(tmp_path)
