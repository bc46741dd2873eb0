"""A GRU that is faster on the CPU: one product for the weights' gradient of all steps, and one for all equal words."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, linear
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from vse.nn.transfer import send


class GRU(nn.GRU):
    """`torch.nn.GRU` with the same parameters and results, cheaper on a CPU.

    The gradient of the recurrent weight is a sum over the steps. At each step autograd allocates, fills and adds a
    tensor of the weight's size, and for packed sequences one of the size of all gates; with 2,048 units this costs more
    than the products. Here the factors of all steps are kept and multiplied once. On other devices, without gradients,
    with dropout or with an initial state, `forward` is that of `torch.nn.GRU`.
    """

    def forward(self, input: Any, hx: Tensor | None = None) -> Any:
        """Read sequences as `torch.nn.GRU` does: a tensor or a `PackedSequence` -> states, last states."""
        if torch.onnx.is_in_onnx_export():
            return super().forward(input, hx)
        packed = isinstance(input, PackedSequence)
        data = input.data if packed else input
        covered = data.device.type == "cpu" and data.dim() == 2 + (not packed) and self.batch_first and self.bias
        covered = covered and hx is None and self.dropout == 0
        if not (covered and torch.is_grad_enabled()):
            # Under autocast cuDNN's GRU would compute in float16 whatever the dtype asked for, and without a scaler.
            with torch.autocast(data.device.type, enabled=False):
                data = data.to(self.weight_ih_l0.dtype)
                return super().forward(input._replace(data=data) if packed else data, hx)
        if packed:
            rows, sizes = data, input.batch_sizes.tolist()
        else:
            rows, sizes = data.transpose(0, 1).flatten(0, 1), [data.shape[0]] * data.shape[1]
        rows, hidden = self._read(rows, sizes)
        if not packed:
            return rows.unflatten(0, (len(sizes), -1)).transpose(0, 1), hidden
        unsorted = input.unsorted_indices
        packed_states = PackedSequence(rows, input.batch_sizes, input.sorted_indices, unsorted)
        return packed_states, hidden if unsorted is None else hidden.index_select(1, unsorted)

    def read_words(self, words: PackedSequence, embed: nn.Embedding) -> PackedSequence:
        """Read packed token ids on the CPU -> states; the input products of a word are computed once a batch."""
        distinct, places = words.data.unique(return_inverse=True)
        with torch.autocast("cpu", enabled=False):
            return words._replace(data=self._read(embed(distinct), words.batch_sizes.tolist(), places)[0])

    def _read(self, inputs: Tensor, sizes: list[int], places: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Read the inputs of all steps [P, I], or `inputs[places]` -> states [P, D x H], last states [L x D, B, H]."""
        recurrence = _Recurrence.apply if torch.is_grad_enabled() else _states
        directions = 2 if self.bidirectional else 1
        backwards = _backwards(sizes) if self.bidirectional else None
        last = []
        for layer in range(self.num_layers):
            states = []
            for direction in range(directions):
                weight_ih, weight_hh, bias_ih, bias_hh = self.all_weights[layer * directions + direction]
                if places is None:
                    products = linear(inputs[backwards] if direction else inputs, weight_ih, bias_ih)
                else:
                    products = embedding(places[backwards] if direction else places, linear(inputs, weight_ih, bias_ih))
                state = recurrence(products, weight_hh, bias_hh, sizes)
                last.append(_last_rows(state, sizes))
                states.append(state[backwards] if direction else state)
            inputs, places = torch.cat(states, dim=1) if self.bidirectional else states[0], None
        return inputs, torch.stack(last)


def _last_rows(rows: Tensor, sizes: list[int]) -> Tensor:
    """Last state of every sequence, [B, H]."""
    starts, lengths = _places(sizes)
    return rows[starts[lengths - 1] + torch.arange(sizes[0])]


def _backwards(sizes: list[int]) -> Tensor:
    """For each row, the row in its place when every sequence is read from its end, [P]."""
    starts, lengths = _places(sizes)
    sequences, steps = _rows(sizes)
    return starts[lengths[sequences] - 1 - steps] + sequences


def _rows(sizes: list[int]) -> tuple[Tensor, Tensor]:
    """Sequence and step of each of the P rows."""
    steps = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    return torch.cat([torch.arange(size) for size in sizes]), steps


def _places(sizes: list[int]) -> tuple[Tensor, Tensor]:
    """First row of every step, and length of every sequence, which ends where the next step has fewer rows."""
    counts = torch.tensor(sizes)
    return counts.cumsum(0) - counts, (counts[:, None] > torch.arange(sizes[0])).sum(dim=0)


def pack(padded: Tensor, lengths: Tensor) -> PackedSequence:
    """Pack sequences [B, T, H] of `lengths` [B], in any order; with the lengths on the host, it waits for no device.

    torch's `pack_padded_sequence` waits for the device where the sequences are not sorted.
    """
    if torch.onnx.is_in_onnx_export():  # what a trace of the lines below holds fits its own lengths alone
        return pack_padded_sequence(padded, lengths, batch_first=True, enforce_sorted=False)
    ordered, order = lengths.cpu().sort(descending=True, stable=True)
    if torch.equal(order, torch.arange(len(order))):
        return pack_padded_sequence(padded, ordered, batch_first=True)
    order = send(order, padded.device)
    packed = pack_padded_sequence(padded.index_select(0, order), ordered, batch_first=True)
    return PackedSequence(packed.data, packed.batch_sizes, order)


def pad(packed: PackedSequence, length: int) -> Tensor:
    """Pad a packed sequence with zeros -> [B, length, H].

    torch's `pad_packed_sequence` writes a slice for each distinct length, and its backward pass copies the gradient of
    the whole result for each of them.
    """
    if torch.onnx.is_in_onnx_export():
        return pad_packed_sequence(packed, batch_first=True, total_length=length)[0]
    sequences, steps = _rows(packed.batch_sizes.tolist())
    sequences, steps = send(torch.stack([sequences, steps]), packed.data.device).unbind()
    if packed.sorted_indices is not None:
        sequences = packed.sorted_indices[sequences]
    padded = packed.data.new_zeros(int(packed.batch_sizes[0]), length, packed.data.shape[1])
    return padded.index_put((sequences, steps), packed.data)


def _gates(inputs: Tensor, recurrent: Tensor) -> tuple[Tensor, Tensor]:
    """Products of a step, both [B, 3H] -> update gate, new state [B, H]; the gates replace `recurrent`."""
    hidden = recurrent.shape[1] // 3
    torch.add(inputs[:, : 2 * hidden], recurrent[:, : 2 * hidden], out=recurrent[:, : 2 * hidden])
    reset, update = recurrent[:, : 2 * hidden].sigmoid_().chunk(2, dim=1)
    return update, torch.addcmul(inputs[:, 2 * hidden :], reset, recurrent[:, 2 * hidden :]).tanh_()


def _states(inputs: Tensor, weight: Tensor, bias: Tensor, sizes: list[int]) -> Tensor:
    """Compute `_Recurrence` without keeping what its gradient needs."""
    states = inputs.new_empty(len(inputs), weight.shape[1])
    state, start = inputs.new_zeros(sizes[0], weight.shape[1]), 0
    for size in sizes:
        rows, start = slice(start, start + size), start + size
        update, new = _gates(inputs[rows], torch.addmm(bias, state[:size], weight.T))
        state = torch.lerp(new, state[:size], update, out=states[rows])
    return states


class _Recurrence(torch.autograd.Function):
    """Input products of all steps [P, 3H] -> states of all steps [P, H]; P rows, `sizes[t]` of them at step t."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, sizes: list[int]) -> Tensor:
        hidden = weight.shape[1]
        gates, recurrent_new = torch.empty_like(inputs), inputs.new_empty(len(inputs), hidden)
        before, states = inputs.new_empty(len(inputs), hidden), inputs.new_empty(len(inputs), hidden)
        state, start = inputs.new_zeros(sizes[0], hidden), 0
        for size in sizes:
            rows, start = slice(start, start + size), start + size
            before[rows] = state[:size]
            recurrent = torch.addmm(bias, state[:size], weight.T)
            recurrent_new[rows] = recurrent[:, 2 * hidden :]
            update, new = _gates(inputs[rows], recurrent)
            gates[rows, : 2 * hidden], gates[rows, 2 * hidden :] = recurrent[:, : 2 * hidden], new
            state = torch.lerp(new, state[:size], update)
            states[rows] = state
        ctx.save_for_backward(weight, gates, recurrent_new, before)
        ctx.sizes = sizes
        return states

    @staticmethod
    def backward(ctx: Any, grad_states: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        weight, gates, recurrent_new, before = ctx.saved_tensors
        hidden = weight.shape[1]
        grad_inputs, grad_recurrent = torch.empty_like(gates), torch.empty_like(gates)
        carried, start = grad_states.new_zeros(0, hidden), len(gates)
        for size in reversed(ctx.sizes):
            rows, start = slice(start - size, start), start - size
            reset, update, new = gates[rows].chunk(3, dim=1)
            grad = grad_states[rows].clone()
            grad[: len(carried)] += carried
            grad_new = grad * (1 - update) * (1 - new * new)
            grad_update = grad * (before[rows] - new) * update * (1 - update)
            grad_reset = grad_new * recurrent_new[rows] * reset * (1 - reset)
            torch.cat([grad_reset, grad_update, grad_new], dim=1, out=grad_inputs[rows])
            torch.cat([grad_reset, grad_update, grad_new * reset], dim=1, out=grad_recurrent[rows])
            carried = torch.addmm(grad * update, grad_recurrent[rows], weight)
        return grad_inputs, grad_recurrent.T @ before, grad_recurrent.sum(dim=0), None
