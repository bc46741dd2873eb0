"""SGRAF's command lines of the contract, verbatim, on small data sets; ensemble, reranking, pictures of attention."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch._dynamo
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import SGRAF_LSEH.evaluation
import SGRAF_LSEH.explanation
import SGRAF_LSEH.network
import SGRAF_LSEH.train
import SGRAF_LSEH.visualize
import vse.descriptions.svd
from SGRAF_LSEH.model import SGRAF
from vse.cli import parse
from vse.data.batches import PairBatch
from vse.evaluation.scoring import best_candidates, candidate_recall
from vse.losses import build_objective, resolve

# What forked scripts inherit, instead of importing it again each.
INHERITED = (torch._dynamo, vse.descriptions.svd, SGRAF_LSEH.evaluation, SGRAF_LSEH.visualize)

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "sgraf"
SMALL = " --embed_size 16 --word_dim 8 --sim_dim 8 --batch_size 40"
TINY = SMALL + " --num_epochs 1"


@pytest.fixture
def root(tmp_path: Path, make_data_set) -> Path:
    for name in ("f30k", "coco"):
        make_data_set(tmp_path / "data" / f"{name}_precomp")
    make_data_set(tmp_path / "data" / "iaprtc12_precomp", captions=1, images=(40, 8, 8))
    return tmp_path / "data"


def options_of(folder: Path) -> dict:
    return json.loads((folder / "options.json").read_text())


@pytest.mark.parametrize(
    ("command", "run", "expected"),
    [
        (
            "python train.py --data_name f30k_precomp --num_epochs 40 --lr_update 30 --module_name SGR",
            "runs/f30k_SGR/checkpoint",
            {"lr_update": 30, "module_name": "SGR"},
        ),
        (
            "python train.py --data_name f30k_precomp --num_epochs 30 --lr_update 20 --module_name SAF",
            "runs/f30k_SAF/checkpoint",
            {"lr_update": 20, "module_name": "SAF"},
        ),
        (
            "python train.py --data_name coco_precomp --num_epochs 20 --lr_update 10 --module_name SGR",
            "runs/coco_SGR/checkpoint",
            {"lr_update": 10, "module_name": "SGR"},
        ),
        (
            "python train.py --data_name coco_precomp --num_epochs 20 --lr_update 10 --module_name SAF",
            "runs/coco_SAF/checkpoint",
            {"lr_update": 10, "module_name": "SAF"},
        ),
        (
            "python IAPRTC12/trainIAPRTC12.py --data_name IAPRTC_precomp --module_name SGR",
            "runs/iaprtc12_SGR/checkpoint",
            {"lr_update": 20, "module_name": "SGR"},
        ),
        (
            "python IAPRTC12/trainIAPRTC12.py --data_name IAPRTC_precomp --module_name SAF",
            "runs/iaprtc12_SAF/checkpoint",
            {"lr_update": 20, "module_name": "SAF"},
        ),
    ],
)
def test_training_commands(script, root: Path, command: str, run: str, expected: dict) -> None:
    done = script("SGRAF_LSEH", f"{command} --data_path {root}{TINY}")
    folder = done.folder / run
    assert {"options.json", "metrics.jsonl", "checkpoint.pth.tar", "model_best.pth.tar", "vocab.json"} <= {
        path.name for path in folder.iterdir()
    }
    published = {"learning_rate": 0.0004, "max_violation": True, "bi_gru": True, "sgr_step": 3, "val_step": 1000}
    assert {**published, "loss": "lseh", "grad_clip": 2.0, **expected}.items() <= options_of(folder).items()


def test_defaults_are_those_of_the_lseh_variant() -> None:
    train = SGRAF_LSEH.train
    default = parse(train.Options, arguments=["--data_name", "f30k_precomp"])
    assert (default.data.batch_size, default.training.num_epochs) == (84, 40)
    assert (default.training.lr_update, default.training.learning_rate) == (20, 0.0004)
    assert (default.network.embed_size, default.network.sim_dim) == (1024, 256)
    assert (default.network.word_dim, default.network.num_layers) == (300, 1)
    assert train.run_folder(default) == "runs/f30k_SGR/checkpoint"
    objective = build_objective(resolve(default.objective, train.loss.DEFAULTS))
    assert (objective.margin, objective.semantic_weight, objective.max_violation) == (0.185, 0.025, True)
    given = parse(train.Options, arguments=["--data_name", "f30k", "--max_violation", "--bi_gru"])
    assert given.objective.max_violation and given.network.bi_gru  # noqa: PT018
    off = parse(train.Options, arguments=["--data_name", "f30k", "--no_max_violation", "--no_bi_gru"])
    assert not off.objective.max_violation and not off.network.bi_gru  # noqa: PT018
    assert not build_objective(resolve(off.objective, train.loss.DEFAULTS)).max_violation
    assert SGRAF_LSEH.network.build(off.network, (36, 20), range(30)).caption_encoder.rnn.bidirectional is False


def test_unedited_scripts_evaluate_alone_together_reranked(script, tmp_path: Path, make_data_set) -> None:
    # The demo's place is taken by a data set of that name, and its sizes by small ones.
    make_data_set(tmp_path / "data" / "demo_precomp", images=(24, 8, 10))
    make_data_set(tmp_path / "data" / "iaprtc12_precomp", captions=1, images=(40, 8, 8))
    training = f"python train.py --data_path {tmp_path}/data --data_name demo{TINY} --module_name"
    script("SGRAF_LSEH", f"{training} SAF --log_step 1")
    script("SGRAF_LSEH", f"{training} SGR")
    done = script("SGRAF_LSEH", "python evaluation.py --save_similarities a.npy --json a.json")
    assert "runs/demo_SAF/checkpoint/model_best.pth.tar on demo_precomp test (10 images, 50 captions)" in done.output

    events = EventAccumulator(str(done.folder / "runs/demo_SAF/checkpoint")).Reload()
    published = {"Loss", "LeS", "LeIm", "Eit", "lr", "r1", "r5i", "medr", "r_sum"}
    assert {f"published/{tag}" for tag in published} <= set(events.Tags()["scalars"])

    sgr = "runs/demo_SGR/checkpoint/model_best.pth.tar"
    script("SGRAF_LSEH", f"python evaluation.py --model_path {sgr} --save_similarities b.npy")
    done = script(
        "SGRAF_LSEH", f"python evaluation.py --ensemble {sgr} --save_similarities c.npy --fold5 --json c.json"
    )
    assert "mean of runs/demo_SAF/" in done.output
    a, b, c = (np.load(done.folder / f"{name}.npy") for name in "abc")
    assert not np.allclose(a, b, atol=1e-4)
    np.testing.assert_allclose(c, (a + b) / 2, atol=1e-6)
    assert len(json.loads((done.folder / "c.json").read_text())["fold5"]["folds"]) == 5

    # A block of one pair and a network that cuts at every word make the same scores.
    script("SGRAF_LSEH", "python evaluation.py --memory_budget 0.00002 --save_similarities d.npy")
    np.testing.assert_allclose(np.load(done.folder / "d.npy"), a, atol=1e-6)

    done = script(
        "SGRAF_LSEH", f"python evaluation.py --ensemble {sgr} --rerank 2 --json r.json --save_similarities r.npy"
    )
    reranked = json.loads((done.folder / "r.json").read_text())
    r, summary = np.load(done.folder / "r.npy"), reranked["rerank"]
    scored = r > r.min(initial=1, where=r > 0) - 0.5
    assert summary["scored"] == pytest.approx(100 * scored.mean(), abs=1e-3)
    assert 0 < scored.mean() < 1
    assert (scored.sum(0) >= 2).all() and (scored.sum(1) >= 2).all()  # noqa: PT018
    np.testing.assert_allclose(r[scored], c[scored], atol=1e-6)
    assert "--rerank 2: " in done.output
    assert reranked["r10"] <= 100
    assert reranked["r1"] <= summary["recall"]["image_to_text"] + 1e-6
    script("SGRAF_LSEH", "python evaluation.py --rerank 50 --save_similarities all.npy")
    np.testing.assert_allclose(np.load(done.folder / "all.npy"), a, atol=1e-6)
    assert (
        "--rerank 0: expected a whole number, at least 1"
        in script("SGRAF_LSEH", "python evaluation.py --rerank 0", status=2).errors
    )

    script("SGRAF_LSEH", f"python IAPRTC12/trainIAPRTC12.py --data_path {tmp_path}/data{TINY}")
    done = script("SGRAF_LSEH", "python IAPRTC12/evaluationIAPRTC12.py")
    assert "iaprtc12_precomp test (8 images, 8 captions)" in done.output


def test_candidates_are_the_best_of_each_row_and_each_column() -> None:
    cheap = torch.rand(5, 9, generator=torch.Generator().manual_seed(1))
    chosen = best_candidates(cheap, 2)
    for i in range(5):
        for j in range(9):
            wanted = (cheap[i] > cheap[i, j]).sum() < 2 or (cheap[:, j] > cheap[i, j]).sum() < 2
            assert bool(chosen[i, j]) == bool(wanted)
    assert best_candidates(cheap, 100).all()
    owner = np.array([0, 0, 1, 1, 3])
    chosen = torch.zeros(4, 5, dtype=torch.bool)
    chosen[0, 1] = chosen[1, 0] = chosen[3, 4] = True
    recall = candidate_recall(chosen, owner)
    assert recall == pytest.approx({"image_to_text": 100 * 2 / 3, "text_to_image": 40.0})


@pytest.mark.parametrize("module", ["SGR", "SAF"])
def test_attention_is_drawn_on_the_picture_or_on_boxes(script, tmp_path: Path, make_data_set, module: str) -> None:
    folder = make_data_set(tmp_path / "data" / "small_precomp")
    script("SGRAF_LSEH", f"python train.py --data_path {tmp_path}/data --data_name small --module_name {module}{TINY}")
    model = f"--model_path runs/small_{module}/checkpoint/model_best.pth.tar"
    done = script("SGRAF_LSEH", f"python visualize.py {model} --image 3")
    assert "using a regular grid as the boxes" in done.output
    assert "caption: 15, of this image" in done.output
    with Image.open(done.folder / f"runs/small_{module}/checkpoint/attention/image3_caption15.png") as image:
        bare = image.size

    (folder / "images").mkdir()
    names = [f"{number}.png" for number in range(8)]
    for name in names:
        Image.new("RGB", (200, 100), "green").save(folder / "images" / name)
    (folder / "test_names.txt").write_text("\n".join(names) + "\n")
    boxes = np.tile(np.array([[0, 0, 200, 100], [0, 0, 100, 50], [50, 20, 90, 100], [10, 10, 20, 20]], "f4"), (8, 1, 1))
    np.save(folder / "test_ims_bbx.npy", boxes)
    np.save(folder / "test_ims_size.npy", np.tile(np.array([[200, 100]], "f4"), (8, 1)))
    done = script("SGRAF_LSEH", f'python visualize.py {model} --image 3 --text "A red dog" --out drawn')
    with Image.open(done.folder / "drawn" / "image3_text.png") as image:
        assert image.size != bare
        image.load()
    page = (done.folder / "drawn" / "image3_text.html").read_text()
    assert page.count("<figure>") == 1 + 5  # the picture, and a tile for each of 3 words and 2 markers
    assert f"<dt>{'gate' if module == 'SAF' else 'step'}</dt>" in page
    assert "<dt>global</dt>" in page
    rows = re.findall(r"<tr><th>(.*?)</th>(.*?)</tr>", page)[1:]
    assert [name for name, _ in rows] == (["gate"] if module == "SAF" else ["step 1", "step 2", "step 3"])
    for _, cells in rows:
        shares = [float(share) for share in re.findall(r">([\d.]+)%<", cells)]
        assert len(shares) == 6
        assert sum(shares) == pytest.approx(100, abs=0.4)

    for flags, words in (
        ("--image 8", "has images 0 to 7"),
        ("--caption 40", "has captions 0 to 39"),
        ("--caption 1 --text dog", "give one of them"),
    ):
        assert words in script("SGRAF_LSEH", f"python visualize.py {model} {flags}", status=2).errors


def test_attention_and_weights_are_those_the_score_is_made_of() -> None:
    network = SGRAF("SAF", 30, num_regions=5, img_dim=6, word_dim=4, embed_size=8, sim_dim=6).eval()
    generator = torch.Generator().manual_seed(3)
    batch = PairBatch(
        images=torch.randn(1, 5, 6, generator=generator),
        captions=torch.randint(4, 30, (1, 4), generator=generator),
        lengths=torch.tensor([4]),
        image_ids=torch.tensor([0]),
        caption_ids=torch.tensor([0]),
    )
    with torch.no_grad():
        images, captions = network.encode_images(batch), network.encode_captions(batch)
        seen = SGRAF_LSEH.explanation.explain(network, images, captions)
        # Words that see the weighted regions, gated: the score again.
        words, regions = captions.features[0], images.features[0]
        context = torch.from_numpy(seen.attention) @ regions
        context = context / context.norm(dim=-1, keepdim=True)
        encoder = network.similarity_encoder
        nodes = torch.cat(
            [
                encoder.sim_tranglo_w((images.vectors - captions.vectors) ** 2),
                encoder.sim_tranloc_w((context - words) ** 2),
            ]
        )
        nodes = nodes / nodes.norm(dim=-1, keepdim=True)
        vector = torch.from_numpy(seen.weights["gate"]) @ nodes
        score = torch.sigmoid(encoder.sim_eval_w(vector / vector.norm()))
    assert seen.score == pytest.approx(score.item(), abs=1e-6)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--loss hal --memory_bank", "--memory_bank remembers one embedding"),
        ("--loss lmh --semantic_weight 0.1", "does nothing for --loss lmh"),
        ("--data_name global", "SGRAF needs features of regions"),
    ],
)
def test_senseless_combinations_are_refused_at_the_start(
    script, tmp_path: Path, make_data_set, flags: str, words: str
) -> None:
    make_data_set(tmp_path / "data" / "global_precomp", regions=0)
    make_data_set(tmp_path / "data" / "f30k_precomp")
    done = script("SGRAF_LSEH", f"python train.py --data_path {tmp_path}/data --data_name f30k{TINY} {flags}", status=2)
    assert len(done.errors.splitlines()) == 1
    assert words in done.errors
    assert "step" not in done.output


@pytest.mark.parametrize("module", ["SGR", "SAF"])
def test_a_published_checkpoint_is_evaluated(script, tmp_path: Path, module: str) -> None:
    checkpoint = GOLDEN / f"ckpt_{module}.pth.tar"
    options = vars(torch.load(checkpoint, weights_only=False)["opt"])
    folder = tmp_path / "data" / "f30k_precomp"
    folder.mkdir(parents=True)
    # The golden captions are ids; words with these ids make them captions again.
    words = ["<pad>", "<start>", "<end>", "<unk>", *(f"word{number}" for number in range(4, options["vocab_size"]))]
    vocabulary = {"word2idx": {word: k for k, word in enumerate(words)}, "idx": len(words)}
    vocabulary["idx2word"] = {str(k): word for k, word in enumerate(words)}
    (tmp_path / "vocab").mkdir()
    (tmp_path / "vocab" / f"{options['data_name']}_vocab.json").write_text(json.dumps(vocabulary))
    with np.load(GOLDEN / f"ckpt_{module}_io.npz", allow_pickle=False) as golden:
        np.save(folder / "test_ims.npy", golden["in/regions"].astype(np.float32))
        rows = zip(golden["in/captions"], golden["in/lengths"], strict=True)
        lines = [" ".join(words[k] if k > 3 else "unheard" for k in ids[1 : length - 1]) for ids, length in rows]
        (folder / "test_caps.txt").write_text("\n".join(lines) + "\n")
        wanted = golden["expect/sims"]
    flags = f"--data_path {tmp_path}/data --data_name f30k --vocab_path {tmp_path}/vocab --save_similarities s.npy"
    done = script("SGRAF_LSEH", f"python evaluation.py --model_path {checkpoint} {flags}")
    np.testing.assert_allclose(np.load(done.folder / "s.npy"), wanted, atol=2e-6)
