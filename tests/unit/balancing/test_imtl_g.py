"""IMTL-G against the paper's closed form."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.balancing.jacobians import DEGENERATE, REGULAR, Array, build, direction, lengths, weights_of

SECTION: dict[str, object] = {"name": "imtl_g"}


def closed_form(gradients: Array) -> Array:
    """Liu et al. 2021, eq. 4: the weights of all tasks but the first, from differences to it."""
    units = gradients / lengths(gradients)[:, None]
    differences, turned = gradients[0] - gradients[1:], units[0] - units[1:]
    rest = gradients[0] @ turned.T @ np.linalg.inv(differences @ turned.T)
    return np.concatenate([[1.0 - rest.sum()], rest])


def test_weights_are_the_paper_s() -> None:
    for gradients in REGULAR:
        found = weights_of(build(SECTION, len(gradients)), gradients)
        np.testing.assert_allclose(found, closed_form(gradients), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["one much longer", "one much shorter"])
def test_projections_are_equal(name: str) -> None:
    for gradients in [*REGULAR, DEGENERATE[name]]:
        found = direction(build(SECTION, len(gradients)), gradients)
        projections = gradients @ found / lengths(gradients)
        np.testing.assert_allclose(projections, projections[0], rtol=1e-3)
        assert weights_of(build(SECTION, len(gradients)), gradients).sum() == pytest.approx(1.0)


def test_opposed_gradients_give_nothing() -> None:
    np.testing.assert_array_equal(weights_of(build(SECTION, 2), DEGENERATE["opposed"]), [0.0, 0.0])


def test_a_gradient_of_zero_is_left_out() -> None:
    gradients = DEGENERATE["one zero"]
    weights = weights_of(build(SECTION), gradients)
    assert weights[1] == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(weights[[0, 2]], weights_of(build(SECTION, 2), gradients[[0, 2]]), rtol=1e-9)
