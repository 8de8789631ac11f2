"""UPGrad against projections found by a general solver."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from tests.support.balancing.jacobians import DEGENERATE, REGULAR, Array, build, direction, lengths

SECTION: dict[str, object] = {"name": "upgrad"}


def nearest(gradients: Array, vector: Array) -> Array:
    """The nearest vector that has no negative product with any gradient."""
    actual = minimize(
        lambda d: float((d - vector) @ (d - vector)),
        vector,
        jac=lambda d: 2.0 * (d - vector),
        constraints=[{"type": "ineq", "fun": lambda d: gradients @ d, "jac": lambda d: gradients}],
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    return np.asarray(actual.x)


def test_it_is_the_mean_of_the_projected_gradients() -> None:
    names = ["identical", "opposed", "two of three opposed", "one zero", "rank two", "surrounding zero"]
    for gradients in [*REGULAR[:8], *(DEGENERATE[name] for name in names)]:
        expected = np.mean([nearest(gradients, row) for row in gradients], axis=0)
        actual = direction(build(SECTION, len(gradients)), gradients)
        np.testing.assert_allclose(actual, expected, atol=1e-5 * lengths(gradients).max())


@pytest.mark.parametrize("name", ["one much longer", "one much shorter"])
def test_short_gradients_are_not_overlooked(name: str) -> None:
    gradients = DEGENERATE[name]
    assert (gradients @ gradients.T).min() < 0
    rates = gradients @ direction(build(SECTION), gradients)
    assert (rates >= -1e-12 * lengths(gradients) * lengths(gradients).max()).all()


def test_gradients_that_agree_are_averaged() -> None:
    gradients = np.abs(REGULAR[2])
    np.testing.assert_allclose(direction(build(SECTION, 5), gradients), gradients.mean(axis=0))
