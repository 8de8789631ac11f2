"""MTAN: masks in (0, 1) on shared features, what a task takes along, and the deployed form."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from frugalmtl.backbones.timm import Timm
from frugalmtl.core.checks import UserError
from frugalmtl.encoders import ENCODERS
from frugalmtl.encoders.mtan import MTAN

TASKS = ("a", "b")
IMAGE = (1, 3, 64, 64)


def mtan(model: str = "resnet18", **options: Any) -> MTAN:
    torch.manual_seed(0)
    encoder: MTAN = ENCODERS.build({"name": "mtan", **options}, Timm(model=model), TASKS)
    return encoder.eval()


def test_features_are_shared_ones_times_a_mask() -> None:
    encoder, image = mtan(), torch.randn(IMAGE)
    shared = encoder.encode(image)
    afters = shared[1::2]
    for pyramid in encoder.branch(shared).by_task.values():
        for level, after in zip(pyramid, afters, strict=True):
            assert (level.abs() <= after.abs()).all()
            assert (level * after >= 0).all()


def test_open_masks_are_hard_sharing() -> None:
    encoder, image = mtan(), torch.randn(IMAGE)
    with torch.no_grad():
        for masks in encoder.masks.values():
            for mask in masks:
                mask.expand[1].bias.fill_(100.0)
    expected = encoder.network(image)
    for pyramid in encoder(image).by_task.values():
        for level, other in zip(pyramid, expected, strict=True):
            torch.testing.assert_close(level, other)


def test_the_first_stage_by_hand_and_what_is_taken_along() -> None:
    encoder, image = mtan(), torch.randn(IMAGE)
    network, masks = encoder.network, encoder.masks["b"]
    before = network.stages[0][:-1](image)
    after = network.stages[0][-1](before)
    first = masks[0].expand(masks[0].reduce(before)) * after
    carried = torch.nn.functional.max_pool2d(encoder.refine[0].block(first), 2)
    middle = network.stages[1][:-1](after)
    second = masks[1](torch.cat([middle, carried], dim=1)) * network.stages[1][-1](middle)
    pyramid = encoder(image).by_task["b"]
    torch.testing.assert_close(pyramid[0], first)
    torch.testing.assert_close(pyramid[1], second)


def test_tasks_share_the_network_and_refinements_and_have_masks_of_their_own() -> None:
    encoder, image = mtan(), torch.randn(IMAGE)

    def reached(task: str) -> set[str]:
        encoder.zero_grad()
        torch.stack([level.sum() for level in encoder(image).by_task[task]]).sum().backward()
        return {name for name, parameter in encoder.named_parameters() if parameter.grad is not None}

    common = reached("a") & reached("b")
    assert {name.split(".")[0] for name in common} == {"network", "refine"}
    assert {name for name, _ in encoder.named_parameters()} == reached("a") | reached("b")


def test_deployed_masks_read_shared_features_by_one_convolution() -> None:
    encoder, image = mtan(), torch.randn(IMAGE)
    for norm in encoder.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.running_mean.normal_(std=0.1)
            norm.running_var.uniform_(0.5, 2.0)
    expected: dict[str, list[Tensor]] = encoder(image).by_task
    plain = encoder.deploy()
    assert [conv.out_channels for conv in plain.common] == [2 * width // 4 for width in (64, 128, 256, 512)]
    for task, pyramid in plain(image).items():
        for level, other in zip(pyramid, expected[task], strict=True):
            torch.testing.assert_close(level, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", ["hrnet_w18_small", "resnet10t"])
def test_backbones_without_such_stages_are_refused(model: str) -> None:
    with pytest.raises(UserError, match=r"stage \d of this backbone"):
        mtan(model)


def test_a_reduction_must_be_positive() -> None:
    with pytest.raises(UserError, match="reduction"):
        mtan(reduction=0)
