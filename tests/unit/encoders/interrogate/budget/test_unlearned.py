"""Gates that never learn, as baselines of the same cost: random ones, and those of the dearest channels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from frugalmtl.core.checks import UserError
from frugalmtl.encoders.base import ModelContext
from frugalmtl.encoders.interrogate.encoder import InterroGate
from tests.support.channels import CIFAR
from tests.support.gated import SIDE, gated


def settled(source: str, seed: int = 0) -> InterroGate:
    """At the end of a training whose gates had nothing to learn."""
    options = {"gates": source, "budget": "0.7x", "frozen_share": 0.25, "pretrain_share": 0.0, "price_every": 1}
    encoder = gated(CIFAR, 3, seed=seed, **options).train()
    encoder.plan(ModelContext(SIDE, 0.0))
    encoder.enter_epoch(0, 4)
    for share in np.linspace(0.0, 0.74, 6):
        encoder.enter_step(float(share))
    encoder.enter_epoch(3, 4)
    return encoder


@pytest.mark.parametrize("source", ["random", "cost"])
def test_they_meet_the_budget_and_stay_as_they_are(source: str) -> None:
    encoder = settled(source)
    assert encoder.macs_of() == pytest.approx(encoder.target_macs, rel=0.01)
    (joint,) = (stage for stage in encoder.recipe() if stage.name == "joint")
    trained = [name for name, _ in encoder.named_parameters() if joint.trains(f"encoder.{name}")]
    assert "gates.alpha" not in trained
    assert {"gates.beta", next(name for name in trained if name.startswith("shared."))} <= set(trained)


def test_cost_order_closes_the_dearest_for_all_tasks_alike() -> None:
    encoder = settled("cost")
    open_gates = encoder.gates.alpha.detach() > 0
    cost = encoder.gates.cost
    differing = (open_gates != open_gates[0]).any(0).float().mean()
    assert differing < 0.05, "the last step to the budget alone may tell tasks apart"
    assert cost[~open_gates.any(0)].min() >= cost[open_gates.all(0)].max() * 0.999


def test_random_gates_follow_from_the_seed_and_not_from_cost_or_task() -> None:
    one, same, other = settled("random"), settled("random"), settled("random", seed=1)
    assert torch.equal(one.gates.alpha, same.gates.alpha)
    assert not torch.equal(one.gates.alpha > 0, other.gates.alpha > 0)
    open_gates = (one.gates.alpha.detach() > 0).float()
    shares = open_gates.mean(1)
    assert shares.max() - shares.min() < 0.2
    assert bool((one.gates.cost == 1).all()), "one threshold for all"
    assert 0.05 < open_gates.mean() < 0.95


def test_they_need_a_budget() -> None:
    with pytest.raises(UserError, match=r"with gates: random a budget says how many close.*budget: 0.6x"):
        gated(CIFAR, gates="random")
