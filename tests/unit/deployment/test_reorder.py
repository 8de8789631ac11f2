"""Reorderings of channels folded into the convolutions that read them."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from frugalmtl.channels.program import ReorderChannels
from frugalmtl.deployment.observe import observe
from frugalmtl.deployment.reorder import fold_reorders


class Reordered(nn.Module):
    """Three channels in another order, and what reads them."""

    def __init__(self, readers: list[nn.Module], *, returned: bool = False) -> None:
        super().__init__()
        self.reorder = ReorderChannels(torch.tensor([2, 0, 1]), 1)
        self.readers = nn.ModuleList(readers)
        self.returned = returned

    def forward(self, image: Tensor) -> list[Tensor]:
        value = self.reorder(image)
        outputs = [reader(value) for reader in self.readers]
        return [*outputs, value] if self.returned else outputs


def folded(module: nn.Module) -> nn.Module:
    result = deepcopy(module)
    fold_reorders(result, observe(result, torch.randn(1, 3, 5, 5)))
    return result


def check_equal(module: nn.Module, other: nn.Module) -> None:
    image = torch.randn(2, 3, 6, 7)
    with torch.no_grad():
        for expected, computed in zip(module(image), other(image), strict=True):
            torch.testing.assert_close(expected, computed)


def test_convolutions_read_channels_as_they_come() -> None:
    module = Reordered([nn.Conv2d(3, 4, 1), nn.Conv2d(3, 2, 3, padding=1)])
    plain = folded(module)
    assert isinstance(plain.reorder, nn.Identity)
    check_equal(module, plain)


@pytest.mark.parametrize(
    ("readers", "returned"),
    [
        ([nn.Conv2d(3, 4, 1)], True),
        ([nn.Conv2d(3, 4, 1), nn.ReLU()], False),
        ([nn.Conv2d(3, 3, 1, groups=3)], False),
        ([nn.Conv2d(3, 4, 1)] * 2, False),
    ],
    ids=["returned", "another reader", "in groups", "called twice"],
)
def test_a_reordering_that_others_see_stays(readers: list[nn.Module], returned: bool) -> None:
    module = Reordered(readers, returned=returned)
    plain = folded(module)
    assert isinstance(plain.reorder, ReorderChannels)
    check_equal(module, plain)
