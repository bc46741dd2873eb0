"""HAL trains as the original code does, with and without memory bank (tests/golden/hal: numbers that it produced)."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from HAL.loss import DEFAULTS, HALOptions
from HAL.model import VSEpp
from tests.parity.golden import GOLDEN, GoldenFile, relative
from vse.data.batches import PairBatch
from vse.evaluation.scoring import evaluating
from vse.losses import build_objective, resolve
from vse.text.captions import read_captions
from vse.text.token_ids import encode
from vse.text.vocabulary import Vocabulary
from vse.training.step import TrainingStep


class Golden(GoldenFile):
    """The published options, and batches of the file's inputs."""

    def __init__(self, name: str) -> None:
        super().__init__("hal", name)
        self.options = SimpleNamespace(**self.settings["opt"])

    def parameters(self, prefix: str = "") -> dict[str, torch.Tensor]:
        return self.renamed({f"{prefix}img_enc.": "image_encoder.", f"{prefix}txt_enc.": "caption_encoder."})

    def batch(self, prefix: str) -> PairBatch:
        tensor = self.under(prefix)
        ids = tensor["caption_ids"]
        return PairBatch(
            images=tensor["images"].double(),
            captions=tensor["captions"].long(),
            lengths=tensor["lengths"].long(),
            image_ids=ids // 5,
            caption_ids=ids,
        )

    def network(self) -> VSEpp:
        o = self.options
        return VSEpp((o.img_dim,), o.vocab_size, o.word_dim, o.embed_size, o.num_layers)

    def train_step_by_step(self, network: VSEpp, loss: torch.nn.Module) -> None:
        """Take the golden steps; loss, gradient norm and final weights are the published ones."""
        optimizer = torch.optim.Adam(network.parameter_groups(self.options.learning_rate))
        for step in range(self.settings["steps"]):
            optimizer.zero_grad()
            result = TrainingStep(network, loss)(self.batch(f"step{step}.in."))
            result.loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(network.parameters(), self.options.grad_clip)
            optimizer.step()
            assert result.loss.item() == pytest.approx(float(self.arrays[f"f64.step{step}.loss"]), rel=1e-8)
            wanted = float(self.arrays[f"f64.step{step}.grad_norm_before_clip"])
            assert norm.item() == pytest.approx(wanted, rel=1e-7)
        final = self.parameters("f64.final.")  # kept in float32
        for key, tensor in network.state_dict().items():
            assert relative(tensor, final[key].numpy()) < 2e-7, key


def test_a_seed_gives_the_published_initial_weights() -> None:
    golden = Golden("init")
    torch.manual_seed(golden.settings["seed"])
    wanted = golden.parameters()
    for key, tensor in golden.network().state_dict().items():
        if torch.__version__.startswith("2.14"):
            assert torch.equal(tensor, wanted[key]), key
        else:  # another version may draw other numbers from the same seed
            assert tensor.abs().max() == pytest.approx(wanted[key].abs().max().item(), rel=0.1)


def test_local_weighting_trains_to_the_published_weights() -> None:
    golden = Golden("train")
    network = golden.network()
    network.load_state_dict(golden.parameters("init."))
    golden.train_step_by_step(network.double(), build_objective(resolve(HALOptions(), DEFAULTS)))


def test_global_weighting_trains_to_the_published_weights() -> None:
    golden = Golden("train_mb")
    network = golden.network()
    network.load_state_dict(golden.parameters("init."))
    network.double()
    loss = build_objective(resolve(HALOptions(memory_bank=True, mb_k=golden.options.mb_k), DEFAULTS))
    kept = np.nonzero(golden.arrays["bank.batch_kept"])[0]
    batches = [golden.batch(f"loader{number}.in.") for number in kept]
    with evaluating(network):
        images = torch.cat([network.encode_images(batch).vectors for batch in batches])
        captions = torch.cat([network.encode_captions(batch).vectors for batch in batches])
    assert relative(images, golden.arrays["bank.img"]) < 1e-6
    assert relative(captions, golden.arrays["bank.cap"]) < 1e-6
    caption_ids = torch.cat([batch.caption_ids for batch in batches])
    np.testing.assert_array_equal(caption_ids, golden.arrays["bank.ind"])
    loss.bank.remember(images, captions, caption_ids // 5, caption_ids)
    golden.train_step_by_step(network, loss)


def test_original_checkpoints_read_the_notation_of_bytes() -> None:
    folder = GOLDEN / "hal" / "e2e"
    captions_file = folder / "f30k_precomp" / "test_caps.txt"
    vocabulary = Vocabulary.load(folder / "vocab" / "f30k_precomp_vocab.pkl", "bytes-repr")
    expected = np.load(folder / "expected.npz", allow_pickle=False)
    captions = read_captions(captions_file)
    ids = encode(captions, vocabulary)
    np.testing.assert_array_equal(ids.values, expected["token_ids_flat"])
    np.testing.assert_array_equal(ids.lengths, expected["token_lengths"])
    clean = encode(captions, Vocabulary.load(folder / "vocab" / "f30k_precomp_vocab.pkl"))
    assert len(clean) == len(captions)
    assert not np.array_equal(clean.lengths, ids.lengths)
