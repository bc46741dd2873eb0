"""The similarity vectors: equal to their definition, right gradients, nothing word-sized kept for the backward pass."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from SGRAF_LSEH.nodes import similarity_nodes
from vse.nn.attention import word_mask

IMAGES, REGIONS, CAPTIONS, LENGTH, SIZE, SIM = 4, 5, 3, 4, 7, 6
LENGTHS = torch.tensor([4, 2, 3])


def inputs(shared: bool = True) -> list[Tensor]:
    """Regions, image vectors, words (0 at padding), caption vectors; captions shared by the images or one for each."""
    generator = torch.Generator().manual_seed(4)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    captions = (CAPTIONS,) if shared else (IMAGES, 1)
    lengths = LENGTHS if shared else torch.tensor([[4], [1], [3], [2]])
    words = normal(*captions, LENGTH, SIZE) * word_mask(lengths, LENGTH, lengths.device)[..., None]
    return [normal(IMAGES, REGIONS, SIZE), normal(IMAGES, SIZE), words, normal(*captions, SIZE)]


def maps() -> tuple[nn.Linear, nn.Linear]:
    torch.manual_seed(6)
    return nn.Linear(SIZE, SIM).double(), nn.Linear(SIZE, SIM).double()


def nodes(regions: Tensor, image_vectors: Tensor, words: Tensor, caption_vectors: Tensor, *, rows: int = 9) -> Tensor:
    gram = regions @ regions.mT
    workspace = regions.new_empty(max(rows, words.shape[-3] * words.shape[-2]), SIZE)
    return similarity_nodes(regions, gram, image_vectors, words, caption_vectors, *maps(), workspace)


def normalised(x: Tensor, dim: int = -1) -> Tensor:
    return x / (x.square().sum(dim, keepdim=True).sqrt() + 1e-8)


def definition(image: Tensor, image_vector: Tensor, caption: Tensor, caption_vector: Tensor) -> Tensor:
    """One image, the words of one caption, without padding -> [1 + L, S]; equations 3 to 6."""
    local, overall = maps()
    products = image @ caption.T
    attention = normalised(torch.where(products > 0, products, 0.1 * products), dim=1)
    context = normalised((9.0 * attention).softmax(dim=0).T @ image)
    vectors = [overall((image_vector - caption_vector) ** 2)[None], local((context - caption) ** 2)]
    return normalised(torch.cat(vectors))


@pytest.mark.parametrize("rows", [1, 12, 1000])
def test_blocks_equal_the_definition_pair_by_pair(rows: int) -> None:
    regions, image_vectors, words, caption_vectors = inputs()
    block = nodes(regions, image_vectors, words, caption_vectors, rows=rows)
    assert block.shape == (IMAGES, CAPTIONS, 1 + LENGTH, SIM)
    for i in range(IMAGES):
        for c, length in enumerate(LENGTHS.tolist()):
            wanted = definition(regions[i], image_vectors[i], words[c, :length], caption_vectors[c])
            torch.testing.assert_close(block[i, c, : 1 + length], wanted)


def test_pairs_equal_the_definition() -> None:
    regions, image_vectors, words, caption_vectors = inputs(shared=False)
    block = nodes(regions, image_vectors, words, caption_vectors)
    for i in range(IMAGES):
        length = int(words[i, 0].any(-1).sum())
        wanted = definition(regions[i], image_vectors[i], words[i, 0, :length], caption_vectors[i, 0])
        torch.testing.assert_close(block[i, 0, : 1 + length], wanted)


@pytest.mark.parametrize("shared", [True, False])
def test_gradients_are_those_of_finite_differences(shared: bool) -> None:
    given = inputs(shared)
    mask = given[2].any(-1)

    def scored(regions: Tensor, image_vectors: Tensor, words: Tensor, caption_vectors: Tensor) -> Tensor:
        words = words * mask[..., None]
        result = nodes(regions, image_vectors, words, caption_vectors)
        return torch.cat([result[..., :1, :], result[..., 1:, :] * mask[..., None]], dim=-2)

    assert torch.autograd.gradcheck(scored, [part.requires_grad_() for part in given], fast_mode=True)


def test_gradients_of_the_maps_are_those_of_finite_differences() -> None:
    regions, image_vectors, words, caption_vectors = inputs()
    gram, workspace = regions @ regions.mT, regions.new_empty(12, SIZE)

    def mapped(*weights: Tensor) -> Tensor:
        local, overall = nn.Module(), nn.Module()
        (local.weight, local.bias), (overall.weight, overall.bias) = weights[:2], weights[2:]
        return similarity_nodes(regions, gram, image_vectors, words, caption_vectors, local, overall, workspace)

    weights = [p.detach().requires_grad_() for module in maps() for p in module.parameters()]
    assert torch.autograd.gradcheck(mapped, weights, fast_mode=True)


def test_gradients_do_not_depend_on_the_blocks() -> None:
    gradients = []
    for rows in (1, 24, 1000):
        given = [part.requires_grad_() for part in inputs()]
        gradients.append(torch.autograd.grad(nodes(*given, rows=rows).sin().sum(), given))
    for other in gradients[1:]:
        for ours, wanted in zip(other, gradients[0], strict=True):
            torch.testing.assert_close(ours, wanted)


def test_nothing_word_sized_is_kept_for_the_backward_pass() -> None:
    regions, image_vectors, words, caption_vectors = (part.requires_grad_() for part in inputs())
    gram = regions @ regions.mT
    weights = maps()
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.numel()
        return tensor

    workspace = regions.new_empty(12, SIZE)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        similarity_nodes(regions, gram, image_vectors, words, caption_vectors, *weights, workspace)
    given = sum(part.numel() for part in (regions, gram, image_vectors, words, caption_vectors))
    given += sum(module.weight.numel() for module in weights)
    assert sum(kept.values()) - given == IMAGES * CAPTIONS * (1 + LENGTH) * (SIM + 1)
