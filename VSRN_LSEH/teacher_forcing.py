"""The captioner's decoder over true captions, in few kernels: what does not depend on the step before is not in a loop.

On a GPU a step of so small a recurrence takes as long as launching its kernels does. Autograd launches 60 for a word:
it adds up the gradient of every weight word by word. Here the gradients of weights are one product over all words,
queries and recurrent gates are one product, and the backward pass multiplies with derivatives that all words' gates
were given at once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad


class DecoderMemory(NamedTuple):
    """What all steps of the decoder share: the attended regions, and weights that are sliced once."""

    regions: Tensor  # [B, R, H] states of the region reader
    keys: Tensor  # [B, R, H] the regions' share of the attention's first layer
    query_weight: Tensor  # [H, H] the decoder state's share of that layer
    context_weight: Tensor  # [3H, H] the attended context's share of the GRU's input product
    state_weight: Tensor  # [3H, H] the GRU's recurrent product
    state_bias: Tensor  # [3H]
    padding: Tensor | None  # [B, R] bool, True where an image has no region


def read_true_words(
    word_gates: Tensor, start: Tensor, memory: DecoderMemory, score_weight: Tensor, kept: Tensor | None
) -> Tensor:
    """Read all words as `AttentionDecoder.step` reads one, in float32 under autocast too.

    Args:
        word_gates: [B, T, 3H], the words' share of the GRU's input product.
        start: [B, H] first state.
        memory: what all steps share.
        score_weight: [1, H] second layer of the attention.
        kept: [B, T, H] factors of the contexts by dropout, or None.

    Returns:
        States [B, T, H].
    """
    regions, keys, *weights, padding = memory
    with torch.autocast(word_gates.device.type, enabled=False):
        dtype = score_weight.dtype
        given = (word_gates.to(dtype), start.to(dtype), regions.to(dtype), keys.to(dtype))
        return _TrueWords.apply(*given, *weights, score_weight, kept, padding)


class _TrueWords(torch.autograd.Function):
    """The gates are reset, update, new: r, u, n."""

    @staticmethod
    def forward(
        ctx: Any,
        word_gates: Tensor,
        start: Tensor,
        regions: Tensor,
        keys: Tensor,
        query_weight: Tensor,
        context_weight: Tensor,
        state_weight: Tensor,
        state_bias: Tensor,
        score_weight: Tensor,
        kept: Tensor | None,
        padding: Tensor | None,
    ) -> Tensor:
        size, steps = start.shape[1], word_gates.shape[1]
        weight, bias = torch.cat([state_weight, query_weight]), pad(state_bias, (0, size))
        hidden = keys.new_empty(steps, *keys.shape)
        state, states, recurrent, gates, new, attention, contexts = start, [], [], [], [], [], []
        for step in range(steps):
            product = torch.addmm(bias, state, weight.T)
            torch.add(keys, product[:, None, 3 * size :], out=hidden[step]).tanh_()
            logits = hidden[step] @ score_weight[0]
            if padding is not None:
                logits = logits.masked_fill_(padding, -torch.inf)
            attention.append(logits.softmax(-1))
            context = (attention[-1][:, None] @ regions).squeeze(1)
            contexts.append(context if kept is None else context * kept[:, step])
            inputs = torch.addmm(word_gates[:, step], contexts[-1], context_weight.T)
            gates.append(torch.add(inputs[:, : 2 * size], product[:, : 2 * size]).sigmoid_())
            reset, update = gates[-1].chunk(2, dim=1)
            recurrent.append(product[:, 2 * size : 3 * size])
            new.append(torch.addcmul(inputs[:, 2 * size :], reset, recurrent[-1]).tanh_())
            state = torch.lerp(new[-1], state, update)
            states.append(state)
        before = torch.stack([start, *states[:-1]])
        lists = (torch.stack(parts) for parts in (recurrent, gates, new, attention, contexts))
        ctx.save_for_backward(regions, weight, context_weight, score_weight, kept, hidden, before, *lists)
        return torch.stack(states, dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        regions, weight, context_weight, score_weight, kept, hidden, before, *lists = ctx.saved_tensors
        recurrent, gates, new, attention, contexts = lists
        size = new.shape[-1]
        # Derivatives of a state by n, r, u and by n's recurrent product, in this order, for all steps.
        reset, update = gates.chunk(2, dim=-1)
        by_new = (1 - update) * (1 - new.square())
        by_update = (before - new) * update * (1 - update)
        derivatives = torch.stack([by_new, by_new * recurrent * reset * (1 - reset), by_update, by_new * reset], dim=2)
        slopes = (1 - hidden.square()) * score_weight  # of the attention's logits by the queries
        context_weight = context_weight.roll(size, dims=0)  # n, r, u

        found = new.new_empty(*new.shape[:2], 5 * size)  # gradients of n, r, u, of n's recurrent product, of the query
        carried, d_contexts, d_logits = torch.zeros_like(before[0]), [], []
        for step in reversed(range(len(new))):
            d_state = gradients[0][:, step] + carried
            torch.mul(d_state[:, None], derivatives[step], out=found[step, :, : 4 * size].unflatten(1, (4, size)))
            d_context = found[step, :, : 3 * size] @ context_weight
            d_contexts.append(d_context if kept is None else d_context * kept[:, step])
            d_attention = (regions @ d_contexts[-1][..., None]).squeeze(-1).mul_(attention[step])
            d_logits.append(torch.addcmul(d_attention, attention[step], d_attention.sum(-1, keepdim=True), value=-1))
            torch.bmm(d_logits[-1][:, None], slopes[step], out=found[step, :, None, 4 * size :])
            carried = torch.addmm(d_state * update[step], found[step, :, size:], weight)

        d_scores, d_context = torch.stack(d_logits[::-1]), torch.stack(d_contexts[::-1])
        d_gates = found[..., : 3 * size].roll(-size, dims=-1)  # r, u, n
        d_weight = found[..., size:].flatten(0, 1).T @ before.flatten(0, 1)
        return (
            d_gates.transpose(0, 1),
            carried,
            attention.permute(1, 2, 0) @ d_context.transpose(0, 1),
            slopes.mul_(d_scores[..., None]).sum(0),
            d_weight[3 * size :],
            d_gates.flatten(0, 1).T @ contexts.flatten(0, 1),
            d_weight[: 3 * size],
            found[..., size : 4 * size].sum((0, 1)),
            d_scores.flatten()[None] @ hidden.flatten(0, 2),
            None,
            None,
        )
