"""Pareto MTL: preferences, the two phases, directions against brute force."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from frugalmtl.balancing.aggregation.mgda import MGDA
from frugalmtl.balancing.aggregation.pareto_mtl import ParetoMTL, preference_vectors
from frugalmtl.core.checks import UserError
from tests.support.balancing.jacobians import DEGENERATE, Array
from tests.support.balancing.task_gradients import backward, take
from tests.support.tiny_training import build_model, tasks

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
    actual = direction(balancer, gradients, losses)
    assert (rows @ gradients @ actual > 0).all()
    assert not bool(balancer.warm)
    shortest = hull(rows @ gradients)
    torch.testing.assert_close(actual / actual.norm(), shortest / shortest.norm(), rtol=0, atol=0.05)


def test_the_second_phase_is_mgda_inside_the_cone() -> None:
    losses, gradients = torch.tensor([1.0, 1.1]).double(), draw(2, 6, seed=1)
    balancer = ParetoMTL(TWO, preferences=3, preference=1)
    assert len(balancer.active(losses)) == 0
    actual = direction(balancer, gradients, losses)
    assert bool(balancer.warm)
    torch.testing.assert_close(actual, MGDA(TWO, normalise="sum").aggregate(gradients, losses))


def test_the_second_phase_keeps_to_the_cone_while_losses_descend() -> None:
    balancer = ParetoMTL(TWO, preferences=3, preference=1, warmup_steps=0)
    losses, gradients = torch.tensor([1.0, 3.0]).double(), draw(2, 6, seed=3)
    rows = balancer.active(losses)
    assert len(rows) == 1
    actual = direction(balancer, gradients, losses)
    vectors = torch.cat([gradients, rows @ gradients])
    shortest = hull(vectors)
    torch.testing.assert_close(actual / actual.norm(), shortest / shortest.norm(), rtol=0, atol=0.05)
    assert (vectors @ actual > 0).all()


def closed_form(gradients: Array, losses: Array, preference: int, *, warm: bool) -> Array:
    """Weights of two tasks and three preferences: the shortest vector of a hull in the plane, face by face.

    Lin et al. 2019, eqs. 9 and 13; absolute weights add up to 2.
    """
    vectors = np.array([[1.0, 0.0], [np.sqrt(0.5), np.sqrt(0.5)], [0.0, 1.0]])
    rows = np.array([u - vectors[preference] for j, u in enumerate(vectors) if j != preference])
    rows = rows[rows @ losses / np.linalg.norm(losses) >= 0]
    rows = np.concatenate([np.eye(2), rows]) if warm or not len(rows) else rows
    best = None
    for first, second in itertools.product(rows, repeat=2):
        one, other = first @ gradients, second @ gradients
        apart = (one - other) @ (one - other)
        share = np.clip(other @ (other - one) / apart, 0.0, 1.0) if apart > 0 else 0.5
        weights = share * first + (1 - share) * second
        if best is None or np.linalg.norm(weights @ gradients) < np.linalg.norm(best @ gradients) - 1e-12:
            best = weights
    assert best is not None
    return np.asarray(best * 2 / np.abs(best).sum())


FACTORS = {"as they are": [[1.0], [1.0]], "of other size": [[1e6], [1.0]], "small": [[1e-6], [1e-6]]}
PAIRS = {
    **{
        f"random {seed}, {name}": draw(2, 5, seed=seed).numpy() * factors
        for seed in range(6)
        for name, factors in FACTORS.items()
    },
    "one zero": draw(2, 5).numpy() * [[1.0], [0.0]],
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("preference", [0, 1, 2])
@pytest.mark.parametrize("warm", [False, True])
def test_two_tasks_by_a_closed_form(name: str, preference: int, warm: bool) -> None:
    """Two vectors span a plane, in which the shortest vector of a hull lies on an edge or is 0."""
    gradients = PAIRS[name]
    for losses in ([1.0, 1.5], [1.0, 0.1], [0.2, 3.0]):
        balancer = ParetoMTL(TWO, preferences=3, preference=preference, warmup_steps=0 if warm else 5)
        actual = balancer.aggregate(torch.from_numpy(gradients), torch.tensor(losses).double()).numpy()
        expected = closed_form(gradients, np.array(losses), preference, warm=warm) @ gradients
        size = np.linalg.norm(gradients, axis=1).max()
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * size)


@pytest.mark.parametrize("kind", ["zero", "identical", "opposed"])
@pytest.mark.parametrize("warm", [False, True])
def test_two_degenerate_tasks(kind: str, warm: bool) -> None:
    row = draw(1, 5)
    gradients = torch.cat([row, {"zero": 0.0, "identical": 1.0, "opposed": -1.0}[kind] * row])
    gradients = gradients * 0.0 if kind == "zero" else gradients
    losses = torch.tensor([1.0, 1.1]).double()  # inside the cone: the hull of the losses' gradients alone
    balancer = ParetoMTL(TWO, preferences=3, preference=1, warmup_steps=0 if warm else 5)
    actual = balancer.aggregate(gradients, losses)
    torch.testing.assert_close(actual, 2.0 * row[0] if kind == "identical" else torch.zeros(5).double())


@pytest.mark.parametrize("kind", ["zero", "identical", "opposed", "opposed, of other length"])
@pytest.mark.parametrize("preference", [0, 1, 2])
@pytest.mark.parametrize("warm", [False, True])
def test_degenerate_tasks_outside_the_cone(kind: str, preference: int, warm: bool) -> None:
    """Many weights make the shortest vector then, so its length after rescaling is open, but not where it points."""
    gradients = np.zeros((2, 5)) if kind == "zero" else DEGENERATE[kind][:2]
    size = max(np.linalg.norm(gradients, axis=1).max(), 1.0)
    for losses in ([1.0, 1.5], [1.0, 0.1], [0.2, 3.0]):
        balancer = ParetoMTL(TWO, preferences=3, preference=preference, warmup_steps=0 if warm else 5)
        actual = balancer.aggregate(torch.from_numpy(gradients), torch.tensor(losses).double()).numpy()
        expected = closed_form(gradients, np.array(losses), preference, warm=warm) @ gradients
        if np.linalg.norm(expected) < 1e-9 * size:
            assert np.linalg.norm(actual) < 1e-5 * size
        else:
            cosine = actual @ expected / np.linalg.norm(actual) / np.linalg.norm(expected)
            assert cosine == pytest.approx(1.0)


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_the_scale_of_gradients_or_of_losses_does_not_matter(factor: float) -> None:
    for seed in range(6):
        gradients, losses = draw(3, 6, seed=seed), draw(3, seed=seed).abs() + 0.1
        gramian = gradients @ gradients.T
        for preference in range(5):
            expected = ParetoMTL(tasks(), preference=preference).solve(gramian, losses)
            for scaled in ((gramian * factor**2, losses), (gramian, losses * factor)):
                actual = ParetoMTL(tasks(), preference=preference).solve(*scaled)
                torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-8)


def test_tasks_and_preferences_in_another_order() -> None:
    """The constraints permuted like the tasks: the weights are."""
    order = [2, 0, 1]
    for seed in range(6):
        gradients, losses = draw(3, 6, seed=seed), draw(3, seed=seed).abs() + 0.1
        for warmup_steps in (0, 5):
            plain, turned = (ParetoMTL(tasks(), preference=3, warmup_steps=warmup_steps) for _ in range(2))
            turned.constraints = plain.constraints[:, order]
            expected = plain.solve(gradients @ gradients.T, losses)
            gradients, losses = gradients[order], losses[order]
            actual = turned.solve(gradients @ gradients.T, losses)
            torch.testing.assert_close(actual, expected[order], rtol=1e-6, atol=1e-8)


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
    actual = balancer.aggregate(gradients, losses)
    assert not bool(balancer.warm)
    there = MGDA(tasks()[:2]).aggregate(gradients[[0, 2]], losses[[0, 2]])
    torch.testing.assert_close(actual / actual.norm(), there / there.norm())


@pytest.mark.slow
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
