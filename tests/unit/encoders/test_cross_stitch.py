"""Cross-stitch: the mixing itself, its limits (identity, bypass), its start values, its recipe."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from frugalmtl.backbones.timm import Timm
from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import ParameterGroup
from frugalmtl.encoders import ENCODERS
from frugalmtl.encoders.cross_stitch import CrossStitch, mix
from frugalmtl.encoders.single_task import SingleTask

TASKS = ("a", "b", "c")


def networks(model: str) -> tuple[SingleTask, dict[str, Tensor]]:
    """Single-task networks with different weights, and their state."""
    encoder = SingleTask(Timm(model=model), TASKS).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return encoder, encoder.state_dict()


def stitched(model: str, state: dict[str, Tensor], **config: Any) -> CrossStitch:
    encoder = CrossStitch(Timm(model=model), TASKS, **config).eval()
    missing, unexpected = encoder.load_state_dict(state, strict=False)
    assert unexpected == []
    assert all(name.startswith("units.") for name in missing)
    return encoder


@pytest.mark.parametrize("model", ["test_resnet", "hrnet_w18_small", "test_vit"])
def test_bypassed_or_identity_units_give_the_single_task_features(model: str) -> None:
    single, state = networks(model)
    image = torch.randn(1, 3, 64, 64)
    expected = single(image).by_task
    bypassed = stitched(model, state)
    mixed = bypassed(image).by_task
    bypassed.enter_stage("single_task")
    identity = stitched(model, state, own=1.0)
    for task in TASKS:
        for level, other in zip(expected[task], bypassed(image).by_task[task], strict=True):
            assert torch.equal(level, other)
        for level, other in zip(expected[task], bypassed.deploy()(image)[task], strict=True):
            assert torch.equal(level, other)
        for level, other in zip(expected[task], identity(image).by_task[task], strict=True):
            assert torch.equal(level, other)
        assert not torch.allclose(expected[task][-1], mixed[task][-1], rtol=1e-2)
    bypassed.enter_stage("joint")
    assert torch.equal(bypassed(image).by_task["a"][-1], mixed["a"][-1])


@pytest.mark.parametrize("axis", [1, -1])
@pytest.mark.parametrize("width", [5, 1])
def test_mix_is_the_weighted_sum(axis: int, width: int) -> None:
    shape = (2, 5, 3, 4) if axis == 1 else (2, 3, 4, 5)
    tensors = [torch.randn(shape) for _ in range(3)]
    copies = [tensor.clone() for tensor in tensors]
    weight = torch.randn(3, 3, width)
    rule = "ijc,jbchw->ibchw" if axis == 1 else "ijc,jbhwc->ibhwc"
    expected = torch.einsum(rule, weight.expand(3, 3, 5), torch.stack(tensors))
    torch.testing.assert_close(torch.stack(mix(tensors, weight, axis)), expected)
    assert all(torch.equal(left, right) for left, right in zip(tensors, copies, strict=True))


def test_mix_has_the_right_gradients() -> None:
    tensors = [torch.randn(1, 2, 2, 2, dtype=torch.double, requires_grad=True) for _ in range(3)]
    weight = torch.randn(3, 3, 2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda w, *t: tuple(mix(t, w, 1)), (weight, *tensors))


def test_units_mix_after_every_stage_by_hand() -> None:
    _, state = networks("test_resnet")
    encoder = stitched("test_resnet", state)
    with torch.no_grad():
        for parameter in encoder.units.parameters():
            parameter.copy_(torch.rand_like(parameter))
    image = torch.randn(1, 3, 64, 64)
    states = [image] * 3
    for stage, unit in enumerate(encoder.units):
        outputs = torch.stack([net.stages[stage](s) for net, s in zip(encoder.networks.values(), states, strict=True)])
        states = list(torch.einsum("ijc,jbchw->ibchw", unit.weights[0], outputs))
        for task, expected in zip(TASKS, states, strict=True):
            torch.testing.assert_close(encoder(image).by_task[task][stage], expected)


def test_start_values_and_shapes() -> None:
    backbone = Timm(model="hrnet_w18_small")
    encoder = CrossStitch(backbone, TASKS, own=0.8)
    assert [[tuple(w.shape) for w in unit.weights] for unit in encoder.units] == [
        [(3, 3, width) for width in widths] for widths in backbone.stage_channels
    ]
    for weight in encoder.units.parameters():
        torch.testing.assert_close(weight.sum(1), torch.ones_like(weight.sum(1)))
        torch.testing.assert_close(weight[0, :, 0], torch.tensor([0.8, 0.1, 0.1]))
    explicit = CrossStitch(backbone, TASKS, own=0.7, other=0.2, granularity="scalar")
    assert {tuple(weight.shape) for weight in explicit.units.parameters()} == {(3, 3, 1)}
    torch.testing.assert_close(explicit.units[1].weights[0][2, :, 0], torch.tensor([0.2, 0.2, 0.7]))


def test_recipe() -> None:
    backbone = Timm(model="test_resnet")
    encoder = CrossStitch(backbone, TASKS, pretrain_share=0.25, lr_factor=50)
    alone, joint = encoder.recipe()
    assert (alone.name, alone.share, alone.trains("encoder.units.0.weights.0")) == ("single_task", 0.25, False)
    assert alone.trains("encoder.networks.a.stages.0.0.conv1.0.weight")
    assert (joint.name, joint.share, joint.groups) == ("joint", 0.75, (ParameterGroup("encoder.units.*", 50),))
    assert all(joint.trains(f"encoder.{name}") for name, _ in encoder.named_parameters())
    assert [stage.name for stage in CrossStitch(backbone, TASKS, pretrain_share=0.0).recipe()] == ["joint"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"granularity": "pixel"}, "granularity"),
        ({"lr_factor": 0.0}, "lr_factor must be above 0"),
        ({"pretrain_share": 1.0}, "pretrain_share must be below 1"),
        ({"pretrain_share": -0.1}, "pretrain_share must lie in"),
        ({"own": "much"}, "own must be a number"),
    ],
)
def test_refusals(config: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ENCODERS.build({"name": "cross_stitch", **config}, Timm(model="test_resnet"), TASKS)
    if "own" not in config:
        with pytest.raises(UserError):
            CrossStitch(Timm(model="test_resnet"), TASKS, **config)  # type: ignore[arg-type]
