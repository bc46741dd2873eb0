"""The placement rules of CUDA for ATen operations, and which of them wait, launch or add with atomics."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests.cuda.labels import Seen, label, put, tensors_in

_MOVES = {"copy_", "_to_copy", "set_", "_foreach_copy_", "lift_fresh", "lift_fresh_copy", "resize_", "detach", "alias"}
_NO_KERNEL = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "detach", "alias", "lift_fresh",
              "_unsafe_view", "_reshape_alias", "resize_", "set_", "_local_scalar_dense", "is_same_size", "result_type",
              "_has_compatible_shallow_copy_type", "is_pinned"}  # fmt: skip
_WAITING = {"nonzero", "masked_select", "_unique2", "_unique", "unique_dim", "unique_consecutive", "bincount",
            "_local_scalar_dense", "equal", "is_nonzero", "histc"}  # fmt: skip
_UNORDERED = {"index_add", "scatter_add", "scatter_reduce", "put", "histc", "cumsum", "cumprod", "embedding_bag",
              "upsample_bilinear2d_backward", "adaptive_avg_pool2d_backward",
              "_scaled_dot_product_efficient_attention_backward", "max_pool2d_with_indices_backward",
              "avg_pool2d_backward"}  # fmt: skip


class Operations(TorchDispatchMode):
    def __init__(self, seen: Seen) -> None:
        super().__init__()
        self.seen = seen

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._overloadpacket.__name__
        inputs = tensors_in(args, kwargs)
        before = {id(tensor.untyped_storage()) for tensor in inputs}
        where = self._place(name, args, kwargs, inputs)
        result = func(*args, **kwargs)
        for number, tensor in enumerate(tensors_in(result)):
            storage = tensor.untyped_storage()
            if id(storage) not in before:
                storage._pretended = "cpu" if name == "_pack_padded_sequence" and number == 1 else where
        if where != "cpu":
            returns = func._schema.returns
            view = any(each.alias_info is not None and not each.alias_info.is_write for each in returns)
            if not view and name not in _NO_KERNEL and where == "cuda":
                self.seen.launches[name] += 1
                self.seen.launch_lines[self.seen.line()] += 1
                if name.removesuffix("_") in _UNORDERED and inputs[0].is_floating_point():
                    self.seen.unordered[name.removesuffix("_")] += 1
                if self.seen.observe is not None:
                    self.seen.observe(func, args, kwargs, result)
                self.seen.bytes += sum(t.numel() * t.element_size() for t in tensors_in(args, kwargs, result))
        return result

    def _place(self, name: str, args: Any, kwargs: Any, inputs: list[Tensor]) -> str:
        places = [label(tensor) for tensor in inputs]
        if name in ("index", "_unsafe_index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index_put"):
            return self._indexed(name, args)
        if name == "_pack_padded_sequence":
            if label(args[1]) != "cpu":
                raise RuntimeError("'lengths' argument should be a 1D CPU int64 tensor, but got 1D cuda:0 Long tensor")
            return label(args[0])
        if name == "_pack_padded_sequence_backward":
            return label(args[0])
        if name in ("copy_",):
            source, target = label(args[1]), label(args[0])
            if {source, target} == {"cpu", "cuda"} and args[1].ndim:  # `x[0] = 1.0` is a fill on a GPU
                self._transfer(f"{source} -> {target} (copy_)", args[1], args[2] if len(args) > 2 else False)
            return target
        if name not in _MOVES:
            self._check(name, inputs, places)
        where = "cuda" if "cuda" in places else "cpu" if "cpu" in places else "any"
        if where == "cuda" and name in _WAITING:
            self.seen.sync(name)
        if where == "cuda" and name == "repeat_interleave" and kwargs.get("output_size") is None:
            self.seen.sync(name)
        if where != "any" and name.endswith("_") and not name.startswith("__"):
            for tensor in inputs:
                if label(tensor) == "any":
                    put(tensor, where)
        return where

    def _transfer(self, kind: str, tensor: Tensor, non_blocking: bool) -> None:
        size = tensor.numel() * tensor.element_size()
        self.seen.copied += size
        self.seen.transfers[kind, self.seen.line()] += size
        if not non_blocking:
            self.seen.sync(f"copy {kind}")

    def _check(self, name: str, inputs: list[Tensor], places: list[str]) -> None:
        known = {place for tensor, place in zip(inputs, places, strict=True)
                 if place != "any" and not (place == "cpu" and tensor.ndim == 0)}  # fmt: skip
        writes = name.endswith("_") and not name.endswith("__") and not name.startswith("_foreach")
        if writes and inputs and places[0] == "cpu" and "cuda" in places:
            known.add("cpu")  # a CPU scalar may be read with tensors on the GPU, not written
        if len(known) > 1:
            shapes = ", ".join(f"{place}{list(t.shape)}" for t, place in zip(inputs, places, strict=True))
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu! "
                f"(pretend GPU: {name}({shapes}) at {self.seen.line()})"
            )

    def _indexed(self, name: str, args: Any) -> str:
        home = label(args[0])
        for index in tensors_in(args[1]):
            place = label(index)
            if home == "cpu" and place == "cuda":
                raise RuntimeError(
                    "indices should be either on cpu or on the same device as the indexed tensor (cpu) "
                    f"(pretend GPU: {self.seen.line()})"
                )
            if home == "cuda" and place == "cpu":
                self._transfer("cpu -> cuda (index)", index, False)
            if home == "cuda" and index.dtype in (torch.bool, torch.uint8):
                self.seen.sync("boolean mask")
        if "put" in name and isinstance(args[2], Tensor):
            place = label(args[2])
            if {home, place} == {"cpu", "cuda"} and not (home == "cuda" and args[2].ndim == 0):
                raise RuntimeError(
                    f"Expected all tensors to be on the same device (pretend GPU: {name} at {self.seen.line()})"
                )
        return home
