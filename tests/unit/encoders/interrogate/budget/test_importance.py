"""Gates by importance: squared first-order changes of the loss when a shared channel replaces a task's."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from frugalmtl.core.checks import UserError
from frugalmtl.encoders.base import ModelContext
from frugalmtl.encoders.interrogate.encoder import InterroGate
from frugalmtl.encoders.interrogate.gates import Gates, Places, merge
from tests.support.channels import CIFAR
from tests.support.gated import SIDE, gated

PLACES = Places.of([3, 4], [1, 2])
OPTIONS: dict[str, Any] = {"gates": "importance", "budget": "0.7x", "frozen_share": 0.25, "pretrain_share": 0.0}


def test_alphas_sum_the_squared_change_of_the_loss_when_own_channels_are_replaced() -> None:
    """By hand: the loss is linear in the features, so that its first-order change is exact."""
    gates = Gates(2, PLACES, 0.01, weights=[1.0, 1.0])
    optimizer = torch.optim.SGD([gates.alpha], lr=1.0)
    expected = torch.zeros(2, PLACES.gates)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        optimizer.zero_grad()
        loss, changes = torch.zeros(()), []
        for choice, mix, width in zip(gates.choices(1), gates.mixes(), PLACES.widths, strict=True):
            private = [torch.randn(5, width, 2, 2, generator=generator) for _ in range(2)]
            shared, slopes = (
                torch.randn(5, width, 2, 2, generator=generator),
                torch.randn(2, width, generator=generator),
            )
            picked, _ = merge(choice, mix, 1, shared, private)
            for phi, slope in zip(picked, slopes, strict=True):
                loss = loss + (phi * slope[:, None, None]).sum()
            change = [
                ((phi - shared) * slope[:, None, None]).sum((0, 2, 3))
                for phi, slope in zip(private, slopes, strict=True)
            ]
            changes.append(torch.stack(change))
        loss.backward()
        optimizer.step()
        by_gate = torch.zeros(2, PLACES.gates).index_add_(1, torch.tensor(PLACES.columns), torch.cat(changes, 1))
        expected += by_gate.square()
    assert torch.allclose(gates.alpha, expected, rtol=1e-5)


def test_a_scale_of_a_tasks_loss_moves_no_gate_and_a_weight_does() -> None:
    importance = torch.rand(3, PLACES.gates, generator=torch.Generator().manual_seed(0))
    plain, weighed = Gates(3, PLACES, 0.01, weights=[1.0] * 3), Gates(3, PLACES, 0.01, weights=[1.0, 1.0, 9.0])
    worths = []
    for gates, scale in ((plain, 1.0), (plain, 1e-6), (weighed, 1.0)):
        with torch.no_grad():
            gates.alpha.copy_(importance * torch.tensor([[1.0], [scale], [scale]]))
        worths.append(gates.worth())
    assert torch.allclose(worths[0], worths[1], rtol=1e-4)
    assert torch.allclose(worths[2], worths[0] * torch.tensor([[1.0], [1.0], [9.0]]), rtol=1e-4)


def trained(**options: Any) -> InterroGate:
    """After some steps on noise, with frozen gates."""
    encoder = gated(CIFAR, 3, **OPTIONS | options).train()
    encoder.plan(ModelContext(SIDE, 0.0))
    optimizer = torch.optim.SGD(encoder.gates.parameters(), lr=0.1)
    encoder.enter_epoch(0, 4)
    generator = torch.Generator().manual_seed(0)
    for step in range(4):
        encoder.enter_step(step / 8)
        optimizer.zero_grad()
        features = encoder(torch.randn(2, 3, *SIDE, generator=generator)).by_task
        sum(level.square().mean() for levels in features.values() for level in levels).backward()
        optimizer.step()
    encoder.enter_epoch(3, 4)
    return encoder


def test_a_training_meets_the_budget_and_keeps_more_of_the_task_that_weighs_more() -> None:
    alike = trained()
    names = alike.task_names
    heavy = trained(gate_weights=dict.fromkeys(names, 1.0) | {names[0]: 5.0})
    for encoder in (alike, heavy):
        assert encoder.macs_of() == pytest.approx(encoder.target_macs, rel=0.01)
    shares = [(encoder.gates.alpha.detach() > 0).float().mean(1) for encoder in (alike, heavy)]
    assert shares[1][0] > shares[0][0]
    assert shares[1][1:].mean() < shares[0][1:].mean()


def test_before_the_first_step_all_channels_are_the_tasks_own() -> None:
    gates = Gates(2, PLACES, 0.01, weights=[1.0, 3.0])
    assert all(mask.all() for mask in gates.private())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"gate_weights": {"near": 1.0}}, "gate_weights lacks far"),
        ({"gate_weights": {"near": 1.0, "far": 0.0}}, "gate_weights of 'far'"),
        ({"gate_weights": {"near": 1.0, "fro": 1.0}}, "gate_weights"),
        ({"gates": "learned", "gate_weights": {"near": 1.0, "far": 1.0}}, "take gates: importance"),
        ({"budget": None}, "a budget says how many close"),
        ({"lambda_s": 0.1}, "leave out lambda_s"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        gated(CIFAR, 2, **OPTIONS | options)
