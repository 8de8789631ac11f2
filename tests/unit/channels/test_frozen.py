"""Frozen programs of random masks: features and gradients of the masked full networks, at the plan's cost."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import pytest
import torch
from timm.layers.drop import DropPath
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.flop_counter import FlopCounterMode

from frugalmtl.channels import FrozenProgram, Mask, node_macs
from frugalmtl.core.types import Pyramid
from tests.support.channels import (
    CIFAR,
    SIZE,
    SWIN,
    VIT,
    VIT_STAGES,
    Branches,
    branches,
    draw_masks,
    image,
    masked_networks,
)


def features_of(program: FrozenProgram, parts: Branches, batch: Tensor, *, training: bool) -> dict[str, Pyramid]:
    """The levels of every private branch."""
    tensors = program(batch, parts.mixes, training=training)
    if program.anchored:
        tensors.pop()
    pyramids: dict[str, Pyramid] = {name: [] for name in parts.names}
    for number, index in enumerate(parts.graph.outputs):
        if program.levels[number] is None:
            levels = [tensors.pop(0) for _ in parts.names]
        else:
            levels = program.concatenate(number, tensors, parts.graph.nodes[index].axis)
        for name, level in zip(parts.names, levels, strict=True):
            pyramids[name].append(level)
    assert not tensors
    return pyramids


def weighted(pyramids: dict[str, Pyramid]) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    levels = [level for pyramid in pyramids.values() for level in pyramid]
    weights = [torch.randn(level.shape, generator=generator).to(level.dtype) for level in levels]
    return torch.stack([(level * weight).mean() for level, weight in zip(levels, weights, strict=True)]).sum()


def mixing(parts: Branches) -> list[Tensor]:
    """Scores whose softmax are the mixes from now on: leaves."""
    scores = [mix.log().requires_grad_() for mix in parts.mixes]
    parts.mixes[:] = [score.softmax(0) for score in scores]
    return scores


def doubled(kind: str, number: int, *, training: bool, projected: bool = False) -> tuple[Branches, Sequence[Mask]]:
    parts = branches(kind, number, projected=projected)
    for module in (*parts.networks, *parts.projections.values()):
        module.double().train(training)
        for part in module.modules():
            if isinstance(part, DropPath):
                part.drop_prob = 0.0  # both forms draw, but not in one order
    parts.mixes[:] = [mix.double().log().softmax(0) for mix in parts.mixes]
    return parts, draw_masks(parts.graph, number, seed=number)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize(
    ("kind", "projected"),
    [(CIFAR, False), ("resnet", False), ("efficientnet", False), (VIT, True), (VIT_STAGES, False), (SWIN, True)],
)
def test_same_features_and_gradients(kind: str, projected: bool, number: int, training: bool) -> None:
    parts, private = doubled(kind, number, training=training, projected=projected)
    twin = deepcopy(parts)
    scores, twin_scores = mixing(parts), mixing(twin)
    batch = image().double()
    program = FrozenProgram(twin.plan(private), twin.networks, twin.projections)
    expected, computed = masked_networks(parts, private, batch), features_of(program, twin, batch, training=training)
    for name in parts.names:
        for level, other in zip(expected[name], computed[name], strict=True):
            assert torch.allclose(level, other, rtol=1e-9, atol=1e-9)
    weighted(expected).backward()
    weighted(computed).backward()
    pairs = [
        pair
        for first, second in zip(parts.networks, twin.networks, strict=True)
        for pair in zip(first.parameters(), second.parameters(), strict=True)
    ]
    for parameter, other in [*pairs, *zip(scores, twin_scores, strict=True)]:
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        sliced = torch.zeros_like(parameter) if other.grad is None else other.grad
        assert (gradient - sliced).abs().max() <= 1e-7 * gradient.abs().max() + 1e-12


def test_running_statistics_of_computed_channels_move() -> None:
    parts, private = doubled("resnet", 2, training=True)
    twin, before = deepcopy(parts), deepcopy(parts)
    plan = twin.plan(private)
    with torch.no_grad():
        masked_networks(parts, private, image().double())
        FrozenProgram(plan, twin.networks, {})(image().double(), twin.mixes, training=True)
    moved = 0
    for index, node in enumerate(parts.graph.nodes):
        for branch, network in enumerate(twin.networks):
            target = node.operation.target
            if target is None or not isinstance(network.get_submodule(target), _BatchNorm):
                continue
            means = [part.networks[branch].get_submodule(target).running_mean for part in (twin, parts, before)]
            computed = torch.from_numpy(plan.computed[index][branch])
            assert torch.allclose(means[0][computed], means[1][computed], atol=1e-12)
            assert torch.equal(means[0][~computed], means[2][~computed])
            moved += int((means[0] != means[2]).sum())
    assert moved > 0


def test_what_runs_is_what_the_plan_counts() -> None:
    parts = branches("resnet", 3)
    private = draw_masks(parts.graph, 3, seed=2)
    plan = parts.plan(private)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        FrozenProgram(plan, parts.networks, {})(image(1), parts.mixes, training=False)
    assert counter.get_total_flops() / 2 == pytest.approx(plan.macs(node_macs(parts.graph, parts.networks[0], SIZE)))
