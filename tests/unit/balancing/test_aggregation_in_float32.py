"""Aggregators of gradients in float32 that depend on each other, with inner products as in training."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import torchjd.aggregation as torchjd

from frugalmtl.balancing import BALANCERS
from frugalmtl.balancing._gramian import gramian
from frugalmtl.balancing.aggregation.base import GramianWeightedAggregator
from tests.support.balancing.jacobians import Array, lengths, regular
from tests.support.tiny_training import tasks

SECTIONS: dict[str, dict[str, object]] = {
    name: {"name": name}
    for name in BALANCERS.names()
    if issubclass(BALANCERS.get(name), GramianWeightedAggregator)  # type: ignore[arg-type]
} | {"nash_mtl": {"name": "nash_mtl", "max_norm": None}}
SAFE = {
    "mgda": {"name": "mgda"},
    "cagrad": {"name": "cagrad", "c": 1.5},
    "upgrad": {"name": "upgrad"},
    "nash_mtl": SECTIONS["nash_mtl"],
}
"""Those that promise to hurt no task."""


def build(section: dict[str, object], count: int) -> GramianWeightedAggregator:
    names = [dataclasses.replace(tasks()[0], name=f"task{index}") for index in range(count)]
    balancer: GramianWeightedAggregator = BALANCERS.build(section, names)
    return balancer


def weights_of(section: dict[str, object], gradients: Array) -> Array:
    """For gradients rounded to float32, by inner products summed in float32."""
    rows = torch.from_numpy(gradients).float()
    torch.manual_seed(0)
    weights = build(section, len(rows)).solve(gramian([[row] for row in rows]), torch.ones(len(rows)).double())
    return np.asarray(weights.numpy())


def direction(section: dict[str, object], gradients: Array) -> Array:
    return np.asarray(weights_of(section, gradients) @ gradients.astype(np.float32).astype(float))


def in_float64(section: dict[str, object], gradients: Array) -> Array:
    rows = torch.from_numpy(gradients)
    torch.manual_seed(0)
    weights = build(section, len(rows)).solve(rows @ rows.T, torch.ones(len(rows)).double())
    return np.asarray(weights.numpy() @ gradients)


def of_rank(count: int, rank: int, seed: int, size: int = 4000) -> Array:
    """Random mixtures of so many independent gradients, that mostly agree."""
    rng = np.random.default_rng(seed)
    basis = rng.normal(size=(rank, size)) / np.sqrt(size)
    return np.asarray((rng.normal(size=(count, rank)) + 0.5) @ basis)


A, B = regular(2, 4000, 3)
ZERO = np.zeros_like(A)
JACOBIANS: dict[str, Array] = {
    "a, b, a + b": np.stack([A, B, A + B]),
    "duplicates": np.stack([A, A, B]),
    "opposed": np.stack([A, -A, B]),
    "opposed and alone": np.stack([A, -A]),
    "opposed, of other length": np.stack([A, -3.0 * A]),
    "a row of zeros": np.stack([A, ZERO, B]),
    "all zeros": np.stack([ZERO, ZERO]),
    "rank one": np.array([[1.0], [2.0], [0.5]]) * A,
    "one row 1e4 times another": np.stack([1e4 * A, B, A + B]),
    "rank T - 1": of_rank(5, 4, 0),
    "more tasks than dimensions": regular(6, 3, 5),
    "twenty tasks of rank ten": of_rank(20, 10, 1),
    "twenty tasks of rank nineteen": of_rank(20, 19, 2),
}
EVERY = pytest.mark.parametrize("name", SECTIONS)
KINDS = pytest.mark.parametrize("kind", JACOBIANS)


def longest(gradients: Array) -> float:
    return max(float(lengths(gradients).max()), 1e-30)


@KINDS
@EVERY
def test_directions_are_finite_and_of_their_gradients_size(name: str, kind: str) -> None:
    gradients = JACOBIANS[kind]
    actual = direction(SECTIONS[name], gradients)
    assert np.isfinite(actual).all()
    bound = np.sqrt(len(gradients)) if name == "nash_mtl" else len(gradients) * longest(gradients)
    assert name == "imtl_g" or np.linalg.norm(actual) <= 2 * bound


@KINDS
@pytest.mark.parametrize("name", [name for name in SECTIONS if name not in ("pcgrad", "pareto_mtl")])
def test_directions_do_not_depend_on_the_order_of_tasks(name: str, kind: str) -> None:
    """PCGrad draws an order; Pareto MTL's preference names tasks."""
    gradients = JACOBIANS[kind]
    expected = direction(SECTIONS[name], gradients)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(gradients))
        actual = direction(SECTIONS[name], gradients[order])
        assert np.linalg.norm(actual - expected) <= 1e-4 * max(np.linalg.norm(expected), 1e-3 * longest(gradients))


@KINDS
@EVERY
def test_all_gradients_longer_make_the_direction_longer(name: str, kind: str) -> None:
    gradients = JACOBIANS[kind]
    expected = direction(SECTIONS[name], gradients)
    for factor in (2.0**-20, 2.0**20):  # exact in float32
        actual = direction(SECTIONS[name], factor * gradients) / (1.0 if name == "nash_mtl" else factor)
        assert np.linalg.norm(actual - expected) <= 1e-4 * max(np.linalg.norm(expected), 1e-3 * longest(gradients))


@KINDS
@pytest.mark.parametrize("name", SAFE)
def test_no_task_is_hurt(name: str, kind: str) -> None:
    gradients = JACOBIANS[kind].astype(np.float32).astype(float)
    weights = weights_of(SAFE[name], gradients)
    rounding = 1e-5 * lengths(gradients) * (np.abs(weights) @ lengths(gradients))
    assert (gradients @ (weights @ gradients) >= -rounding).all()


@KINDS
@EVERY
def test_float32_gives_what_float64_gives(name: str, kind: str) -> None:
    gradients = JACOBIANS[kind].astype(np.float32).astype(float)
    actual, expected = direction(SECTIONS[name], gradients), in_float64(SECTIONS[name], gradients)
    assert np.linalg.norm(actual - expected) <= 5e-3 * max(np.linalg.norm(expected), longest(gradients))


def test_imtl_g_moves_where_one_gradient_is_the_sum_of_others() -> None:
    """Rounding alone keeps these three from being dependent; taken at its word the direction is 0."""
    gradients = JACOBIANS["a, b, a + b"]
    assert np.linalg.norm(direction(SECTIONS["imtl_g"], gradients)) > 0.1 * longest(gradients)


@pytest.mark.parametrize("kind", [kind for kind in JACOBIANS if "all" not in kind and "zeros" not in kind])
def test_torchjd_agrees_in_float64(kind: str) -> None:
    """Where its own thresholds do not decide: the projection onto the dual cone is unique."""
    gradients = JACOBIANS[kind]
    rows = torch.from_numpy(gradients)
    expected = torchjd.UPGrad()(rows).numpy()
    actual = direction(SECTIONS["upgrad"], gradients)
    assert np.linalg.norm(actual - expected) <= 2e-2 * longest(gradients)
