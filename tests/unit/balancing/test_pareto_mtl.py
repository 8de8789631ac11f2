"""Pareto MTL: preferences, the two phases, directions against brute force."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from frugalmtl.balancing.gradwise.mgda import MGDA
from frugalmtl.balancing.gradwise.pareto_mtl import ParetoMTL, preference_vectors
from frugalmtl.core.checks import UserError
from tests.unit.balancing.test_gradients import backward, take
from tests.unit.engine.standins import build_model, tasks

TWO = tasks()[:2]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def hull(vectors: Tensor, steps: int = 100) -> Tensor:
    """The shortest of many points of the hull of up to three vectors."""
    grid = torch.linspace(0, 1, steps + 1).double()
    first, second = torch.meshgrid(grid, grid, indexing="ij")
    weights = torch.stack([first, (1 - first) * second, (1 - first) * (1 - second)], dim=-1).reshape(-1, 3)
    if len(vectors) < 3:
        vectors = torch.cat([vectors, vectors[-1:].expand(3 - len(vectors), -1)])
    points = weights @ vectors
    return points[points.norm(dim=1).argmin()]


@pytest.mark.parametrize("count", [2, 5, 8])
def test_two_tasks_divide_the_quarter_circle(count: int) -> None:
    vectors = preference_vectors(2, count)
    angles = torch.atan2(vectors[:, 1], vectors[:, 0])
    torch.testing.assert_close(angles.diff(), torch.full((count - 1,), torch.pi / 2 / (count - 1)).double())
    torch.testing.assert_close(vectors[0], torch.tensor([1.0, 0.0]).double())
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(count).double())


@pytest.mark.parametrize(("count", "tasks"), [(3, 3), (7, 3), (12, 4), (9, 5)])
def test_preferences_of_more_tasks_are_spread_over_the_sphere(count: int, tasks: int) -> None:
    vectors = preference_vectors(tasks, count)
    assert vectors.shape == (count, tasks)
    assert (vectors >= 0).all()
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(count).double())
    assert {row.tolist().index(1.0) for row in vectors[:tasks]} == set(range(tasks))
    apart = (vectors @ vectors.T - 2 * torch.eye(count)).amax(dim=1).clamp(-1, 1).arccos()
    random = torch.nn.functional.normalize(draw(200, count, tasks).abs(), dim=2)
    nearest = (random @ random.mT - 2 * torch.eye(count)).amax(dim=(1, 2)).clamp(-1, 1).arccos()
    assert apart.min() > nearest.max()


def direction(balancer: ParetoMTL, gradients: Tensor, losses: Tensor) -> Tensor:
    return balancer.aggregate(gradients, losses)


def test_the_first_phase_descends_into_the_cone() -> None:
    """With losses outside, every constraint that is violated gets better along the direction."""
    balancer = ParetoMTL(TWO, preferences=3, preference=0)
    losses, gradients = torch.tensor([1.0, 1.5]).double(), draw(2, 6)
    rows = balancer.active(losses)
    assert len(rows) == 2
    found = direction(balancer, gradients, losses)
    assert (rows @ gradients @ found > 0).all()
    assert not bool(balancer.warm)
    shortest = hull(rows @ gradients)
    torch.testing.assert_close(found / found.norm(), shortest / shortest.norm(), rtol=0, atol=0.05)


def test_the_second_phase_is_mgda_inside_the_cone() -> None:
    losses, gradients = torch.tensor([1.0, 1.1]).double(), draw(2, 6, seed=1)
    balancer = ParetoMTL(TWO, preferences=3, preference=1)
    assert len(balancer.active(losses)) == 0
    found = direction(balancer, gradients, losses)
    assert bool(balancer.warm)
    torch.testing.assert_close(found, MGDA(TWO, normalise="sum").aggregate(gradients, losses))


def test_the_second_phase_keeps_to_the_cone_while_losses_descend() -> None:
    balancer = ParetoMTL(TWO, preferences=3, preference=1, warmup_steps=0)
    losses, gradients = torch.tensor([1.0, 3.0]).double(), draw(2, 6, seed=3)
    rows = balancer.active(losses)
    assert len(rows) == 1
    found = direction(balancer, gradients, losses)
    vectors = torch.cat([gradients, rows @ gradients])
    shortest = hull(vectors)
    torch.testing.assert_close(found / found.norm(), shortest / shortest.norm(), rtol=0, atol=0.05)
    assert (vectors @ found > 0).all()


def test_constraints_are_felt_from_a_distance() -> None:
    losses = torch.tensor([1.0, 1.8]).double()
    assert len(ParetoMTL(TWO, preferences=3, preference=1).active(losses)) == 0
    assert len(ParetoMTL(TWO, preferences=3, preference=1, epsilon=0.2).active(losses)) == 1


@pytest.mark.parametrize(("normalise", "total"), [(None, 2.0), ("sum", 2.0), ("mean", 1.0)])
@pytest.mark.parametrize("warmup_steps", [0, 5])
def test_absolute_weights_add_up(normalise: Any, total: float, warmup_steps: int) -> None:
    balancer = ParetoMTL(TWO, warmup_steps=warmup_steps, normalise=normalise)
    gramian = draw(2, 4) @ draw(2, 4).T
    weights = balancer.solve(gramian, torch.tensor([0.1, 3.0]).double())
    assert float(weights.abs().sum()) == pytest.approx(total)
    assert (weights < 0).any() == (warmup_steps > 0)


def test_the_first_phase_ends_when_feasible_or_after_its_steps_and_never_comes_back() -> None:
    outside, inside = torch.tensor([1.0, 5.0]).double(), torch.tensor([5.0, 0.1]).double()
    gramian = torch.eye(2).double()
    balancer = ParetoMTL(TWO, warmup_steps=3)
    seen = []
    for _ in range(4):
        seen.append(bool(balancer.warm))
        balancer.solve(gramian, outside)
    assert seen == [False, False, False, True]
    early = ParetoMTL(TWO, warmup_steps=3)
    early.solve(gramian, inside)
    assert bool(early.warm)
    early.solve(gramian, outside)
    assert bool(early.warm)
    again = ParetoMTL(TWO, warmup_steps=3)
    again.load_state_dict(balancer.state_dict())
    assert bool(again.warm)


def test_a_task_without_labels_leaves_the_others_and_the_phase_alone() -> None:
    balancer = ParetoMTL(tasks(), warmup_steps=1)
    gradients, losses = draw(3, 5), torch.tensor([1.0, 0.0, 9.0]).double()
    gradients[1] = 0.0
    found = balancer.aggregate(gradients, losses)
    assert not bool(balancer.warm)
    there = MGDA(tasks()[:2]).aggregate(gradients[[0, 2]], losses[[0, 2]])
    torch.testing.assert_close(found / found.norm(), there / there.norm())


def test_runs_of_different_preferences_reach_different_points_of_a_front() -> None:
    """Two quadratics in the plane: the front is the segment between their minima."""
    minima = torch.tensor([[-1.0, 0.0], [1.0, 0.0]]).double()
    angles = []
    for preference in range(5):
        balancer = ParetoMTL(TWO, preferences=5, preference=preference)
        point = torch.tensor([0.3, 2.0]).double()
        for _ in range(2000):
            away = point - minima
            point = point - 0.005 * balancer.aggregate(2 * away, away.square().sum(dim=1))
        losses = (point - minima).square().sum(dim=1)
        angles.append(float(torch.atan2(losses[1], losses[0])))
        assert abs(float(point[1])) < 0.02
    edges = (torch.arange(5) * torch.pi / 8).tolist()
    assert all(abs(angle - edge) <= torch.pi / 16 + 0.05 for angle, edge in zip(angles, edges, strict=True))


def test_one_task_alone_is_followed() -> None:
    gradient = draw(1, 4)
    torch.testing.assert_close(ParetoMTL(tasks()[:1]).aggregate(gradient), gradient[0])


def test_only_the_trunk_is_weighed() -> None:
    model = build_model("shared", dropout=0.0).double().eval()
    backward(model, ParetoMTL(tasks(), preference=0))
    first = take(model)
    backward(model, ParetoMTL(tasks(), preference=1))
    second = take(model)
    heads = [name for name in first if name.startswith("decoder")]
    assert all(torch.equal(first[name], second[name]) for name in heads)
    assert any(not torch.equal(first[name], second[name]) for name in first if name not in heads)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preferences": 1}, "preferences of pareto_mtl must be 2 or more"),
        ({"preferences": 3, "preference": 3}, "preference of pareto_mtl must be one of 0 to 2"),
        ({"preference": -1}, "one of 0 to 4"),
        ({"epsilon": -0.1}, "epsilon of pareto_mtl must be 0 or more"),
        ({"epsilon": float("inf")}, "epsilon of pareto_mtl must be finite"),
        ({"warmup_steps": -1}, "warmup_steps of pareto_mtl must be 0 or more"),
        ({"weights": {"deph": 1.0}}, "Did you mean 'depth'"),
    ],
    ids=str,
)
def test_mistakes(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ParetoMTL(tasks(), **options)
