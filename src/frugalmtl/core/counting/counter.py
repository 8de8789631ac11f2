"""Counter of multiply-adds over operations that run."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from frugalmtl.core.counting.formulas import AttentionTally, formulas, weights_of
from frugalmtl.core.counting.modes import evaluating


class MacCounter:
    """Context in which a module runs and its multiply-adds are counted: in eval mode, without gradients.

    Convolutions and matrix products count; attention runs as products, so that it counts too.

    Args:
        module: its parameters and buffers tell weights from activations.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.attention = AttentionTally(weights_of(module))
        self.counter = FlopCounterMode(display=False, custom_mapping=formulas(self.attention))
        self.contexts = contextlib.ExitStack()

    def __enter__(self) -> MacCounter:
        """Begin to count."""
        for context in (evaluating(self.module), torch.inference_mode(), plain_operations(), self.counter):
            self.contexts.enter_context(context)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave all modes as they were."""
        self.contexts.__exit__(kind, error, trace)

    def macs(self) -> int:
        """Multiply-adds so far."""
        return int(self.counter.get_total_flops()) // 2

    def by_name(self) -> dict[str, int]:
        """Multiply-adds by name: of all under ``"Global"``, of a submodule under ``"<class of the root>.<path>"``."""
        counts = self.counter.get_flop_counts()
        return {name: sum(per_operation.values()) // 2 for name, per_operation in counts.items()}


def on_meta(module: nn.Module) -> nn.Module:
    """A copy with every parameter and buffer on the meta device; no weight is copied, sharing is kept."""
    memo: dict[int, Any] = {}
    for parameter in module.parameters():
        memo[id(parameter)] = nn.Parameter(torch.empty_like(parameter, device="meta"), requires_grad=False)
    for buffer in module.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    return copy.deepcopy(module, memo)


@contextlib.contextmanager
def plain_operations() -> Iterator[None]:
    """Attention as matrix products and softmax: fused kernels would hide from the counter."""
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
