"""Gathering of channels against torch's own selection: values, gradients, layouts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from frugalmtl.layers.gathering import gather

LAYOUTS = {
    "image": lambda: torch.randn(2, 6, 3, 5, dtype=torch.float64),
    "channels last": lambda: torch.randn(2, 6, 3, 5, dtype=torch.float64).to(memory_format=torch.channels_last),
    "one position": lambda: torch.randn(4, 6, 1, 1, dtype=torch.float64).to(memory_format=torch.channels_last),
    "tokens": lambda: torch.randn(6, 6, 6, dtype=torch.float64),
    "matrix, turned": lambda: torch.randn(6, 6, dtype=torch.float64).t(),
    "vector": lambda: torch.randn(6, dtype=torch.float64),
    "with holes": lambda: torch.randn(2, 6, 3, 10, dtype=torch.float64)[..., ::2],
}
CASES = [(name, dim) for name, build in LAYOUTS.items() for dim in range(-1, build().ndim) if build().shape[dim] == 6]


@pytest.mark.parametrize("index", [[4, 0, 3], [5, 3, 1, 0, 2, 4], [2]], ids=["some", "all", "one"])
@pytest.mark.parametrize(("layout", "dim"), CASES)
def test_values_gradients_and_layout(layout: str, dim: int, index: list[int]) -> None:
    torch.manual_seed(0)
    tensor, places = LAYOUTS[layout](), torch.tensor(index)
    results = []
    for function in (gather, torch.index_select):
        leaf = tensor.detach().requires_grad_()
        selected = function(leaf, dim, places)
        weight = torch.randn(selected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        (selected * weight).sum().backward()
        results.append((selected, leaf.grad))
    for computed, expected in zip(*results, strict=True):
        assert torch.equal(computed, expected)
    if layout == "channels last" and dim == 1:
        assert results[0][0].is_contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        assert torch.equal(gather(tensor, dim, places), results[1][0])


@pytest.mark.parametrize("index", [[4, 0, 3], [5, 3, 1, 0, 2, 4]], ids=["some", "all"])
def test_second_derivatives(index: list[int]) -> None:
    tensor = LAYOUTS["channels last"]().requires_grad_()
    assert torch.autograd.gradgradcheck(lambda leaf: gather(leaf, 1, torch.tensor(index)).square(), (tensor,))


@pytest.mark.parametrize("index", [[4, 0, 3], [5, 3, 1, 0, 2, 4]], ids=["some", "all"])
def test_gradients_side_by_side_are_those_one_by_one(index: list[int]) -> None:
    leaf = LAYOUTS["channels last"]().requires_grad_()
    selected = gather(leaf, 1, torch.tensor(index))
    rows = torch.randn(3, *selected.shape, dtype=torch.float64)

    def gradient(row: Tensor, *, batched: bool) -> Tensor:
        return torch.autograd.grad(selected, leaf, row, retain_graph=True, is_grads_batched=batched)[0]

    together = gradient(rows, batched=True)
    assert torch.allclose(together, torch.stack([gradient(row, batched=False) for row in rows]))
