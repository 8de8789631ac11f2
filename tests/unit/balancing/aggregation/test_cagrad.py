"""CAGrad against the paper's dual problem solved by SLSQP, and the definition of its direction."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from frugalmtl.balancing.aggregation.cagrad import CAGrad
from frugalmtl.core.checks import UserError
from tests.support.balancing.jacobians import DEGENERATE, REGULAR, Array, build, direction, lengths, weights_of
from tests.support.tiny_training import tasks


def section(c: float = 0.4, rescale: str = "none") -> dict[str, object]:
    return {"name": "cagrad", "c": c, "rescale": rescale}


def by_dual(gradients: Array, c: float) -> Array:
    """Liu et al. 2021, algorithm 1: w first, then the direction."""
    mean = gradients.mean(axis=0)
    count, radius = len(gradients), c * np.linalg.norm(mean)

    def objective(weights: Array) -> float:
        combined = weights @ gradients
        return float(combined @ mean + radius * np.sqrt(combined @ combined + 1e-14))

    simplex = {"type": "eq", "fun": lambda weights: weights.sum() - 1.0}
    starts = [np.full(count, 1.0 / count), *(0.9 * np.eye(count) + 0.1 / count)]
    solutions = [
        minimize(
            objective,
            start,
            bounds=[(0.0, 1.0)] * count,
            constraints=[simplex],
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 500},
        )
        for start in starts
    ]
    combined = min(solutions, key=lambda solution: solution.fun).x @ gradients
    return np.asarray(mean + radius * combined / np.linalg.norm(combined))


@pytest.mark.parametrize("c", [0.1, 0.4, 0.8])
def test_it_is_the_paper_s_direction(c: float) -> None:
    for gradients in REGULAR:
        actual = direction(build(section(c), len(gradients)), gradients)
        np.testing.assert_allclose(actual, by_dual(gradients, c), atol=2e-4 * lengths(gradients).max())


@pytest.mark.parametrize("c", [0.0, 0.4, 1.0, 2.0])
def test_it_stays_in_the_ball_and_no_point_of_it_is_better(c: float) -> None:
    rng = np.random.default_rng(0)
    for gradients in [*REGULAR, *DEGENERATE.values()]:
        actual = direction(build(section(c), len(gradients)), gradients)
        mean, longest = gradients.mean(axis=0), lengths(gradients).max()
        radius = c * np.linalg.norm(mean)
        assert np.linalg.norm(actual - mean) <= radius + 1e-9 * longest
        others = rng.normal(size=(500, len(mean)))
        others *= (radius * rng.uniform(size=(500, 1)) ** (1 / len(mean))) / np.linalg.norm(others, axis=1)[:, None]
        best = (gradients @ (mean + others).T).min(axis=0).max()
        assert (gradients @ actual).min() >= best - 1e-9 * longest**2


@pytest.mark.parametrize("name", DEGENERATE)
def test_the_dual_certifies_the_worst_rate(name: str) -> None:
    """For every w of the simplex, the best rate is at most ``g_w . g_0 + c ||g_0|| ||g_w||``."""
    gradients, c = DEGENERATE[name], 0.4
    mean, longest = gradients.mean(axis=0), lengths(gradients).max()
    weights = weights_of(build(section(c), len(gradients)), gradients)
    added = weights - 1.0 / len(gradients)
    assert (added >= -1e-12).all()
    if added.sum() <= 0:
        return
    combined = added / added.sum() @ gradients
    bound = combined @ mean + c * np.linalg.norm(mean) * np.linalg.norm(combined)
    assert (gradients @ (weights @ gradients)).min() >= bound - 1e-7 * longest**2


def test_no_radius_gives_the_mean() -> None:
    for gradients in REGULAR:
        actual = direction(build(section(0.0), len(gradients)), gradients)
        np.testing.assert_allclose(actual, gradients.mean(axis=0), atol=1e-12)


@pytest.mark.parametrize(("rescale", "divisor"), [("none", 1.0), ("1+c2", 1.25), ("1+c", 1.5)])
def test_rescaling(rescale: str, divisor: float) -> None:
    plain = direction(build(section(0.5), 3), REGULAR[1])
    np.testing.assert_allclose(direction(build(section(0.5, rescale), 3), REGULAR[1]), plain / divisor)


def test_a_gradient_of_zero_leaves_the_mean() -> None:
    gradients = np.array([[1.0, 2.0], [0.0, 0.0]])
    np.testing.assert_allclose(direction(build(section(), 2), gradients), [0.5, 1.0])


def test_opposed_gradients() -> None:
    gradients = np.array([[2.0, 0.0], [-1.0, 0.0]])
    np.testing.assert_allclose(direction(build(section(0.4), 2), gradients), [0.3, 0.0], atol=1e-9)
    np.testing.assert_allclose(direction(build(section(1.5), 2), gradients), [0.0, 0.0], atol=1e-8)
    np.testing.assert_allclose(direction(build(section(0.4), 2), gradients / [[2.0], [1.0]]), [0.0, 0.0])


@pytest.mark.parametrize("c", [-0.1, float("nan"), float("inf")])
def test_impossible_radii_are_refused(c: float) -> None:
    with pytest.raises(UserError, match="c of cagrad must be 0 or more and finite, but got"):
        CAGrad(tasks(), c=c)


def test_unknown_rescaling_is_refused() -> None:
    with pytest.raises(UserError, match="rescale of cagrad must be one of"):
        CAGrad(tasks(), rescale="c")  # type: ignore[arg-type]
