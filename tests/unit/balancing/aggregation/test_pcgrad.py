"""PCGrad against the algorithm written out in NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
import torch

from frugalmtl.balancing.aggregation.pcgrad import PCGrad
from tests.support.balancing.jacobians import DEGENERATE, build, direction, lengths
from tests.support.balancing.task_gradients import Recording, backward, take
from tests.support.tiny_training import build_model, tasks

Array = npt.NDArray[np.float64]
SMALL = [name for name, gradients in DEGENERATE.items() if len(gradients) <= 3]


def project(gradients: Array, orders: list[tuple[int, ...]]) -> Array:
    """Yu et al. 2020, algorithm 1, with the order of projections given per task."""
    total = np.zeros(gradients.shape[1])
    for i, order in enumerate(orders):
        mine = gradients[i].copy()
        for j in order:
            inner = mine @ gradients[j]
            if j != i and inner < 0 and gradients[j].any():
                mine -= inner / (gradients[j] @ gradients[j]) * gradients[j]
        total += mine
    return total


def test_two_tasks_have_one_answer() -> None:
    balancer = PCGrad(tasks()[:2])
    rng = np.random.default_rng(1)
    conflicts = 0
    for _ in range(50):
        gradients = rng.normal(size=(2, 5))
        conflicts += gradients[0] @ gradients[1] < 0
        actual = balancer.aggregate(torch.from_numpy(gradients)).numpy()
        np.testing.assert_allclose(actual, project(gradients, [(1,), (0,)]), rtol=1e-6, atol=1e-9)
    assert 10 < conflicts < 40


def test_three_tasks_have_the_answer_of_some_order() -> None:
    balancer = PCGrad(tasks())
    gradients = np.random.default_rng(4).normal(size=(3, 3))
    assert any(gradients[i] @ gradients[j] < 0 for i, j in itertools.combinations(range(3), 2))
    possible = [
        project(gradients, list(orders)) for orders in itertools.product(*[list(itertools.permutations(range(3)))] * 3)
    ]
    for _ in range(20):
        actual = balancer.aggregate(torch.from_numpy(gradients)).numpy()
        assert min(np.abs(actual - answer).max() for answer in possible) < 1e-6


def possible_directions(gradients: Array) -> list[Array]:
    """For every order that every task may take the others in."""
    count = len(gradients)
    orders = list(itertools.permutations(range(count)))
    return [project(gradients, list(chosen)) for chosen in itertools.product(orders, repeat=count)]


@pytest.mark.parametrize("name", SMALL)
def test_degenerate_gradients_have_the_answer_of_some_order(name: str) -> None:
    gradients = DEGENERATE[name]
    balancer, possible = build({"name": "pcgrad"}, len(gradients)), possible_directions(gradients)
    for seed in range(6):
        torch.manual_seed(seed)
        actual = direction(balancer, gradients)
        nearest = min(np.abs(actual - answer).max() for answer in possible)
        assert nearest <= 1e-9 * max(1.0, lengths(gradients).max())


def test_gradients_that_agree_are_added() -> None:
    gradients = torch.rand(3, 4)
    torch.testing.assert_close(PCGrad(tasks()).aggregate(gradients), gradients.sum(0))


def test_a_task_without_labels_changes_nothing() -> None:
    gradients = torch.tensor([[1.0, 2.0], [0.0, 0.0], [-2.0, 0.5]])
    balancer = PCGrad(tasks())
    torch.testing.assert_close(balancer.aggregate(gradients), balancer.aggregate(gradients[[0, 2]]))


@pytest.mark.parametrize("level", ["representation", "parameters"])
def test_only_shared_parameters_are_projected(level: str) -> None:
    model = build_model("shared", dropout=0.0).double().eval()
    backward(model, Recording(level))
    plain = take(model)
    torch.manual_seed(0)
    backward(model, PCGrad(tasks(), gradients_at=level))  # type: ignore[arg-type]
    projected = take(model)
    heads = [name for name in plain if name.startswith("decoder")]
    for name in heads:
        torch.testing.assert_close(projected[name], plain[name], msg=name)
    trunk = [name for name in plain if name.startswith("encoder")]
    assert any(not torch.allclose(projected[name], plain[name]) for name in trunk)


def test_the_trunk_gets_the_numpy_direction() -> None:
    model = build_model("shared", dropout=0.0).double().eval()
    weights = {"segmentation": 1.0, "depth": 1.0, "edges": 0.0}
    recording = Recording("parameters", weights)  # two tasks are left, so the order does not matter
    backward(model, recording)
    take(model)
    gradients = recording.seen[0][:2].numpy()
    backward(model, PCGrad(tasks(), gradients_at="parameters", weights=weights))
    actual = torch.cat([p.grad.reshape(-1) for p in model.encoder.parameters() if p.grad is not None]).numpy()
    np.testing.assert_allclose(actual, project(gradients, [(1,), (0,)]), rtol=1e-6, atol=1e-12)
