"""CifarResNet: the sizes and the cost of its source, shortcuts, widths."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from frugalmtl.backbones import BACKBONES
from frugalmtl.backbones.cifar_resnet import Block, CifarResNet, PaddedShortcut
from frugalmtl.core.checks import UserError


def build(**config: Any) -> CifarResNet:
    backbone: CifarResNet = BACKBONES.build({"name": "cifar_resnet", **config})
    return backbone


def convolutions(backbone: nn.Module, kernel: int) -> list[nn.Conv2d]:
    return [m for m in backbone.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (kernel, kernel)]


@pytest.mark.parametrize(("depth", "published"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
def test_size_is_the_published_one(depth: int, published: float) -> None:
    """He et al. 2016, table 6, with the classifier of ten classes."""
    with torch.device("meta"):
        backbone = build(depth=depth)
    millions = (sum(p.numel() for p in backbone.parameters()) + 64 * 10 + 10) / 1e6
    assert millions == pytest.approx(published, abs=0.05 if depth == 110 else 0.005)
    assert len(convolutions(backbone, 3)) + 1 == depth


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_pyramid_has_the_declared_channels_and_strides(shortcut: str) -> None:
    backbone = build(depth=8, width=0.5, shortcut=shortcut).eval()
    levels = backbone(torch.randn(2, 3, 32, 48))
    assert [tuple(level.shape) for level in levels] == [(2, 8, 32, 48), (2, 16, 16, 24), (2, 32, 8, 12)]
    assert (backbone.channels, backbone.strides, backbone.size_divisor) == ([8, 16, 32], [1, 2, 4], 4)
    assert backbone.stage_channels == [(8,), (16,), (32,)]
    assert [info.stage for info in backbone.blocks] == [0, 0, 1, 2]


def test_every_parameter_gets_a_gradient() -> None:
    backbone = build(depth=8, shortcut="B")
    sum(level.square().mean() for level in backbone(torch.randn(2, 3, 16, 16))).backward()
    assert [name for name, parameter in backbone.named_parameters() if parameter.grad is None] == []


def test_blocks_leave_their_input_unchanged() -> None:
    backbone = build(depth=8).eval()
    state = torch.randn(1, 3, 16, 16)
    for info in backbone.blocks:
        before = state.clone()
        after = backbone.get_submodule(info.name)(state)
        assert torch.equal(state, before), info.name
        state = after


def test_shortcut_a_is_free_and_shortcut_b_a_convolution() -> None:
    free, paid = build(), build(shortcut="B")
    assert convolutions(free, 1) == []
    assert [(conv.in_channels, conv.out_channels, conv.stride) for conv in convolutions(paid, 1)] == [
        (16, 32, (2, 2)),
        (32, 64, (2, 2)),
    ]
    features = torch.randn(1, 4, 6, 8)
    short = PaddedShortcut(4, 7, 2)(features)
    assert torch.equal(short[:, 1:5], features[:, :, ::2, ::2])
    assert short.shape == (1, 7, 3, 4)
    assert short[:, 0].abs().sum() == short[:, 5:].abs().sum() == 0


def test_block_with_silent_convolutions_is_its_shortcut() -> None:
    block = Block(4, 4, 1, "A").eval()
    nn.init.zeros_(block.conv2.weight)
    features = torch.randn(2, 4, 5, 5)
    assert torch.equal(block(features), features.relu())


def test_operations_of_the_plain_network() -> None:
    """40.6 M multiply-adds at 32 x 32, 18 convolutions of 2.36 M (two of them half) and the stem."""
    with torch.device("meta"):
        backbone = build().eval()
        with FlopCounterMode(display=False) as counter:
            backbone(torch.empty(1, 3, 32, 32))
    assert counter.get_total_flops() // 2 == 17 * 9 * 16 * 16 * 1024 + 27 * 16 * 1024


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"depth": 18}, "depth must be 6 n \\+ 2"),
        ({"depth": 2}, "depth must be 6 n \\+ 2"),
        ({"width": 0}, "width must be above 0"),
        ({"shortcut": "C"}, "shortcut must be"),
    ],
)
def test_mistakes_are_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(**config)
