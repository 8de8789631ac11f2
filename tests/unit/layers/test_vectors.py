"""Vectors of unit length, against torch."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from frugalmtl.layers.vectors import unit_vectors


def test_values_and_gradients_are_those_of_normalize() -> None:
    values = torch.randn(2, 3, 5, 7, dtype=torch.float64)
    values[0, :, 0, 0] = 0
    values[0, :, 0, 1] = 1e-9
    gradients = []
    for function in (unit_vectors, F.normalize):
        leaf = values.clone().requires_grad_()
        (function(leaf, dim=1) * torch.arange(3.0)[:, None, None]).sum().backward()  # type: ignore[operator]
        gradients.append(leaf.grad)
    torch.testing.assert_close(unit_vectors(values, dim=1), F.normalize(values, dim=1))
    torch.testing.assert_close(gradients[0], gradients[1])
