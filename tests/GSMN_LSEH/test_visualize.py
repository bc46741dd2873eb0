"""What the attention page says of GSMN."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from GSMN_LSEH.explanation import explain
from GSMN_LSEH.model import GSMN
from GSMN_LSEH.visualize import main
from tests.tools.browser import look
from tests.trained import write_checkpoint
from vse.data.batches import PairBatch
from vse.errors import InputError
from vse.tools.attention_options import AttentionOptions as Options


@pytest.mark.parametrize("graph", ["reference", "propagate"])
@pytest.mark.parametrize("regions", [None, 3])
def test_parts_of_words_and_regions_sum_to_the_score(graph: str, regions: int | None) -> None:
    torch.manual_seed(0)
    network = GSMN(30, 6, 4, 8, num_block=4, hid_dim=8, graph=graph).eval()
    batch = PairBatch(
        images=torch.randn(1, 5, 6),
        captions=torch.randint(4, 30, (1, 4)),
        lengths=torch.tensor([4]),
        image_ids=torch.tensor([0]),
        caption_ids=torch.tensor([0]),
        region_lengths=None if regions is None else torch.tensor([regions]),
        extras={"boxes": torch.rand(1, 5, 4)},
    )
    with torch.no_grad():
        seen = explain(network, network.encode_images(batch), network.encode_captions(batch))
    assert seen.weights["part"].sum() == pytest.approx(seen.score, abs=1e-6)
    assert seen.weights["part"].shape == (1 + 4,)
    assert seen.attention.shape == (4, regions or 5)
    np.testing.assert_allclose(seen.attention.sum(1), 1, atol=1e-6)


@pytest.fixture
def model(tmp_path: Path, make_data_set) -> Path:
    folder = make_data_set(tmp_path / "small_precomp")
    shape = np.load(folder / "test_ims.npy").shape[1:]
    return write_checkpoint(tmp_path / "run" / "model_best.pth.tar", "GSMN", shape=shape)


def test_a_page_is_written_into_the_run_folder(model: Path, tmp_path: Path) -> None:
    data = tmp_path / "small_precomp"
    before = sorted(data.iterdir())
    main(Options(str(model), data_path=str(tmp_path), data_name="small", image=3))
    page = model.parent / "attention" / "image3_caption15.html"
    assert page.with_suffix(".png").is_file()
    text = page.read_text(encoding="utf-8")
    for word in ("part", "regions", "attention", "region", "score"):
        assert f"<dt>{word}</dt>" in text
    assert "The picture was not found; name its folder with --pictures." in text
    assert sorted(data.iterdir()) == before
    content, pictures, broken, _ = look(page, 400)
    assert content <= 400
    assert pictures
    assert broken == 0


def test_a_caption_of_ones_own_is_escaped(model: Path, tmp_path: Path) -> None:
    main(Options(str(model), data_path=str(tmp_path), data_name="small", text="a <b>dog</b>", out=str(tmp_path / "o")))
    text = (tmp_path / "o" / "image0_text.html").read_text(encoding="utf-8")
    assert "a &lt;b&gt;dog&lt;/b&gt;" in text
    assert "<dd>of your own</dd>" in text


def test_an_image_that_is_not_there_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--image 8: small_precomp test has images 0 to 7"):
        main(Options(str(model), data_path=str(tmp_path), data_name="small", image=8))
