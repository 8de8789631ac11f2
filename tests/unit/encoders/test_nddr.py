"""NDDR-CNN: units that begin near single-task networks, one behind the stem, and their rows."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from frugalmtl.backbones.timm import Timm
from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import ParameterGroup
from frugalmtl.encoders import ENCODERS
from frugalmtl.encoders.nddr import NDDR, NDDRUnit

TASKS = ("a", "b", "c")


def nddr(model: str = "test_resnet", **config: Any) -> NDDR:
    torch.manual_seed(0)
    encoder: NDDR = ENCODERS.build({"name": "nddr", **config}, Timm(model=model), TASKS)
    return encoder.eval()


@pytest.mark.parametrize("axis", [1, -1])
def test_a_unit_by_its_definition(axis: int) -> None:
    torch.manual_seed(0)
    unit = NDDRUnit(torch.rand(3, 3), axis, 0.1, (5,)).eval()
    for fusion in unit.fusions[0]:
        torch.nn.init.normal_(fusion[0].weight)
        fusion[1].running_mean.normal_()
        fusion[1].running_var.uniform_(0.5, 2.0)
    states = [torch.randn((2, 5, 3, 4) if axis == 1 else (2, 3, 4, 5)) for _ in TASKS]
    joined = torch.cat([state.movedim(axis, 1) for state in states], dim=1)
    for fusion, state in zip(unit.fusions[0], unit(states), strict=True):
        conv, norm = fusion[0], fusion[1]
        mixed = torch.einsum("oc,bchw->bohw", conv.weight[..., 0, 0], joined)
        scale = (norm.running_var + norm.eps).rsqrt()
        expected = ((mixed - norm.running_mean[:, None, None]) * scale[:, None, None]).relu()
        torch.testing.assert_close(state.movedim(axis, 1), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", ["test_resnet", "hrnet_w18_small"])
def test_units_begin_with_what_tasks_have_of_each_other(model: str) -> None:
    encoder = nddr(model, own=0.8, other=0.1)
    expected = torch.full((3, 3), 0.1).fill_diagonal_(0.8)
    for unit in encoder._units():
        torch.testing.assert_close(unit.mean(), expected)
    fresh = nddr(model)
    torch.testing.assert_close(fresh._units()[0].mean(), torch.full((3, 3), 0.05).fill_diagonal_(0.9))


def test_a_unit_stands_behind_the_stem_and_every_stage() -> None:
    backbone = Timm(model="test_resnet")
    encoder = nddr()
    widths = [conv[0][0].out_channels for conv in (unit.fusions[0] for unit in encoder.units)]
    assert widths == [backbone.blocks[0].channels[0], *(channels[0] for channels in backbone.stage_channels)]


def test_units_of_the_own_features_alone_are_normalised_networks() -> None:
    """With own 1, other 0 and fresh statistics a unit is relu(x / sqrt(1 + eps)): tasks do not see each other."""
    encoder = nddr(own=1.0, other=0.0)
    image = torch.randn(1, 3, 64, 64)
    before = encoder(image).by_task["a"]
    with torch.no_grad():
        for parameter in encoder.networks["b"].parameters():
            parameter.add_(1.0)
    for level, other in zip(before, encoder(image).by_task["a"], strict=True):
        torch.testing.assert_close(level, other)
    assert all((level >= 0).all() for level in before)


def test_bypassed_units_leave_the_networks_alone() -> None:
    encoder, image = nddr(), torch.randn(1, 3, 64, 64)
    encoder.enter_stage("single_task")
    for task, pyramid in encoder(image).by_task.items():
        for level, expected in zip(pyramid, encoder.networks[task](image), strict=True):
            assert torch.equal(level, expected)


def test_units_learn_faster() -> None:
    first, second = nddr().recipe()
    assert first.frozen == ("encoder.units.*",)
    assert second.groups == (ParameterGroup("encoder.units.*", 100.0),)
    assert len(nddr(pretrain_share=0.0).recipe()) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [({"momentum": 2.0}, "momentum"), ({"pretrain_share": 1.0}, "pretrain_share must be below 1")],
)
def test_mistakes_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        nddr(**options)
