"""IMTL-G against the paper's closed form."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.balancing.jacobians import DEGENERATE, REGULAR, Array, build, direction, lengths, weights_of

SECTION: dict[str, object] = {"name": "imtl_g"}


def closed_form(gradients: Array) -> Array:
    """Liu et al. 2021, eq. 4: the weights of all tasks but the first, from differences to it."""
    units = gradients / lengths(gradients)[:, None]
    differences, turned = gradients[0] - gradients[1:], units[0] - units[1:]
    rest = gradients[0] @ turned.T @ np.linalg.inv(differences @ turned.T)
    return np.concatenate([[1.0 - rest.sum()], rest])


def test_weights_are_the_paper_s() -> None:
    for gradients in REGULAR:
        actual = weights_of(build(SECTION, len(gradients)), gradients)
        np.testing.assert_allclose(actual, closed_form(gradients), rtol=1e-6, atol=1e-9)


def by_svd(gradients: Array) -> Array:
    """Weights that add up to 1 along ``(J J')^+ |g|``, by the singular values of the gradients themselves; 0 where the
    sum is 0 but for rounding."""
    u, values, _ = np.linalg.svd(gradients, full_matrices=False)
    rank = int((values > 1e-10 * values.max()).sum())
    actual = u[:, :rank] / values[:rank] ** 2 @ u[:, :rank].T @ lengths(gradients)
    total = actual.sum()
    rounding = 1e-9 * lengths(gradients).sum() / values[0] ** 2
    return np.asarray(actual / total) if abs(total) > rounding else np.zeros(len(gradients))


@pytest.mark.parametrize("name", [name for name in DEGENERATE if name not in ("all zero", "a single zero")])
def test_degenerate_gradients_have_the_weights_of_the_pseudo_inverse(name: str) -> None:
    gradients = DEGENERATE[name]
    actual = direction(build(SECTION, len(gradients)), gradients)
    expected = by_svd(gradients) @ gradients
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6 * np.linalg.norm(expected) + 1e-9)


@pytest.mark.parametrize("name", ["all zero", "a single zero"])
def test_nothing_is_made_of_nothing(name: str) -> None:
    """There is no direction; weights are even, and finite."""
    gradients = DEGENERATE[name]
    count = len(gradients)
    np.testing.assert_allclose(weights_of(build(SECTION, count), gradients), np.full(count, 1 / count))


@pytest.mark.parametrize("name", ["one much longer", "one much shorter"])
def test_projections_are_equal(name: str) -> None:
    for gradients in [*REGULAR, DEGENERATE[name]]:
        actual = direction(build(SECTION, len(gradients)), gradients)
        projections = gradients @ actual / lengths(gradients)
        np.testing.assert_allclose(projections, projections[0], rtol=1e-3)
        assert weights_of(build(SECTION, len(gradients)), gradients).sum() == pytest.approx(1.0)


def test_opposed_gradients_give_nothing() -> None:
    np.testing.assert_array_equal(weights_of(build(SECTION, 2), DEGENERATE["opposed"]), [0.0, 0.0])


def test_a_gradient_of_zero_is_left_out() -> None:
    gradients = DEGENERATE["one zero"]
    weights = weights_of(build(SECTION), gradients)
    assert weights[1] == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(weights[[0, 2]], weights_of(build(SECTION, 2), gradients[[0, 2]]), rtol=1e-9)
