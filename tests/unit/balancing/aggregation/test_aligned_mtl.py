"""Aligned-MTL against the singular value decomposition of the gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from frugalmtl.balancing._gramian import gramian
from frugalmtl.balancing.aggregation.aligned_mtl import AlignedMTL
from frugalmtl.core.checks import UserError
from tests.support.balancing.jacobians import DEGENERATE, REGULAR, Array, build, direction, weights_of
from tests.support.tiny_training import tasks

SCALES = {
    "min": lambda values: values.min(),
    "median": lambda values: np.sort(values)[(len(values) - 1) // 2],
    "rmse": lambda values: np.sqrt(np.mean(values**2)),
}


def aligned(gradients: Array, mode: str) -> Array:
    """Senushkin et al. 2023, eq. 11: gradients with equal singular values."""
    u, values, v = np.linalg.svd(gradients, full_matrices=False)
    rank = int((values > 1e-7 * values[0]).sum())
    return np.asarray(SCALES[mode](values[:rank]) * u[:, :rank] @ v[:rank])


@pytest.mark.parametrize("mode", SCALES)
def test_it_is_the_mean_of_aligned_gradients(mode: str) -> None:
    cases = [gradients for name, gradients in DEGENERATE.items() if gradients.any() and "much" not in name]
    for gradients in [*REGULAR, *cases]:
        actual = direction(build({"name": "aligned_mtl", "scale_mode": mode}, len(gradients)), gradients)
        np.testing.assert_allclose(actual, aligned(gradients, mode).mean(axis=0), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("mode", SCALES)
@pytest.mark.parametrize("name", ["one much longer", "one much shorter"])
def test_short_gradients_are_resolved(name: str, mode: str) -> None:
    """A millionth of the others, far below what the rounding of inner products leaves of parallel ones."""
    gradients = DEGENERATE[name]
    u, values, v = np.linalg.svd(gradients, full_matrices=False)
    expected = (SCALES[mode](values) * u @ v).mean(axis=0)
    actual = direction(build({"name": "aligned_mtl", "scale_mode": mode}), gradients)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.linalg.norm(expected))


@pytest.mark.parametrize("mode", SCALES)
@pytest.mark.parametrize("size", [1000, 200_000, 262_144])
def test_parallel_gradients_stay_parallel_in_spite_of_rounding(size: int, mode: str) -> None:
    """In float32, with inner products as in training; all but one singular value are rounding."""
    generator = torch.Generator().manual_seed(0)
    balancer = build({"name": "aligned_mtl", "scale_mode": mode})
    for _ in range(8):
        row = torch.randn(size, generator=generator)
        factors = torch.rand(3, generator=generator) + 0.2
        rows = [factor * row for factor in factors]
        weights = balancer.solve(gramian([[item] for item in rows]), torch.ones(3, dtype=torch.float64))
        units = (factors / factors.norm()).double()  # J = factors row', so J^ = |row| factors units'
        expected = units.mean() * factors.double().norm()
        assert float(weights @ factors.double()) == pytest.approx(float(expected), rel=1e-5)


def test_nothing_is_made_of_nothing() -> None:
    np.testing.assert_array_equal(weights_of(build({"name": "aligned_mtl"}), DEGENERATE["all zero"]), [1.0, 1.0, 1.0])


def test_the_direction_is_as_long_as_the_mean_of_orthogonal_gradients() -> None:
    """Aligned gradients are orthogonal and all as long as the smallest singular value."""
    for gradients in REGULAR:
        actual = direction(build({"name": "aligned_mtl"}, len(gradients)), gradients)
        smallest = np.linalg.svd(gradients, compute_uv=False).min()
        assert np.linalg.norm(actual) == pytest.approx(smallest / np.sqrt(len(gradients)), rel=1e-6)


def test_orthogonal_gradients_of_equal_length_stay() -> None:
    gradients = 3.0 * np.eye(3, 5)
    actual = direction(build({"name": "aligned_mtl"}), gradients)
    np.testing.assert_allclose(actual, gradients.mean(axis=0))


def test_unknown_scale_is_refused() -> None:
    with pytest.raises(UserError, match="scale_mode of aligned_mtl must be one of 'min', 'median', 'rmse'"):
        AlignedMTL(tasks(), scale_mode="max")  # type: ignore[arg-type]
