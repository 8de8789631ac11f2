"""Tally of multiply-adds over many passes of one module."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from frugalmtl.core.counting.counter import plain_operations
from frugalmtl.core.counting.formulas import AttentionTally, formulas, weights_of
from frugalmtl.core.counting.modes import evaluating


class MacTally:
    """Counts the multiply-adds of single passes, by the formulas of :class:`~frugalmtl.core.counting.MacCounter`.

    Only sums are kept, not what each submodule did: a pass of some thousand small operations takes three times as long
    as uncounted, where the counter takes seven times. For modules that are counted image by image.

    Args:
        module: its parameters and buffers tell weights from activations.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.attention = AttentionTally(weights_of(module))
        self.sum = _Sum({**flop_registry, **formulas(self.attention)})

    @contextlib.contextmanager
    def ready(self) -> Iterator[None]:
        """Eval mode without gradients, and attention as products, for all passes inside."""
        # Without gradients, but not in inference mode: there, composite operations would come whole.
        with evaluating(self.module), torch.no_grad(), plain_operations():
            yield

    def macs(self, image: Tensor) -> tuple[int, int]:
        """Multiply-adds of one pass, and those among them that are products inside attention.

        Args:
            image: ``[B, 3, H, W]``.
        """
        self.sum.flops = self.attention.macs = 0
        with self.sum:
            self.module(image)
        return self.sum.flops // 2, self.attention.macs


class _Sum(TorchDispatchMode):  # type: ignore[no-untyped-call]  # as torch has it
    """Sums formulas over the operations that run.

    Args:
        formulas: ``{operation: formula}``, as in torch's registry or of its arguments alone.
    """

    def __init__(self, formulas: Mapping[Any, Callable[..., int]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as torch has it
        self.formulas = formulas
        self.flops = 0

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation, or its parts if torch has it as several."""
        options = kwargs or {}
        formula = self.formulas.get(operation._overloadpacket)
        if formula is None and _is_composite(operation):
            with self:
                return operation.decompose(*args, **options)
        result = operation(*args, **options)
        if formula is not None:
            self.flops += int(formula(*args, **options, out_val=result))
        return result


@cache
def _is_composite(operation: Any) -> bool:
    """Whether an operation is defined by others, which alone are known to the formulas."""
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(operation.name(), "CompositeImplicitAutograd"))
