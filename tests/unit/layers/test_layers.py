"""Blocks, and the deployed forms that must not change what they compute."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from frugalmtl.core.checks import UserError
from frugalmtl.layers.aspp import AtrousPyramid
from frugalmtl.layers.blocks import basic_block, bottleneck, conv_bn_relu
from frugalmtl.layers.distillation import Distillation
from frugalmtl.layers.folding import folded, select_inputs
from frugalmtl.layers.fusion import LevelwiseFusion, PyramidFusion

Scramble = Callable[[nn.Module], None]


@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 1), (3, 4), (5, 2)])
def test_conv_bn_relu_keeps_the_size(kernel: int, dilation: int) -> None:
    block = conv_bn_relu(3, 5, kernel=kernel, dilation=dilation)
    assert block(torch.randn(2, 3, 7, 9)).shape == (2, 5, 7, 9)
    assert block[0].bias is None


def test_bottleneck_has_a_quarter_inside_and_projects_only_where_channels_change() -> None:
    changes, keeps = bottleneck(6, 16), bottleneck(16, 16)
    assert [conv.out_channels for conv in (changes.conv1, changes.conv2, changes.conv3)] == [4, 4, 16]
    assert changes.downsample is not None
    assert keeps.downsample is None
    assert changes(torch.randn(2, 6, 4, 4)).shape == (2, 16, 4, 4)
    with pytest.raises(UserError, match="must be a multiple of 4, but got 18"):
        bottleneck(6, 18)


def test_basic_block() -> None:
    assert basic_block(6, 10)(torch.randn(2, 6, 4, 4)).shape == (2, 10, 4, 4)
    assert basic_block(6, 6).downsample is None


def test_folded_and_selected_convolutions(scramble_norms: Scramble) -> None:
    conv, norm, maps = nn.Conv2d(6, 4, 3, padding=2, dilation=2), nn.BatchNorm2d(4), torch.randn(2, 6, 8, 8)
    scramble_norms(norm)
    whole = folded(conv, norm)
    torch.testing.assert_close(whole(maps), norm(conv(maps)), rtol=0, atol=1e-5)
    odd, even = [1, 5, 3], [0, 2, 4]
    parts = select_inputs(whole, odd, bias=True)(maps[:, odd]) + select_inputs(whole, even, bias=False)(maps[:, even])
    torch.testing.assert_close(parts, whole(maps), rtol=0, atol=1e-5)


def test_levels_of_equal_stride_share_a_convolution(scramble_norms: Scramble) -> None:
    channels, strides = [3, 4, 5, 6], [4, 8, 4, 8]
    fusion = PyramidFusion(channels, strides, 7).eval()
    scramble_norms(fusion)
    plain = fusion.deploy()
    assert isinstance(plain, LevelwiseFusion)
    assert [conv.in_channels for conv in plain.convs] == [8, 10]
    pyramid = [torch.randn(2, c, 32 // s, 64 // s) for c, s in zip(channels, strides, strict=True)]
    torch.testing.assert_close(plain(pyramid), fusion(pyramid), rtol=0, atol=1e-5)


def test_fused_width_is_the_sum_of_channels_by_default() -> None:
    assert PyramidFusion([18, 36, 72, 144], [4, 8, 16, 32]).width == 270


@pytest.mark.parametrize("size", [(1, 1), (5, 8), (80, 60)])  # below and above the largest dilation
def test_deployed_atrous_pyramid_equals(size: tuple[int, int], scramble_norms: Scramble) -> None:
    pyramid = AtrousPyramid(6, 8, (12, 24, 36), 0.5).eval()
    scramble_norms(pyramid)
    maps = torch.randn(2, 6, *size)
    torch.testing.assert_close(pyramid.deploy()(maps), pyramid(maps), rtol=0, atol=1e-5)


def test_atrous_pyramid_refuses_one_image_in_training() -> None:
    pyramid = AtrousPyramid(6, 8, (2,), 0.5)
    with pytest.raises(UserError, match="at least 2 images per batch and process, but got 1"):
        pyramid(torch.randn(1, 6, 4, 4))
    assert pyramid.eval()(torch.randn(1, 6, 4, 4)).shape == (1, 8, 4, 4)


@pytest.mark.parametrize("value_convolution", [True, False])
def test_distillation_is_the_published_sum(value_convolution: bool) -> None:
    width, sources, targets = 4, ["a", "b", "c"], ["a", "c"]
    module = Distillation(sources, targets, width, value_convolution)
    features = {name: torch.randn(2, width, 5, 6) for name in sources}
    computed = module(features)
    assert list(computed) == targets
    for target in targets:
        wanted = features[target]
        for source in sources:
            if source == target:
                continue
            receivers = [name for name in targets if name != source]
            weights = module.convs[source].weight.split(width)
            attention = weights[receivers.index(target)]
            message = features[source]
            if value_convolution:
                value = weights[len(receivers) + receivers.index(target)]
                message = nn.functional.conv2d(features[source], value, padding=1)
            gate = nn.functional.conv2d(features[source], attention, padding=1).sigmoid()
            wanted = wanted + gate * message
        torch.testing.assert_close(computed[target], wanted, rtol=0, atol=1e-5)


def test_distillation_of_one_task_is_the_identity() -> None:
    module = Distillation(["a"], ["a"], 4, True)
    maps = torch.randn(1, 4, 3, 3)
    assert list(module.parameters()) == []
    assert torch.equal(module({"a": maps})["a"], maps)
