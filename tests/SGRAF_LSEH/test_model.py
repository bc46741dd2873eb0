"""SGRAF's network: blocks, pairs and padding change nothing, BatchNorm is per caption, parameters are the published."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from SGRAF_LSEH.model import SGRAF, TextualRepresentations, VisualRepresentations
from vse.data.batches import PairBatch
from vse.errors import InputError
from vse.evaluation.scoring import score_matrix
from vse.losses import MaxHinge, Pairs, SumHinge

IMAGES, CAPTIONS, REGIONS = 7, 9, 5
LENGTHS = torch.tensor([3, 8, 1, 5, 5, 2, 8, 4, 6])


def network(module: str, memory_budget: int = 2**28) -> SGRAF:
    torch.manual_seed(1)
    model = SGRAF(
        module, 30, num_regions=REGIONS, img_dim=11, word_dim=6, embed_size=16, sim_dim=8, memory_budget=memory_budget
    )
    with torch.no_grad():  # away from the start, where all scores are alike
        for parameter in model.similarity_encoder.parameters():
            if parameter.ndim == 2:
                parameter.mul_(1.8)
    return model.eval()


def batch() -> PairBatch:
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(4, 30, (CAPTIONS, int(LENGTHS.max())), generator=generator)
    ids *= torch.arange(ids.shape[1]) < LENGTHS[:, None]
    images = torch.randn(IMAGES, REGIONS, 11, generator=generator)
    return PairBatch(
        images=images, captions=ids, lengths=LENGTHS, image_ids=torch.arange(IMAGES), caption_ids=torch.arange(CAPTIONS)
    )


def encoded(model: SGRAF) -> tuple[VisualRepresentations, TextualRepresentations]:
    given = batch()
    return model.encode_images(given), model.encode_captions(given)


@pytest.mark.parametrize("module", ["SGR", "SAF"])
def test_a_caption_scores_in_a_block_as_it_does_alone(module: str) -> None:
    model = network(module)
    with torch.no_grad():
        images, captions = encoded(model)
        scores = model.similarity(images, captions)
        assert scores.shape == (IMAGES, CAPTIONS)
        assert scores.std() > 0.01
        for k, length in enumerate(LENGTHS.tolist()):
            alone = captions.rows(slice(k, k + 1)).cut(length)
            for i in range(IMAGES):
                score = model.similarity(images.rows(slice(i, i + 1)), alone)
                assert score.item() == pytest.approx(scores[i, k].item(), abs=1e-6)


@pytest.mark.parametrize("module", ["SGR", "SAF"])
@pytest.mark.parametrize("gradient", [False, True])
def test_scores_do_not_depend_on_the_memory_budget(module: str, gradient: bool) -> None:
    with torch.set_grad_enabled(gradient):
        scores = [
            model.similarity(*encoded(model)) for model in (network(module, budget) for budget in (1, 2**13, 2**30))
        ]
    for other in scores[1:]:
        torch.testing.assert_close(other, scores[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("module", ["SGR", "SAF"])
def test_more_padding_and_another_order_change_nothing(module: str) -> None:
    model = network(module)
    with torch.no_grad():
        images, captions = encoded(model)
        order = torch.randperm(CAPTIONS)
        padded = replace(captions, features=nn.functional.pad(captions.features, (0, 0, 0, 6)))
        scores = model.similarity(images, padded.rows(order))
        torch.testing.assert_close(scores, model.similarity(images, captions)[:, order], rtol=0, atol=1e-6)


@pytest.mark.parametrize("module", ["SGR", "SAF"])
def test_pairs_score_as_in_the_matrix(module: str) -> None:
    model = network(module, 2**13)
    with torch.no_grad():
        images, captions = encoded(model)
        i, k = torch.randint(IMAGES, (40,)), torch.randint(CAPTIONS, (40,))
        pairs = model.similarity_of_pairs(images, captions, i, k)
        torch.testing.assert_close(pairs, model.similarity(images, captions)[i, k], rtol=0, atol=1e-6)


@pytest.mark.parametrize("module", ["SGR", "SAF"])
def test_a_split_scored_in_blocks_is_the_matrix(module: str) -> None:
    model = network(module)
    with torch.no_grad():
        images, captions = encoded(model)
        scores = model.similarity(images, captions)
    torch.testing.assert_close(score_matrix(model, images, captions), scores, rtol=0, atol=1e-6)
    model.similarity_encoder.memory_budget = 2**13
    torch.testing.assert_close(score_matrix(model, images, captions, 2**13), scores, rtol=0, atol=1e-6)


def test_autocast_leaves_scores_in_float32() -> None:
    model = network("SGR")
    images, captions = encoded(model)
    with torch.autocast("cpu", torch.bfloat16):
        scores = model.similarity(images, captions)
    assert torch.equal(scores, model.similarity(images, captions))


@pytest.mark.parametrize("module", ["SGR", "SAF"])
def test_the_dense_gradient_does_not_depend_on_the_blocks(module: str) -> None:
    gradients = []
    for budget in (1, 2**30):
        model = network(module, budget).double().train()
        for part in model.modules():
            if isinstance(part, nn.Dropout):
                part.p = 0.0
        given = batch()
        given.images = given.images.double()
        images, captions = model.encode_images(given), model.encode_captions(given).rows(slice(IMAGES))
        scores = model.similarity(images, captions)
        SumHinge()(scores, Pairs(torch.arange(IMAGES), torch.arange(IMAGES))).backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    for name, wanted in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], wanted, rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.parametrize("budget", [1, 2**30])
def test_saf_normalises_and_updates_once_per_caption(budget: int) -> None:
    model = network("SAF", budget).train()
    filtration = model.similarity_encoder.SAF_module
    with torch.no_grad():
        images, captions = encoded(model)
        scores = model.similarity(images, captions)

        # The published way: one BatchNorm call per caption, in the order of the columns.
        published = nn.BatchNorm1d(1)
        published.load_state_dict(network("SAF").similarity_encoder.SAF_module.bn.state_dict())
        seen: list[Tensor] = []
        hook = filtration.attn_sim_w.register_forward_hook(lambda _, __, logits: seen.append(logits))
        for k, length in enumerate(LENGTHS.tolist()):
            alone = captions.rows(slice(k, k + 1)).cut(length)
            column = model.similarity(images, alone)
            torch.testing.assert_close(column, scores[:, k : k + 1], rtol=0, atol=1e-6)
            logits = torch.cat(seen).squeeze(-1)  # [n, 1, N]
            seen.clear()
            published(logits)
        hook.remove()

        fresh = network("SAF", budget).train()
        fresh.similarity(images, captions)
    ours = fresh.similarity_encoder.SAF_module.bn
    torch.testing.assert_close(ours.running_mean, published.running_mean)
    torch.testing.assert_close(ours.running_var, published.running_var)
    assert ours.num_batches_tracked == published.num_batches_tracked == CAPTIONS
    # One call per caption or one call for all: the same.
    twice = filtration.bn
    assert twice.num_batches_tracked == 2 * CAPTIONS


def test_saf_cannot_score_single_pairs_in_training() -> None:
    model = network("SAF").train()
    images, captions = encoded(model)
    with pytest.raises(RuntimeError, match="over all images"):
        model.similarity_of_pairs(images, captions, torch.tensor([0]), torch.tensor([1]))


def test_dropout_is_drawn_in_the_encodings_and_nowhere_else() -> None:
    model = network("SGR").train()
    images, captions = encoded(model)
    again_images, again_captions = encoded(model)
    assert not torch.equal(images.vectors, again_images.vectors)
    assert not torch.equal(captions.vectors, again_captions.vectors)
    assert not torch.equal(captions.features, again_captions.features)
    state = torch.get_rng_state()
    first, second = model.similarity(images, captions), model.similarity(images, captions)
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)


def test_parameters_without_influence_get_a_zero_gradient() -> None:
    model = network("SGR").double()
    given = batch()
    given.images = given.images.double()
    images, captions = model.encode_images(given), model.encode_captions(given).rows(slice(IMAGES))
    pairs = Pairs(torch.arange(IMAGES), torch.arange(IMAGES))
    MaxHinge(1.0)(model.similarity(images, captions), pairs).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        if "graph_key_w.bias" in name or "embedding_common.0.bias" in name:
            assert parameter.grad.abs().max() < 1e-14, name
        else:
            assert parameter.grad.any(), name


def test_an_empty_region_leaves_gradients_finite() -> None:
    for module in ("SGR", "SAF"):
        model = network(module).train()
        nn.init.zeros_(model.image_encoder.fc.bias)
        given = batch()
        given.images[0, 2] = 0
        model.similarity(model.encode_images(given), model.encode_captions(given)).sum().backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


def test_parameters_carry_the_published_names() -> None:
    linear = {
        "SGR": [f"SGR_module.{t}.{name}" for t in range(3) for name in ("graph_query_w", "graph_key_w", "sim_graph_w")],
        "SAF": ["SAF_module.attn_sim_w"],
    }
    norms = {"SGR": [], "SAF": ["SAF_module.bn"]}
    for module in ("SGR", "SAF"):
        wanted = {"image_encoder.fc.weight", "image_encoder.fc.bias", "caption_encoder.embed.weight"}
        wanted |= {
            f"caption_encoder.rnn.{kind}_{way}_l0{direction}"
            for kind in ("weight", "bias")
            for way in ("ih", "hh")
            for direction in ("", "_reverse")
        }
        layers = [f"{side}_global_w.embedding_{part}.0" for side in "vt" for part in ("local", "global", "common")]
        layers += ["sim_tranloc_w", "sim_tranglo_w", "sim_eval_w", *linear[module]]
        wanted |= {f"similarity_encoder.{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}
        wanted |= {
            f"similarity_encoder.{norm}.{kind}"
            for norm in ("v_global_w.embedding_local.1", "v_global_w.embedding_global.1", *norms[module])
            for kind in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        }
        assert set(network(module).state_dict()) == wanted


def test_initial_weights_have_the_published_ranges() -> None:
    torch.manual_seed(0)
    model = SGRAF("SAF", 50, num_regions=4, img_dim=60, word_dim=10, embed_size=40, sim_dim=20)
    for name, parameter in model.named_parameters():
        if name.startswith("caption_encoder"):
            bound = 0.1 if "embed" in name else 1 / math.sqrt(40)
            assert 0.9 * bound < parameter.abs().max() <= bound, name
        elif parameter.ndim == 2:
            bound = math.sqrt(6 / sum(parameter.shape))
            assert 0.8 * bound < parameter.abs().max() <= bound, name
        else:
            normalisation = ".bn." in name or ".1." in name
            wanted = 1.0 if normalisation and name.endswith("weight") else 0.0
            assert bool((parameter == wanted).all()), name


def test_the_optimizer_gets_parameters_in_the_original_order() -> None:
    model = network("SGR")
    (group,) = model.parameter_groups(1e-3)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    parts = [names[id(parameter)].split(".")[0] for parameter in group["params"]]
    assert len(parts) == len(names)
    assert list(dict.fromkeys(parts)) == ["caption_encoder", "image_encoder", "similarity_encoder"]


def test_another_number_of_regions_is_refused_in_one_sentence() -> None:
    given = batch()
    assert given.images is not None
    given.images = given.images[:, :3]
    with pytest.raises(InputError, match="expected 5 regions per image"):
        network("SGR").encode_images(given)


def test_an_unknown_module_is_refused() -> None:
    with pytest.raises(InputError, match="expected SGR or SAF"):
        SGRAF("AVE", 30)
