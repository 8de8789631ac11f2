"""MGDA against the shortest vector found by trying every face, and its conditions of optimality."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from frugalmtl.balancing.aggregation.mgda import MGDA
from frugalmtl.core.checks import UserError
from tests.support.balancing.jacobians import (
    DEGENERATE,
    REGULAR,
    build,
    direction,
    lengths,
    shortest_in_hull,
    weights_of,
)
from tests.support.balancing.task_gradients import backward, take
from tests.support.tiny_training import build_model, tasks

PLAIN: dict[str, object] = {"name": "mgda"}


def test_it_is_the_shortest_vector_of_the_hull() -> None:
    for gradients in [*REGULAR, DEGENERATE["one much longer"], DEGENERATE["one much shorter"]]:
        expected = shortest_in_hull(gradients)
        actual = direction(build(PLAIN, len(gradients)), gradients)
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-7 * lengths(gradients).min())


@pytest.mark.parametrize("name", DEGENERATE)
def test_weights_are_optimal(name: str) -> None:
    gradients = DEGENERATE[name]
    weights = weights_of(build(PLAIN, len(gradients)), gradients)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1.0)
    actual = weights @ gradients
    assert (gradients @ actual >= actual @ actual - 1e-9 * lengths(gradients) * lengths(gradients).min()).all()


def test_two_tasks_have_a_closed_form() -> None:
    for seed in range(30):
        one, other = gradients = np.random.default_rng(seed).normal(size=(2, 3)) * [[1.0], [2.0]]
        share = np.clip((other - one) @ other / ((one - other) @ (one - other)), 0.0, 1.0)
        np.testing.assert_allclose(weights_of(build(PLAIN, 2), gradients), [share, 1.0 - share], atol=1e-9)


def test_equal_gradients_get_even_weights() -> None:
    gradients = DEGENERATE["identical"]
    np.testing.assert_allclose(weights_of(build(PLAIN), gradients), [1 / 3] * 3, rtol=0.01)


def test_a_task_whose_gradient_vanishes_stops_what_is_shared() -> None:
    gradients = DEGENERATE["one zero"]
    np.testing.assert_array_equal(weights_of(build(PLAIN), gradients), [0.0, 1.0, 0.0])


@pytest.mark.parametrize("kind", ["l2", "loss", "loss+"])
def test_the_divisor_concerns_the_search_alone(kind: str) -> None:
    losses = np.array([0.5, 4.0, 1.5])
    for gradients in (matrix for matrix in REGULAR if len(matrix) == 3):
        divisor = {"l2": lengths(gradients), "loss": losses, "loss+": losses * lengths(gradients)}[kind]
        weights = weights_of(build({**PLAIN, "divide_by": kind}), gradients, losses)
        normalised = gradients / divisor[:, None]
        np.testing.assert_allclose(weights @ normalised, shortest_in_hull(normalised), atol=1e-8)
        np.testing.assert_allclose(
            direction(build({**PLAIN, "divide_by": kind}), gradients, losses), weights @ gradients, atol=1e-12
        )


def test_losses_of_zero_divide_nothing() -> None:
    gradients = REGULAR[1]
    losses = np.array([0.0, 1.0, 1.0])
    actual = weights_of(build({**PLAIN, "divide_by": "loss"}), gradients, losses)
    np.testing.assert_allclose(actual, weights_of(build(PLAIN), gradients))


def test_an_unknown_divisor_is_refused() -> None:
    with pytest.raises(UserError, match="divide_by of mgda must be one of 'none', 'l2', 'loss', 'loss"):
        MGDA(tasks(), divide_by="l1")  # type: ignore[arg-type]


def test_where_gradients_are_taken() -> None:
    assert MGDA(tasks()).gradients_at == "parameters"
    model = build_model("shared", dropout=0.0).double().eval()
    actual = []
    for level in ("parameters", "representation"):
        backward(model, MGDA(tasks(), gradients_at=level))  # type: ignore[arg-type]
        actual.append(take(model))
    trunk = [name for name in actual[0] if name.startswith("encoder")]
    assert any(not torch.allclose(actual[0][name], actual[1][name]) for name in trunk)  # type: ignore[arg-type]
