"""Operation counts that ``torch.utils.flop_counter`` lacks or states too high.

Each formula takes the operation's own arguments (``_get_raw``), because sparse operands are told by their layout, not
by their shape. FLOPs are two per multiply-add, as everywhere in torch's counter.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any

import torch
from torch import Tensor, nn

Formula = Callable[..., int]


def _products(left: Tensor, right: Tensor) -> int:
    """Multiply-adds of ``left @ right`` (a leading batch axis allowed); of a sparse operand only stored values cost."""
    if left.layout is not torch.strided:
        return _stored(left) * (right.shape[-1] if right.ndim > 1 else 1)
    if right.layout is not torch.strided:
        return _stored(right) * left.shape[-2]
    return left.numel() * (right.shape[-1] if right.ndim > 1 else 1)


def _stored(sparse: Tensor) -> int:
    return int((sparse._values() if sparse.layout is torch.sparse_coo else sparse.values()).numel())


def _product(left: Tensor, right: Tensor, *_: Any, **__: Any) -> int:
    return 2 * _products(left, right)


def _added_product(_added: Tensor, left: Tensor, right: Tensor, *_: Any, **__: Any) -> int:
    return 2 * _products(left, right)


class AttentionTally:
    """Tallies the batched products that hold no weight, as attention's two do (``Q K^T`` and ``A V``).

    A linear layer on a tensor that is not contiguous is a batched product as well, with its weight on one side.

    Args:
        weights: :func:`memory_of` of every parameter and buffer.

    Attributes:
        macs: multiply-adds so far.
    """

    def __init__(self, weights: Container[int]) -> None:
        self.weights = weights
        self.macs = 0

    def product(self, left: Tensor, right: Tensor, *_: Any, **__: Any) -> int:
        """FLOPs of ``left @ right``, each ``[batch, rows, columns]``."""
        macs = _products(left, right)
        if memory_of(left) not in self.weights and memory_of(right) not in self.weights:
            self.macs += macs
        return 2 * macs

    def added_product(self, _added: Tensor, left: Tensor, right: Tensor, *_: Any, **__: Any) -> int:
        """FLOPs of ``added + left @ right``."""
        return self.product(left, right)


def memory_of(tensor: Tensor) -> int:
    """What tells the memory of one tensor from that of another, views being one with their base."""
    return int(tensor.untyped_storage()._cdata) if tensor.layout is torch.strided else id(tensor)


def weights_of(module: nn.Module) -> frozenset[int]:
    """:func:`memory_of` of every parameter and buffer of a module."""
    return frozenset(memory_of(tensor) for tensor in (*module.parameters(), *module.buffers()))


def _raw(formula: Formula) -> Formula:
    def raw(*args: Any, **kwargs: Any) -> int:
        return formula(*args, **kwargs)

    raw._get_raw = True  # type: ignore[attr-defined]
    return raw


def formulas(attention: AttentionTally) -> dict[Any, Formula]:
    """``{operation: formula}`` for the counter's ``custom_mapping``; ``attention`` tallies on the way."""
    aten = torch.ops.aten
    product, added = _raw(_product), _raw(_added_product)
    return {
        **dict.fromkeys((aten.mm, aten.mv, aten.dot, aten.vdot, aten._sparse_mm), product),
        **dict.fromkeys((aten.addmm, aten.addmm_, aten.addmv, aten.addmv_, aten._sparse_addmm), added),
        aten.bmm: _raw(attention.product),
        **dict.fromkeys((aten.baddbmm, aten.baddbmm_, aten.addbmm, aten.addbmm_), _raw(attention.added_product)),
    }
