"""Vectors of unit length."""

from __future__ import annotations

from torch import Tensor


def unit_vectors(values: Tensor, dim: int, shortest: float = 1e-12) -> Tensor:
    """``values`` scaled to unit L2 length along ``dim``; vectors shorter than ``shortest`` are divided by it.

    The result and the gradient of ``torch.nn.functional.normalize``, written out because PyTorch's norm over the few
    channels of a map takes three times as long on a CPU.

    >>> import torch
    >>> unit_vectors(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), dim=1)
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    return values * values.square().sum(dim=dim, keepdim=True).clamp(min=shortest * shortest).rsqrt()
