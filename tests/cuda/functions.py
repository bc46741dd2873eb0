"""Functions of torch as a GPU sees them: moves between devices, cuDNN's GRU and autocast."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_map_only

from tests.cuda.labels import CPU, GPU, Seen, kind, label, put, tensors_in

_BELOW = {"linear", "matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "baddbmm", "addmm", "addbmm", "mv", "addmv",
          "addr", "einsum", "linalg_vecdot", "vecdot", "chain_matmul", "linalg_multi_dot", "conv1d", "conv2d", "conv3d",
          "conv_transpose1d", "conv_transpose2d", "prelu", "scaled_dot_product_attention"}  # fmt: skip
_FLOAT = {"acos", "asin", "cosh", "erfinv", "exp", "expm1", "log", "log10", "log2", "log1p", "reciprocal", "rsqrt",
          "sinh", "tan", "pow", "__pow__", "__rpow__", "square", "__rtruediv__", "__rdiv__", "softplus", "layer_norm",
          "group_norm", "frobenius_norm", "nuclear_norm", "cosine_similarity", "nll_loss", "cross_entropy", "kl_div",
          "l1_loss", "smooth_l1_loss", "mse_loss", "margin_ranking_loss", "triplet_margin_loss", "cdist", "dist",
          "renorm", "logsumexp", "normalize", "binary_cross_entropy_with_logits"}  # fmt: skip
_FLOAT_RESULT = {"softmax", "log_softmax", "sum", "prod", "cumsum", "cumprod", "linalg_vector_norm",
                 "linalg_matrix_norm", "norm"}  # fmt: skip
_PROMOTED = {"addcdiv", "addcmul", "atan2", "bilinear", "cross", "dot", "vdot", "grid_sampler", "index_put",
             "scatter_add", "tensordot"}  # fmt: skip
_LOW = (torch.float16, torch.bfloat16)


class _Move(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, dtype: torch.dtype, source: str, target: str) -> Tensor:
        ctx.source, ctx.dtype = source, tensor.dtype
        return put(tensor.detach().to(dtype, copy=True), target)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        return put(gradients[0].detach().to(ctx.dtype, copy=True), ctx.source), None, None, None


class _CudnnGRU(torch.autograd.Function):
    """One operation forward, one backward, in float16 under autocast."""

    @staticmethod
    def forward(ctx: Any, run: Any, half: bool, seen: Seen, *tensors: Tensor) -> tuple[Tensor, ...]:
        seen.launches["_cudnn_rnn"] += 1
        with _disable_current_modes(), torch.enable_grad():
            leaves = [t.detach().half().float() if half and t.is_floating_point() else t.detach() for t in tensors]
            leaves = [leaf.requires_grad_(leaf.is_floating_point()) for leaf in leaves]
            ctx.inside, ctx.leaves, ctx.seen, ctx.half = run(*leaves), leaves, seen, half
            result = [part.detach().half() if half else part.detach() for part in ctx.inside]
        return tuple(put(result, "cuda"))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        ctx.seen.launches["_cudnn_rnn_backward"] += 1
        with _disable_current_modes():
            wanted = [leaf for leaf in ctx.leaves if leaf.requires_grad]
            found = iter(torch.autograd.grad(ctx.inside, wanted, [g.float() for g in gradients], allow_unused=True))
            result = [next(found) if leaf.requires_grad else None for leaf in ctx.leaves]
            if ctx.half:
                result = [None if gradient is None else gradient.half().float() for gradient in result]
        return None, None, None, *(None if gradient is None else put(gradient, "cuda") for gradient in result)


def pin_memory(tensor: Tensor, *_: Any) -> Tensor:
    """A method of its own, for the threads of loaders, to which no mode applies."""
    if label(tensor) == "cuda":
        raise RuntimeError("cannot pin 'torch.cuda.FloatTensor' only dense CPU tensors can be pinned")
    return tensor.clone()


class Functions(TorchFunctionMode):
    def __init__(self, seen: Seen) -> None:
        super().__init__()
        self.seen = seen

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if isinstance(func, torch._ops.OpOverload):  # another dispatch mode, on the way down
            return func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if name == "__get__":
            attribute = func.__self__.__name__
            if attribute == "device":
                there = func(*args, **kwargs)
                return there if there.type != "cpu" else GPU if label(args[0]) == "cuda" else CPU
            if attribute == "is_cuda":
                return label(args[0]) == "cuda"
            if attribute == "is_cpu":
                return label(args[0]) != "cuda"
            return func(*args, **kwargs)
        if args and isinstance(args[0], Tensor):
            special = getattr(self, f"tensor_{name}", None)
            if special is not None:
                return special(func, args, kwargs)
        if name == "gru":
            return self.gru(func, args)
        inputs = tensors_in(args, kwargs)
        if name == "as_tensor" and inputs and "device" in kwargs:
            return self.move(inputs[0], kind(kwargs["device"]), kwargs.get("dtype"), False)
        asked = kwargs.get("device")
        if asked is not None and not isinstance(asked, int) and torch.device(asked).type not in ("cpu", "cuda"):
            return func(*args, **kwargs)  # meta
        if asked is not None:
            kwargs["device"] = "cpu"
        args, kwargs = self._autocast(name, args, kwargs)
        result = func(*args, **kwargs)
        if asked is not None:
            if name in ("tensor", "as_tensor") and kind(asked) == "cuda":
                self.seen.sync("tensor(..., device=cuda)")
            put(result, kind(asked))
        elif name == "new_tensor":
            put(result, label(args[0]))
            if label(args[0]) == "cuda":
                self.seen.sync("new_tensor")
        elif not inputs and isinstance(result, Tensor):
            put(result, "cpu")
        return result

    # --- methods of tensors

    def tensor_to(self, func: Any, args: Any, kwargs: Any) -> Any:
        tensor, device, dtype, flags = args[0], kwargs.get("device"), kwargs.get("dtype"), []
        for value in args[1:]:
            if isinstance(value, Tensor):
                device, dtype = (GPU if label(value) == "cuda" else CPU), value.dtype
            elif isinstance(value, torch.dtype):
                dtype = value
            elif isinstance(value, bool):
                flags.append(value)
            elif isinstance(value, (str, torch.device, int)):
                device = value
        if device is not None and not isinstance(device, int) and torch.device(device).type not in ("cpu", "cuda"):
            return func(*args, **kwargs)  # meta
        if isinstance(other := kwargs.get("other"), Tensor):
            device, dtype = (GPU if label(other) == "cuda" else CPU), other.dtype
        non_blocking = kwargs.get("non_blocking", bool(flags and flags[0]))
        copy = kwargs.get("copy", len(flags) > 1 and flags[1])
        return self.move(tensor, None if device is None else kind(device), dtype, non_blocking, copy)

    def tensor_cpu(self, func: Any, args: Any, kwargs: Any) -> Any:
        return self.move(args[0], "cpu", None, False)

    def tensor_cuda(self, func: Any, args: Any, kwargs: Any) -> Any:
        return self.move(args[0], "cuda", None, kwargs.get("non_blocking", False))

    def tensor_type_as(self, func: Any, args: Any, kwargs: Any) -> Any:
        return self.move(args[0], label(args[1]), args[1].dtype, False)

    def tensor_numpy(self, func: Any, args: Any, kwargs: Any) -> Any:
        if label(args[0]) == "cuda":
            raise TypeError(
                "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory "
                f"first. (pretend GPU: {self.seen.line()})"
            )
        return func(*args, **kwargs)

    tensor___array__ = tensor_numpy

    def tensor_tolist(self, func: Any, args: Any, kwargs: Any) -> Any:
        if label(args[0]) == "cuda":
            self.seen.sync("tolist")
        return func(*args, **kwargs)

    def tensor_share_memory_(self, func: Any, args: Any, kwargs: Any) -> Any:
        return func(*args, **kwargs)

    def move(self, tensor: Tensor, target: str | None, dtype: Any, non_blocking: bool, copy: bool = False) -> Tensor:
        source, dtype = label(tensor), dtype or tensor.dtype
        if target is None or target == source or source == "any":
            moved = tensor.to(dtype, copy=copy)
            return put(moved, target) if source == "any" and target is not None else moved
        size = tensor.numel() * tensor.element_size()
        self.seen.copied += size
        self.seen.transfers[f"{source} -> {target}", self.seen.line()] += size
        if not non_blocking or target == "cpu":
            self.seen.sync(f"copy {source} -> {target}")
        with _disable_current_modes():
            return _Move.apply(tensor, dtype, source, target)  # type: ignore[no-any-return]

    # --- cuDNN and autocast

    def gru(self, func: Any, args: Any) -> Any:
        packed = isinstance(args[3], (list, tuple))
        data, hidden, weights = (args[0], args[2], args[3]) if packed else args[:3]
        if "cuda" not in map(label, (data, hidden, *weights)):
            return func(*args)
        if {label(part) for part in (data, hidden, *weights)} != {"cuda"}:
            raise RuntimeError("Input and parameter tensors are not at the same device (pretend GPU: gru)")
        if packed and label(args[1]) != "cpu":
            raise RuntimeError("batch_sizes tensor should be on CPU (pretend GPU: gru)")
        half = torch.is_autocast_enabled("cuda")
        if not half and len({part.dtype for part in (data, hidden, *weights)}) > 1:
            raise RuntimeError(f"gru: input {data.dtype}, hidden {hidden.dtype}, weights {weights[0].dtype}")

        def run(data: Tensor, hidden: Tensor, *weights: Tensor) -> Any:
            middle = (args[1], hidden) if packed else (hidden,)
            return func(data, *middle, list(weights), *args[4 if packed else 3 :])

        return _CudnnGRU.apply(run, half, self.seen, data, hidden, *weights)

    def _autocast(self, name: str, args: Any, kwargs: Any) -> tuple[Any, Any]:
        if not torch.is_autocast_enabled("cuda"):
            return args, kwargs
        floating = [t for t in tensors_in(args, kwargs) if t.is_floating_point() and label(t) == "cuda"]
        if not floating:
            return args, kwargs
        if name in _BELOW:
            dtype = torch.get_autocast_dtype("cuda")
        elif name in _FLOAT:
            dtype = torch.float32
        elif name in _PROMOTED:
            low = dtype = torch.get_autocast_dtype("cuda")
            for each in (t.dtype for t in floating if t.dtype != torch.float64):
                if torch.float32 in (dtype, each):
                    dtype = torch.float32
                elif {dtype, each} != {low}:
                    raise RuntimeError(
                        "Unexpected floating ScalarType in at::autocast::prioritize "
                        f"(pretend GPU: {name} of {each} under autocast to {low}, at {self.seen.line()})"
                    )
        elif name in _FLOAT_RESULT and floating[0].dtype in _LOW and kwargs.get("dtype") is None:
            return args, {**kwargs, "dtype": torch.float32}
        else:
            return args, kwargs

        def cast(tensor: Tensor) -> Tensor:
            eligible = tensor.is_floating_point() and tensor.dtype != torch.float64 and label(tensor) == "cuda"
            return tensor.to(dtype) if eligible else tensor

        return tree_map_only(Tensor, cast, args), tree_map_only(Tensor, cast, kwargs)
