"""The price at which gates keep a budget."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from frugalmtl.encoders.interrogate.budget.prices import price_for, prices_of, scores_at, smooth_cost


def test_smooth_cost_counts_own_channels_and_shared_ones_that_somebody_takes() -> None:
    macs = torch.tensor([1.0, 10.0, 100.0])
    assert smooth_cost(torch.zeros(3, 3), macs) == 111.0, "one shared network"
    assert smooth_cost(torch.ones(3, 3), macs) == 333.0, "three networks, nothing shared"
    some = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    assert smooth_cost(some, macs) == 3 + 20 + 100


def spent(alpha: torch.Tensor, price: float, cost: torch.Tensor, macs: torch.Tensor) -> float:
    """As gates decide at a price."""
    return float(smooth_cost((scores_at(alpha, alpha.new_tensor(price) * cost) > 0).to(macs.dtype), macs))


def value(worth: np.ndarray, charge: float, keeps: tuple[bool, ...]) -> float:
    """What a set of tasks that keep a channel is worth beyond the copies that it needs."""
    return float(worth[list(keeps)].sum()) - charge * (sum(keeps) + (not all(keeps)))


@pytest.mark.parametrize("seed", range(60))
def test_gates_of_a_channel_are_the_best_of_all_sets_of_tasks(seed: int) -> None:
    random = np.random.default_rng(seed)
    tasks = int(random.integers(1, 6))
    worth, charge = random.normal(size=(tasks, 8)), random.normal(size=8)
    scores = scores_at(torch.from_numpy(worth), torch.from_numpy(charge)).numpy()
    for channel in range(8):
        values = {
            keeps: value(worth[:, channel], charge[channel], keeps) for keeps in product((False, True), repeat=tasks)
        }
        assert tuple(scores[:, channel] > 0) == max(values, key=lambda keeps: values[keeps])
        for task in range(tasks):
            ends = [max(worths for keeps, worths in values.items() if keeps[task] == kept) for kept in (True, False)]
            assert scores[task, channel] == pytest.approx(ends[0] - ends[1])


def test_no_channel_is_kept_by_all_tasks_but_one_where_it_costs_something() -> None:
    worth = torch.rand(4, 500, generator=torch.Generator().manual_seed(0))
    for price in (0.05, 0.3, 0.6):
        keepers = (scores_at(worth, torch.full((500,), price)) > 0).sum(0)
        assert 3 not in keepers.tolist()


def test_without_a_charge_the_score_is_the_worth_in_every_bit() -> None:
    worth = torch.randn(4, 500, generator=torch.Generator().manual_seed(0))
    assert torch.equal(scores_at(worth, torch.zeros(500)), worth)


@pytest.mark.parametrize("seed", range(40))
def test_price_is_the_best_of_all_at_which_a_gate_flips(seed: int) -> None:
    random = np.random.default_rng(seed)
    tasks, gates = int(random.integers(1, 4)), int(random.integers(1, 7))
    alpha = torch.from_numpy(random.normal(size=(tasks, gates)))
    cost = torch.from_numpy(random.uniform(0.2, 3.0, gates))
    macs = cost * 1000
    least, full = spent(alpha, 1e9, cost, macs), spent(alpha, -1e9, cost, macs)
    target = float(random.uniform(least, full))
    price = price_for(alpha, macs, cost, target)
    cost_now = spent(alpha, price, cost, macs)
    flips = prices_of(alpha, cost).tolist()
    possible = [spent(alpha, flip + step, cost, macs) for flip in flips for step in (-1e-9, 1e-9)] + [full]
    assert cost_now <= target + 1e-6
    assert cost_now == pytest.approx(max(value for value in possible if value <= target + 1e-6))


def test_price_at_both_ends() -> None:
    alpha = torch.tensor([[0.3, -0.2], [0.1, 0.5]])
    cost = torch.tensor([0.5, 1.5])
    macs = cost * 10
    assert spent(alpha, price_for(alpha, macs, cost, 40.0), cost, macs) == 40.0, "a negative price opens gates"
    assert spent(alpha, price_for(alpha, macs, cost, 20.0), cost, macs) == 20.0
    assert spent(alpha, price_for(alpha, macs, cost, 1.0), cost, macs) == 20.0, "no price can do more than close all"


def test_gates_without_a_cost_are_left_alone() -> None:
    alpha = torch.tensor([[0.5, 0.2, -0.3]]).expand(2, 3).clone()
    cost = torch.tensor([0.0, 1.5, 1.5])
    macs = cost * 10
    price = price_for(alpha, macs, cost, 30.0)
    assert (scores_at(alpha, price * cost) > 0).tolist() == [[True, False, False]] * 2


@pytest.mark.parametrize("seed", range(20))
def test_price_in_single_precision_keeps_the_target(seed: int) -> None:
    """The number that is stored decides; a gate may not stay open because a product was rounded."""
    generator = torch.Generator().manual_seed(seed)
    alpha = 0.01 + 0.1 * torch.randn(3, 200, generator=generator)
    cost = torch.rand(200, generator=generator) + 0.1
    macs = cost * 1e6
    least, full = spent(alpha, 1e6, cost, macs), spent(alpha, -1e6, cost, macs)
    for share in (0.0, 0.01, 0.3, 0.7, 1.0):
        target = least + share * (full - least)
        cost_now = spent(alpha, price_for(alpha, macs, cost, target), cost, macs)
        assert cost_now <= target * (1 + 1e-5)
        assert cost_now >= target - 3.2e6 or share == 0.0


def test_the_highest_price_closes_every_gate() -> None:
    """Also the one whose price it is, however the product of price and cost is rounded."""
    for seed in range(100):
        generator = torch.Generator().manual_seed(seed)
        alpha = 0.1 * torch.randn(3, 50, generator=generator)
        cost = torch.rand(50, generator=generator) + 0.1
        price = torch.tensor(price_for(alpha, cost, cost, float(cost.sum())))
        assert not bool((scores_at(alpha, price * cost) > 0).any())
