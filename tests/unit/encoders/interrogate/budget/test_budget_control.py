"""InterroGate's budgets: refused, approached along the ramp, met when gates are frozen."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch

from frugalmtl.core.checks import UserError
from frugalmtl.deployment import plan_encoder
from frugalmtl.encoders.base import ModelContext
from tests.support.channels import CIFAR, image
from tests.support.gated import (
    SIDE,
    ClockBy,
    budgeted,
    milliseconds,
    toy_model,
)


@pytest.mark.parametrize("budget", ["0.1x", "1k"])
def test_a_budget_that_cannot_be_kept_is_refused_before_training(budget: str) -> None:
    encoder = budgeted(budget)
    before = deepcopy(encoder.state_dict())
    with pytest.raises(UserError, match=r"cannot be kept.*ask for something between") as caught:
        encoder.plan(ModelContext(SIDE, 0.0))
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items() if name != "goal")


@pytest.mark.parametrize("budget", ["1.5x", "1T"])
def test_a_budget_that_single_task_networks_meet_keeps_every_channel(budget: str) -> None:
    encoder = budgeted(budget)
    with pytest.warns(UserWarning, match=r"is met by .*single-task networks at .*\(1.00x\): that is trained"):
        encoder.plan(ModelContext(SIDE, 0.0))
    assert encoder.target_macs == encoder.budget_control.full
    encoder.budget_control.freeze(encoder.macs_of, encoder.target_macs)
    assert all(mask.all() for mask in encoder.gates.private())


def test_the_heads_are_part_of_a_budget() -> None:
    encoder = budgeted("0.9x")
    encoder.plan(ModelContext(SIDE, 0.0))
    bare = encoder.target_macs
    encoder.plan(ModelContext(SIDE, 1e6))
    assert encoder.target_macs == pytest.approx(bare + 0.9e6)
    assert budgeted("0.9x").target_macs is None, "not known before"


def test_steps_need_to_know_the_rest_of_the_model() -> None:
    with pytest.raises(UserError, match="plan"):
        budgeted("0.9x").enter_step(0.0)


@pytest.mark.parametrize(
    ("kind", "settings"), [(CIFAR, {}), ("vision_transformer", {"attention": "heads"})], ids=["cnn", "vit"]
)
def test_the_cost_falls_along_the_ramp(kind: str, settings: dict[str, Any]) -> None:
    """From T networks' to the budget over the first half of the learning epochs; then it stays there."""
    encoder = budgeted("0.7x", kind=kind, ramp=0.5, **settings)
    encoder.plan(ModelContext((32, 32), 0.0))
    encoder.enter_epoch(0, 4)  # of which the last one has frozen gates
    full, goal = encoder.budget_control.full, encoder.target_macs
    costs, wanted = [], []
    for share in np.linspace(0.0, 0.74, 12):
        for _ in range(3):  # what the smooth formula leaves out is learned from the step before
            encoder.enter_step(float(share))
        costs.append(encoder.macs_of())
        wanted.append(full + (goal - full) * min(1.0, share / 0.75 / 0.5))
    assert goal == pytest.approx(0.7 * full)
    assert costs == pytest.approx(wanted, rel=0.06)
    assert sorted(costs, reverse=True) == pytest.approx(costs, rel=0.03)
    assert costs[0] == pytest.approx(full, rel=0.02)
    assert costs[-1] == pytest.approx(goal, rel=0.06)


def test_without_a_ramp_the_budget_holds_from_the_first_step() -> None:
    encoder = budgeted("0.7x", ramp=0.0)
    encoder.plan(ModelContext(SIDE, 0.0))
    encoder.enter_step(0.0)
    assert encoder.macs_of() == pytest.approx(encoder.target_macs, rel=0.03)


@pytest.mark.parametrize("multiple", [1, 4])
def test_gates_are_decided_once_and_frozen(multiple: int) -> None:
    encoder = budgeted("0.75x", 3, multiple=multiple)
    encoder.plan(ModelContext(SIDE, 0.0))
    encoder.enter_stage("joint")
    encoder.enter_epoch(5, 8)
    encoder.enter_step(5 / 8)
    encoder(image(2, SIDE)).penalties["sparsity"].backward()
    assert encoder.gates.alpha.grad is not None
    assert float(encoder.gates.price) != 0.0
    encoder.zero_grad(set_to_none=True)
    encoder.enter_epoch(6, 8)
    features = encoder(image(2, SIDE))
    (features.by_task["near"][0].sum() + features.penalties["sparsity"]).backward()
    grad = encoder.gates.alpha.grad
    assert grad is None or not grad.any(), "from the hook on"
    encoder.enter_step(6 / 8)
    decided = encoder.gates.alpha.detach().clone()
    assert float(encoder.gates.price) == 0.0
    assert encoder.macs_of() == pytest.approx(encoder.target_macs, rel=0.02)
    for mask in encoder.gates.private():
        widths = [*mask.sum(1).tolist(), int((~mask.all(0)).sum())]
        assert all(width % multiple == 0 for width in widths)
    features = encoder(image(2, SIDE))
    loss = torch.stack([level.square().mean() for pyramid in features.by_task.values() for level in pyramid]).sum()
    (loss + features.penalties["sparsity"]).backward()
    grad = encoder.gates.alpha.grad
    assert grad is None or not grad.any()
    assert encoder.gates.beta.grad is not None, "the mix is still learned"
    encoder.enter_epoch(7, 8)
    encoder.enter_step(7 / 8)
    assert torch.equal(encoder.gates.alpha, decided)


def test_time_is_measured_at_the_start_and_when_gates_are_frozen_only() -> None:
    encoder = budgeted("5ms")
    calls: list[float] = []

    def watch() -> float:
        calls.append(encoder.macs_of() / encoder.budget_control.full * 7)
        return calls[-1]

    encoder.plan(ModelContext(SIDE, 0.0, ClockBy(watch)))
    assert len(calls) == 2
    encoder.plan(ModelContext(SIDE, 0.0, ClockBy(watch)))
    assert len(calls) == 2, "one answer for one model, before the dry run and after it"
    encoder.enter_stage("joint")
    for epoch in range(8):
        known = len(calls)
        encoder.enter_epoch(epoch, 8)
        assert (len(calls) > known) == (epoch == 6)
        encoder.enter_step(epoch / 8)
    assert calls[-1] == pytest.approx(5.0, rel=0.02)


def test_a_time_that_cannot_be_kept_is_refused() -> None:
    model = toy_model(budget="0.5ms", frozen_share=0.25, pretrain_share=0.0)
    with pytest.raises(UserError, match=r"ms cannot be kept: on this machine.*ask for something between"):
        plan_encoder(model, SIDE, ClockBy(lambda: milliseconds(model)))
    with pytest.raises(UserError, match="measured"):
        plan_encoder(model, SIDE)
