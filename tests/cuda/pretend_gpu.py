"""A pretend GPU for machines without one: CPU tensors whose storages carry a label, `cpu` or `cuda`.

`with pretend_gpu() as seen:` makes `torch.device("cuda")` usable. Values, gradients and random numbers are the CPU's;
what is pretended is *where* a tensor is:

* `.device`, `.is_cuda`, `.to`, `.cpu`, `.cuda`, `device=`, `new_*`, `*_like`, `param.data = ...` keep the books;
* every ATen operation, those of backward passes and optimizers too, is refused, as CUDA refuses it, when its tensors
  are in two places. What CUDA allows is allowed: CPU scalars of no dimension, CPU indices, `copy_`, CPU lengths and
  batch sizes of packed sequences;
* `numpy()` of a tensor on the GPU, lengths on the GPU in `pack_padded_sequence`, ... fail as there;
* `torch.autocast("cuda")` casts by CUDA's lists, and cuDNN's GRU comes out in float16 whatever the dtype asked for
  (`_cudnn_rnn` in AutocastRNN.cpp), so that operations on two dtypes fail as they do on a GPU;
* `seen.syncs` counts, by kind and source line, what makes the host wait for the device; `seen.launches` counts the
  operations that would launch kernels; `seen.unordered` those that add with atomics, whose results change from run to
  run where an index occurs twice.

Not pretended: numerical differences, memory, streams, torch.compile, NCCL.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.utils.checkpoint

from tests.cuda.functions import Functions, pin_memory
from tests.cuda.labels import CPU, GPU, Seen, label, tensors_in
from tests.cuda.operations import Operations

MEMORY = 80 * 2**30
"""Bytes of the GPU's memory, all of it free."""


@contextmanager
def pretend_gpu(*roots: str | Path) -> Iterator[Seen]:
    """A machine with one GPU; `roots` are the folders whose source lines are named."""
    seen = Seen(tuple(str(Path(root).resolve()) for root in roots) or (str(Path.cwd()),))
    with ExitStack() as stack:
        for target, value in (
            ("torch.cuda.is_available", lambda: True),
            ("torch.cuda.is_bf16_supported", lambda *_: True),
            ("torch.cuda.amp.common.amp_definitely_not_available", lambda: False),
            ("torch.cuda.get_rng_state", lambda *_: torch.zeros(16, dtype=torch.uint8)),
            ("torch.cuda.set_rng_state", lambda *_: None),
            ("torch.cuda.set_device", lambda *_: None),
            ("torch.cuda.current_device", lambda: 0),
            ("torch.cuda.device_count", lambda: 1),
            ("torch.cuda.mem_get_info", lambda *_: (MEMORY, MEMORY)),
            ("torch.cuda.synchronize", lambda *_: None),
            ("torch.Tensor.pin_memory", pin_memory),
            ("torch.cuda.get_device_name", lambda *_: "pretend GPU"),
            ("torch.backends.cudnn.is_acceptable", lambda *_: False),  # so that GRUs need not flatten their weights
        ):
            stack.enter_context(mock.patch(target, value))
        checks = torch.utils.checkpoint._allowed_determinism_checks_to_fns
        stack.enter_context(mock.patch.dict(checks, {"default": lambda tensor: (tensor.shape, tensor.dtype)}))
        for name in ("_accelerator_graph_capture_health_check", "_cuda_graph_capture_health_check"):
            if hasattr(torch.optim.Optimizer, name):
                stack.enter_context(mock.patch.object(torch.optim.Optimizer, name, return_value=None))
        group = torch._C._group_tensors_by_device_and_dtype  # by where tensors are said to be

        def grouped(lists: Any, with_indices: bool = False) -> Any:
            found = group(lists, with_indices)
            return {
                (GPU if any(label(t) == "cuda" for t in tensors_in(parts[0][0])) else CPU, dtype): parts
                for (_, dtype), parts in found.items()
            }

        stack.enter_context(mock.patch("torch._C._group_tensors_by_device_and_dtype", grouped))
        functions = Functions(seen)
        engine = torch.autograd._engine_run_backward  # functions of torch are called with the mode off: on again for it

        def run_backward(*args: Any, **kwargs: Any) -> Any:
            if torch._C._len_torch_function_stack():
                return engine(*args, **kwargs)
            with functions:
                return engine(*args, **kwargs)

        stack.enter_context(mock.patch("torch.autograd._engine_run_backward", run_backward))
        stack.enter_context(Operations(seen))
        stack.enter_context(functions)
        yield seen
