"""Peak memory of chains whose live tensors can be listed by hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from frugalmtl.evaluation.cost import peak_memory

IMAGE = torch.rand(1, 3, 8, 8)
PLANE = 8 * 8 * 4  # bytes of one float32 channel


class Keep(nn.Module):
    """Runs a chain and keeps the first output until the end."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        first = value = self.parts[0](image)
        for part in self.parts[1:]:
            value = part(value)
        return first, value


def chain() -> list[nn.Module]:
    return [nn.Conv2d(3, 4, 1), nn.Conv2d(4, 10, 1), nn.Conv2d(10, 6, 1), nn.Conv2d(6, 1, 1)]


def test_chain_holds_two_neighbours():
    assert peak_memory(nn.Sequential(*chain()), IMAGE) == (10 + 6) * PLANE


def test_kept_tensor_adds_up():
    assert peak_memory(Keep(*chain()), IMAGE) == (4 + 10 + 6) * PLANE


def test_views_and_in_place_operations_are_free():
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True), nn.Flatten())
    assert peak_memory(module, IMAGE) == 4 * PLANE
    assert peak_memory(nn.Flatten(), IMAGE) == 0


def test_weights_do_not_count():
    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1000, 1000))

        def forward(self, image: Tensor) -> Tensor:
            return self.weight.view(-1)[:3].view(1, 3, 1, 1) + image

    assert peak_memory(Wide(), IMAGE) == 3 * PLANE
