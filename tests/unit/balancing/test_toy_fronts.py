"""Balancers end on Pareto fronts that are known; the plain sum gets stuck on the way to one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.toy_fronts import BOWLS, METHODS, VALLEYS, Problem, balancer, descend, stationarity, valley_losses

HARD = replace(VALLEYS, starts=((9.0, 9.0),))
"""The start from which the sum goes down a valley of the second loss, whose walls hide the way out."""


def ends(problem: Problem, name: str, steps: int, lr: float) -> Tensor:
    torch.manual_seed(0)
    return descend(problem, lambda: balancer(name), steps, lr)[-1]


def test_the_front_of_the_valleys_is_a_front() -> None:
    """Its points are stationary, no point of it beats another, and no point of a grid beats one of them."""
    points = torch.from_numpy(VALLEYS.front)
    assert max(stationarity(VALLEYS, point) for point in points[::10]) < 1e-4
    losses = VALLEYS.losses(points)
    assert (losses[:, 0].diff() < 0).all()
    assert (losses[:, 1].diff() > 0).all()
    x, y = np.meshgrid(np.linspace(-12, 12, 120), np.linspace(-14, 11, 120))
    grid = VALLEYS.losses(torch.from_numpy(np.stack([x, y], axis=-1).reshape(-1, 2)))
    beaten = (grid[:, None] < losses[None] - 1e-3).all(dim=2)
    assert not beaten.any()


def test_losses_of_the_valleys_at_points_worked_out_by_hand() -> None:
    actual = valley_losses(torch.tensor([[7.0, -8.0], [-7.0, -8.0]]).double(), scale=1.0)
    deep = float(torch.tanh(torch.tensor(4.0).double()))
    torch.testing.assert_close(actual, deep * torch.tensor([[-20.0, -0.4], [-0.4, -20.0]]).double())
    high = valley_losses(torch.tensor([-9.0, 40.0]).double(), scale=1.0)  # curves: 1 + 1 and 6 - 1 + 2
    torch.testing.assert_close(high, torch.tensor([2.0, 7.0]).double().log() + 6)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_ends_on_the_front_of_the_bowls(name: str) -> None:
    for end in ends(BOWLS, name, 500, 0.03):
        assert BOWLS.distance(end) < 0.05
        assert BOWLS.gap(end) < 0.01


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        pytest.param("mgda", 2000, marks=pytest.mark.slow),
        pytest.param("nash_mtl", 2000, marks=pytest.mark.slow),
        pytest.param("imtl_g", 2000, marks=pytest.mark.slow),
        pytest.param("aligned_mtl", 3000, marks=pytest.mark.slow),
    ],
)
def test_ends_on_the_front_of_the_valleys_from_every_start(name: str, steps: int) -> None:
    for end in ends(VALLEYS, name, steps, 0.02):
        assert VALLEYS.gap(end) < 0.01
        assert stationarity(VALLEYS, end) < 0.02


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["uniform", "pcgrad", "grad_drop", *(pytest.param(name, marks=pytest.mark.slow) for name in ("upgrad", "cagrad"))],
)
def test_ends_on_the_front_of_the_valleys_from_the_easy_starts(name: str) -> None:
    easy = replace(VALLEYS, starts=tuple(start for start in VALLEYS.starts if start not in HARD.starts))
    assert max(VALLEYS.gap(end) for end in ends(easy, name, 2000, 0.02)) < 0.01


@pytest.mark.parametrize("name", ["upgrad", "cagrad"])
def test_ends_on_the_front_of_the_valleys_from_one_easy_start(name: str) -> None:
    """In fewer and longer steps, for those that take longest to compute one."""
    easy = replace(VALLEYS, starts=((-7.5, -0.5),))
    (end,) = ends(easy, name, 400, 0.06)
    assert VALLEYS.gap(end) < 0.01


@pytest.mark.slow
def test_the_plain_sum_gets_stuck_in_a_valley() -> None:
    (end,) = ends(HARD, "uniform", 5000, 0.01)
    assert VALLEYS.gap(end) > 0.5
    assert VALLEYS.distance(end) > 5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pcgrad", "upgrad", "cagrad"])
def test_gets_out_of_the_valley_in_time(name: str) -> None:
    (end,) = ends(HARD, name, 10000, 0.01)
    assert VALLEYS.gap(end) < 0.01
