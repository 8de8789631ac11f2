"""Cheaper forms of a static network: convolutions that read one tensor, stacked, and sums in place."""

from __future__ import annotations

import operator

import pytest
import torch
from torch import Tensor, fx, nn

from frugalmtl.channels.static import LANES, add_in_place, rounded_up, stack_layers


class Branches(nn.Module):
    """Convolution, normalisation and activation of several branches on one image, and a layer behind each."""

    def __init__(self, widths: list[int], *, strides: list[int] | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.ModuleList(
            nn.Sequential(nn.Conv2d(3, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
            for width, stride in zip(widths, strides or [1] * len(widths), strict=True)
        )
        self.second = nn.ModuleList(nn.Conv2d(width, 4, 1) for width in widths)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.running_mean, module.running_var, module.weight, module.bias):
                    assert tensor is not None
                    nn.init.uniform_(tensor, 0.5, 1.5)

    def forward(self, image: Tensor) -> list[Tensor]:
        return [second(first(image)) for first, second in zip(self.first, self.second, strict=True)]


def stacked(module: nn.Module) -> fx.GraphModule:
    graph = fx.Tracer().trace(module)
    stack_layers(module, graph)
    graph.lint()
    return fx.GraphModule(module, graph)


def kinds(module: fx.GraphModule) -> list[str]:
    return [type(module.get_submodule(str(node.target))).__name__ for node in module.graph.nodes if "module" in node.op]


def check_equal(module: nn.Module, other: nn.Module) -> None:
    image = torch.randn(2, 3, 9, 8)
    with torch.no_grad():
        for expected, computed in zip(module.eval()(image), other.eval()(image), strict=True):
            torch.testing.assert_close(expected, computed)
    numbers = [sum(tensor.numel() for tensor in part.parameters()) for part in (module, other)]
    assert numbers[0] == numbers[1]


@pytest.mark.parametrize("widths", [[18, 18], [18, 5, 1, 40]])
def test_layers_up_to_the_activation_become_one(widths: list[int]) -> None:
    apart = Branches(widths)
    joined = stacked(Branches(widths))
    assert kinds(joined) == ["Conv2d", "BatchNorm2d", "ReLU", *["Conv2d"] * len(widths)]
    check_equal(apart, joined)


def test_widths_that_fill_all_lanes_stay_apart() -> None:
    joined = stacked(Branches([LANES, 2 * LANES]))
    assert kinds(joined).count("Conv2d") == 4
    assert [rounded_up(width) for width in (1, LANES, LANES + 1)] == [LANES, LANES, 2 * LANES]


def test_layers_of_other_strides_stay_apart() -> None:
    strides = [1, 2, 2]
    joined = stacked(Branches([18, 18, 18], strides=strides))
    assert kinds(joined).count("ReLU") == 2
    check_equal(Branches([18, 18, 18], strides=strides), joined)


def test_a_stack_ends_where_branches_differ() -> None:
    def build() -> Branches:
        module = Branches([18, 18])
        module.first[1][2] = nn.Identity()
        return module

    joined = stacked(build())
    assert kinds(joined) == ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "Identity", "Conv2d"]
    check_equal(build(), joined)


def test_a_tensor_that_others_read_too_is_cut_out_of_the_stack() -> None:
    class Read(Branches):
        def forward(self, image: Tensor) -> list[Tensor]:
            values = [first[0](image) for first in self.first]  # type: ignore[index]
            return [*(first[1](value) for first, value in zip(self.first, values, strict=True)), values[0]]  # type: ignore[index]

    joined = stacked(Read([18, 18]))
    assert kinds(joined) == ["Conv2d", "BatchNorm2d", "BatchNorm2d"]
    expected = Read([18, 18])
    image = torch.randn(2, 3, 9, 8)
    with torch.no_grad():
        for wanted, computed in zip(expected.eval()(image), joined.eval()(image), strict=True):
            torch.testing.assert_close(wanted, computed)


class Sums(nn.Module):
    """Sums of what others read too, and of what nobody else reads."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Conv2d(3, 3, 1) for _ in range(4))

    def forward(self, image: Tensor) -> list[Tensor]:
        first, second = self.layers[0](image), self.layers[1](image)
        block = self.layers[2](first) + first
        both = first + second.relu()
        return [block, image + self.layers[3](both), image + first]


def test_sums_are_taken_in_place_where_nobody_reads_the_addend() -> None:
    module = Sums()
    graph = fx.Tracer().trace(module)
    add_in_place(module, graph)
    targets = [node.target for node in graph.nodes if node.target in (operator.add, operator.iadd)]
    assert targets == [operator.iadd, operator.add, operator.iadd, operator.add]
    image = torch.randn(2, 3, 5, 4)
    before = image.clone()
    with torch.no_grad():
        for expected, computed in zip(module(image), fx.GraphModule(module, graph)(image), strict=True):
            torch.testing.assert_close(expected, computed)
    assert torch.equal(image, before)
