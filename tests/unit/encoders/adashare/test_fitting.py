"""Fit of policies to a budget, with a tree's cost written anew."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from frugalmtl.core.budget import Budget
from frugalmtl.core.checks import UserError
from frugalmtl.encoders.adashare.budget import Fitting, Goal, Mask

MACS = np.array([3.0, 3.0, 2.0, 2.0, 5.0, 5.0, 1.0, 1.0]) * 1e6
ALWAYS = 2e6
"""Of the stem."""


def cost_of(policy: Mask) -> float:
    """Distinct pairs of a block and the decisions before it, times the block's multiply-adds."""
    pairs = {(block, tuple(row[:block])) for row in policy for block in np.nonzero(row)[0]}
    return ALWAYS + float(sum(MACS[block] for block, _ in pairs))


def goal(budget: str | None, tasks: int = 3) -> Goal:
    whole = tasks * (ALWAYS + MACS.sum())
    target = None if budget is None else Budget.parse(budget)
    return Goal(target, cost_of, whole, (tasks, len(MACS)))


@pytest.mark.parametrize("share", ["0.15x", "0.25x", "0.33x", "0.5x", "0.7x", "0.8x"])
@pytest.mark.parametrize("seed", range(3))
def test_policies_are_brought_within_2_percent(share: str, seed: int) -> None:
    odds = np.random.default_rng(seed).normal(size=(3, len(MACS)))
    asked = goal(share)
    asked.plan(None)
    assert asked.macs == pytest.approx(float(share[:-1]) * asked.single_task)
    assert abs(cost_of(asked.brought(odds)) / asked.macs - 1) <= 0.02


def test_the_most_likely_policy_is_kept_where_it_costs_what_was_asked() -> None:
    odds = np.random.default_rng(4).normal(size=(2, len(MACS)))
    fit = Fitting(odds, cost_of, cost_of(odds >= 0)).best()
    assert (fit.policy == (odds >= 0)).all()
    assert fit.unlikely == 0.0


def test_the_fit_is_nearly_the_most_likely_of_all_policies() -> None:
    """Against every policy of two tasks and six blocks."""
    tasks, blocks = 2, 6
    codes = np.arange(2 ** (tasks * blocks))
    policies = ((codes[:, None] >> np.arange(tasks * blocks)) & 1).astype(bool).reshape(-1, tasks, blocks)
    costs = np.array([cost_of(policy) for policy in policies])
    regrets = []
    for seed in range(10):
        odds = np.random.default_rng(seed).normal(size=(tasks, blocks))
        target = float(np.random.default_rng(seed).uniform(8e6, 25e6))
        unlikely = (np.abs(odds) * (policies != (odds >= 0))).sum((1, 2))
        within = np.abs(costs / target - 1) <= 0.02
        if not within.any():
            continue
        fit = Fitting(odds, cost_of, target).best()
        assert fit.within
        regrets.append(fit.unlikely - unlikely[within].min())
    assert len(regrets) >= 5
    assert min(regrets) >= -1e-9
    assert np.mean(regrets) < 0.25
    assert np.median(regrets) < 1e-9


def test_a_budget_below_the_cheapest_is_refused_and_one_above_the_dearest_is_that() -> None:
    with pytest.raises(UserError, match="no block that may be skipped"):
        goal("0.02x").plan(None)
    asked = goal("0.999x")
    with pytest.warns(UserWarning, match="is met by the dearest policies"):
        asked.plan(None)
    assert asked.cost_of(asked.brought(np.full((3, len(MACS)), 1.0))) == pytest.approx(asked.macs, rel=0.02)


def test_a_budget_between_coarse_blocks_is_refused_with_the_nearest() -> None:
    def coarse(policy: Mask) -> float:
        return 10.0 + 90.0 * float(policy.any())

    with pytest.raises(UserError, match=r"too coarse.*nearest"):
        Goal(Budget.parse("0.5x"), coarse, 100.0, (1, 1)).plan(None)


def test_policy_by_cost_skips_the_dearest_blocks_of_all_tasks() -> None:
    asked = goal(f"{(ALWAYS + MACS.sum() - 10e6) / 1e6:g}M")
    asked.plan(None)
    policy = asked.brought(asked.odds_by_cost())
    assert (policy == policy[0]).all()
    assert policy[0].tolist() == [True, True, True, True, False, False, True, True]


def test_policy_by_cost_parts_where_one_network_for_all_is_too_cheap() -> None:
    asked = goal("0.6x")
    asked.plan(None)
    policy = asked.brought(asked.odds_by_cost())
    assert abs(cost_of(policy) / asked.macs - 1) <= 0.02
    assert not (policy == policy[0]).all()


def test_nothing_is_fitted_without_a_budget() -> None:
    free = goal(None)
    free.plan(None)
    odds = np.random.default_rng(0).normal(size=(3, len(MACS)))
    assert (free.brought(odds) == (odds >= 0)).all()
    assert free.macs == 0.0


def milliseconds(policies: Sequence[Mask]) -> list[float]:
    """A bent function of the cost."""
    return [(cost_of(policy) / 1e6) ** 1.5 for policy in policies]


@pytest.mark.parametrize("wanted", [60.0, 100.0, 300.0])
def test_milliseconds_are_found_by_measuring(wanted: float) -> None:
    asked = goal(f"{wanted}ms")
    asked.plan(milliseconds)
    measured: list[float] = []

    def measure(policies: Sequence[Mask]) -> list[float]:
        measured.extend(milliseconds(policies))
        return measured[-len(policies) :]

    policy = asked.fitted(np.random.default_rng(1).normal(size=(3, len(MACS))), measure)
    assert milliseconds([policy]) == [pytest.approx(wanted, rel=0.05)]
    assert 1 <= len(measured) <= 10
    assert asked.macs == cost_of(policy)


def test_milliseconds_that_cannot_be_kept_or_measured_are_refused() -> None:
    with pytest.raises(UserError, match="cannot be kept"):
        goal("0.001ms").plan(milliseconds)
    with pytest.raises(UserError, match="can be measured"):
        goal("100ms").plan(None)


def test_what_was_measured_of_a_model_is_not_measured_anew() -> None:
    first, second = goal("100ms"), goal("100ms")
    first.plan(milliseconds)
    second.plan(None, first)
    assert second.macs == first.macs
