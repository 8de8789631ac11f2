"""Geometric mean: weights with its gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torchjd.scalarization import GeometricMean as Reference

from frugalmtl.balancing.scalarization import geometric_mean
from frugalmtl.balancing.scalarization.geometric_mean import GeometricMean
from tests.support.balancing.scalar_losses import step
from tests.support.tiny_training import tasks

LOSSES = (2.0, 0.5, 0.125)


def reference(values: tuple[float, ...], weights: tuple[float, ...] = (1.0, 1.0, 1.0)) -> list[float]:
    """Derivatives of the geometric mean of weighted losses."""
    losses = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(Reference()(losses * torch.tensor(weights)), losses)
    return list(gradient.tolist())


def test_by_hand() -> None:
    """(2 * 1/2 * 1/8)^(1/3) = 1/2; divided by 3 L."""
    assert step(GeometricMean(tasks()), LOSSES) == pytest.approx([1 / 12, 1 / 3, 4 / 3])
    assert GeometricMean(tasks()).scale == "free"


@pytest.mark.parametrize("values", [LOSSES, (1.0, 1.0, 1.0), (1e-30, 1.0, 1e3), (1e30, 1e25, 1e33)])
def test_gradients_are_the_references(values: tuple[float, ...]) -> None:
    assert step(GeometricMean(tasks()), values) == pytest.approx(reference(values))


def test_fixed_weights_go_into_the_mean() -> None:
    balancer = GeometricMean(tasks(), weights={"depth": 27.0, "edges": 1.0})
    assert step(balancer, LOSSES) == pytest.approx(reference(LOSSES, (1.0, 27.0, 1.0)))
    assert step(balancer, LOSSES) == pytest.approx([3 * weight for weight in reference(LOSSES)])


@pytest.mark.parametrize(("normalise", "total"), [("sum", 3.0), ("mean", 1.0)])
def test_weights_are_rescaled_on_demand(normalise: Any, total: float) -> None:
    shares = [1 / loss for loss in LOSSES]
    expected = [total * share / sum(shares) for share in shares]
    assert step(GeometricMean(tasks(), normalise=normalise), LOSSES) == pytest.approx(expected)


def test_tasks_without_labels_are_left_out() -> None:
    """(2 * 1/8)^(1/2) = 1/2; divided by 2 L."""
    assert step(GeometricMean(tasks()), (2.0, 0.0, 0.125)) == pytest.approx([1 / 8, 0.0, 2.0])
    assert step(GeometricMean(tasks(), weights={"depth": 0.0, "edges": 1.0}), LOSSES) == pytest.approx(
        [1 / 8, 0.0, 2.0]
    )
    assert step(GeometricMean(tasks()), (0.0, 3.0, 0.0)) == pytest.approx([0.0, 1.0, 0.0])
    assert step(GeometricMean(tasks()), (0.0, 0.0, 0.0)) == [0.0, 0.0, 0.0]


def test_what_is_not_finite_is_carried_on() -> None:
    """The engine's guard must see it."""
    balancer = GeometricMean(tasks())
    for value in (float("inf"), float("nan")):
        weights = balancer.weigh(torch.tensor([1.0, value, 2.0]))
        assert not (weights * torch.tensor([1.0, value, 2.0])).isfinite().all()


def test_several_processes_weigh_the_joint_batch(monkeypatch: Any) -> None:
    other = torch.tensor([4.0, 0.1, 0.0], dtype=torch.float64)
    monkeypatch.setattr(geometric_mean, "average", lambda values: (values + other) / 2)
    joint = tuple((a + b) / 2 for a, b in zip(LOSSES, other.tolist(), strict=True))
    assert step(GeometricMean(tasks()), LOSSES) == pytest.approx(reference(joint))
    assert step(GeometricMean(tasks()), (2.0, 0.0, 0.125)) == pytest.approx(reference((3.0, 0.05, 0.0625)))
