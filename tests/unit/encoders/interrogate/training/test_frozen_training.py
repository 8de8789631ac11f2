"""Training steps with frozen gates against steps with gates that do not move."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from tests.support.channels import CIFAR, image, scramble, worst
from tests.support.gated import (
    deployed,
    draw_gates,
    gated,
)
from tests.support.needs import Needs


def test_frozen_epochs_without_a_budget_keep_the_gates_as_learned() -> None:
    encoder = gated(CIFAR, 2, frozen_share=0.5, pretrain_share=0.0).train()
    draw_gates(encoder, 4)
    before = encoder.gates.alpha.detach().clone()
    encoder.enter_stage("joint")
    for epoch in range(4):
        encoder.enter_epoch(epoch, 4)
        encoder.enter_step(epoch / 4)
    assert torch.equal(encoder.gates.alpha, before)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (CIFAR, {}),
        ("vision_transformer", {"attention": "heads"}),
        ("vision_transformer", {"projection": True}),
        ("efficientnet", {}),
    ],
    ids=["cnn", "heads", "projection", "excitation"],
)
def test_training_with_frozen_gates_is_training_with_gates_that_do_not_move(
    kind: str, settings: dict[str, Any]
) -> None:
    """Outputs, gradients and running statistics, whatever is left out of the computation."""
    encoder = gated(kind, 2, frozen_share=0.5, pretrain_share=0.0, **settings).train()
    draw_gates(encoder, 4)
    frozen, free = encoder, deepcopy(encoder)
    starts = [*deepcopy(encoder.networks).values(), deepcopy(encoder.shared)]
    for part in (frozen, free):
        part.enter_stage("joint")
    frozen.enter_epoch(1, 2)
    frozen.enter_step(0.5)
    results = []
    for part in (frozen, free):
        features = part(image(4))
        generator = torch.Generator().manual_seed(0)
        torch.stack(
            [
                (level * torch.randn(level.shape, generator=generator)).mean()
                for pyramid in features.by_task.values()
                for level in pyramid
            ]
        ).sum().backward()
        results.append(features.by_task)
    assert worst(*results) <= 1e-4
    others = dict(free.named_parameters())
    for name, parameter in frozen.named_parameters():
        if name == "gates.alpha":
            continue
        zero = torch.zeros_like(parameter)
        computed = parameter.grad if parameter.grad is not None else zero
        plain = others[name].grad if others[name].grad is not None else zero
        assert (computed - plain).abs().max() <= 2e-3 * plain.abs().max() + 1e-6, name
    branches = [*frozen.networks.values(), frozen.shared]
    needs = Needs(frozen.graph, frozen.gates.private(), frozen.levels())
    twins = [*free.networks.values(), free.shared]
    for (branch, index), channels in needs.computed.items():
        target = frozen.graph.nodes[index].operation.target or ""
        if isinstance(branches[branch].get_submodule(target), _BatchNorm) and target:
            computed, plain = (part[branch].get_submodule(target).running_mean for part in (branches, twins))
            kept = sorted(channels)
            assert torch.allclose(computed[kept], plain[kept], atol=1e-5), target
            assert bool((computed[kept] != starts[branch].get_submodule(target).running_mean[kept]).any())
    frozen.eval()
    with torch.no_grad():
        assert worst(frozen(image()).by_task, deployed(frozen)(image())) <= 1e-4


def test_frozen_networks_are_copied_and_evaluated_like_others() -> None:
    encoder = gated(CIFAR, 2, frozen_share=0.5, pretrain_share=0.0).train()
    draw_gates(encoder, 4)
    encoder.enter_stage("joint")
    encoder.enter_epoch(1, 2)
    encoder.enter_step(0.5)
    encoder.eval()
    twin = deepcopy(encoder)
    with torch.no_grad():
        before = encoder(image()).by_task
        assert worst(before, twin(image()).by_task) == 0.0
        scramble(twin, 9)
        assert worst(before, encoder(image()).by_task) == 0.0, "a copy has weights of its own"
        assert worst(before, twin(image()).by_task) > 0.0
