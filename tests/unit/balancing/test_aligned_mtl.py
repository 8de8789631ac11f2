"""Aligned-MTL against the singular value decomposition of the gradients."""

from __future__ import annotations

import numpy as np
import pytest

from frugalmtl.balancing.gradwise.aligned_mtl import AlignedMTL
from frugalmtl.core.checks import UserError
from tests.unit.balancing.jacobians import DEGENERATE, REGULAR, Array, build, direction
from tests.unit.engine.standins import tasks

SCALES = {
    "min": lambda values: values.min(),
    "median": lambda values: np.sort(values)[(len(values) - 1) // 2],
    "rmse": lambda values: np.sqrt(np.mean(values**2)),
}


def aligned(gradients: Array, mode: str) -> Array:
    """Senushkin et al. 2023, eq. 11: gradients with equal singular values."""
    left, values, right = np.linalg.svd(gradients, full_matrices=False)
    rank = int((values > 1e-7 * values[0]).sum())
    return np.asarray(SCALES[mode](values[:rank]) * left[:, :rank] @ right[:rank])


@pytest.mark.parametrize("mode", SCALES)
def test_it_is_the_mean_of_aligned_gradients(mode: str) -> None:
    names = ["identical", "opposed", "rank two", "rank one", "surrounding zero", "one zero", "a single task"]
    for gradients in [*REGULAR, *(DEGENERATE[name] for name in names)]:
        found = direction(build({"name": "aligned_mtl", "scale_mode": mode}, len(gradients)), gradients)
        np.testing.assert_allclose(found, aligned(gradients, mode).mean(axis=0), rtol=1e-6, atol=1e-7)


def test_the_direction_is_as_long_as_the_mean_of_orthogonal_gradients() -> None:
    """Aligned gradients are orthogonal and all as long as the smallest singular value."""
    for gradients in REGULAR:
        found = direction(build({"name": "aligned_mtl"}, len(gradients)), gradients)
        smallest = np.linalg.svd(gradients, compute_uv=False).min()
        assert np.linalg.norm(found) == pytest.approx(smallest / np.sqrt(len(gradients)), rel=1e-6)


def test_orthogonal_gradients_of_equal_length_stay() -> None:
    gradients = 3.0 * np.eye(3, 5)
    found = direction(build({"name": "aligned_mtl"}), gradients)
    np.testing.assert_allclose(found, gradients.mean(axis=0))


def test_unknown_scale_is_refused() -> None:
    with pytest.raises(UserError, match="scale_mode must be one of 'min', 'median', 'rmse'"):
        AlignedMTL(tasks(), scale_mode="max")  # type: ignore[arg-type]
