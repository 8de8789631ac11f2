"""Cones that gradients span, and those dual to them, by non-negative least squares (Lawson and Hanson 1974).

Everything is done with gradients of unit length, so that tasks whose gradients differ by orders of magnitude are all
resolved to the same relative precision.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls
from torch import Tensor

Array = npt.NDArray[np.float64]

RIDGE = 1e-12
"""Added to squared cosines: of many equivalent sets of weights it chooses the evenest, and without it (dependent
gradients) the algorithm may stop early."""

ROUNDING = 4e-6
"""Eigenvalues of the cosines up to this share of the largest count as 0: inner products summed in float32 leave up to
5e-7 of dependent gradients. Cosines rather than products, so that a short gradient is not taken for rounding."""


def lengths_and_units(gramian: Tensor) -> tuple[Array, Array]:
    """Inner products ``[T, T]`` -> lengths ``[T]`` of the gradients, and ``[T, T]`` rows of unit length with their
    cosines; a row of zeros for a gradient of length 0.

    Here the rank of inner products is decided, for every method alike: the rows have :data:`ROUNDING`'s."""
    products = gramian.double().numpy()
    lengths = np.sqrt(np.clip(np.diagonal(products), 0.0, None))
    inverse = inverses(lengths)
    values, vectors = np.linalg.eigh(products * inverse[:, None] * inverse)
    roots = np.sqrt(np.where(values > ROUNDING * values[-1], values, 0.0))
    return lengths, vectors * roots * (lengths > 0)[:, None]


def singular_vectors(lengths: Array, units: Array) -> tuple[Array, Array]:
    """Left singular vectors ``[T, R]`` and singular values ``[R]``, falling, of gradients of rank R."""
    rank = np.count_nonzero(units.any(axis=0))
    u, values, _ = np.linalg.svd(lengths[:, None] * units)
    return u[:, :rank], values[:rank]


def inverses(lengths: Array) -> Array:
    """``1 / x``, and 0 for 0."""
    return np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)


def nonnegative(matrix: Array, target: Array) -> Array:
    """``argmin_{x >= 0} ||matrix x - target||^2 + RIDGE ||x||^2``, to the same relative precision for any target."""
    count = matrix.shape[1]
    size = float(np.linalg.norm(target))
    if size == 0:
        return np.zeros(count)
    solution, _ = nnls(
        np.vstack([matrix, np.sqrt(RIDGE) * np.eye(count)]),
        np.concatenate([target / size, np.zeros(count)]),
        maxiter=100 * count,
    )
    return np.asarray(solution * size)


def shortest(gramian: Tensor) -> Array:
    """Weights ``[T]`` of the shortest vector in the convex hull of the gradients: on the simplex.

    ``min_{x >= 0} ||sum_t x_t g_t||^2 + (1 - sum_t x_t)^2`` has a multiple of the wanted weights as its solution.
    """
    lengths, units = lengths_and_units(gramian)
    if not lengths.all():
        return np.asarray((lengths == 0) / np.count_nonzero(lengths == 0))
    total = lengths.min() / lengths
    matrix = np.vstack([units.T, total])
    solution = nonnegative(matrix, np.eye(len(matrix))[-1]) * total
    return np.asarray(solution / solution.sum())


def projected(lengths: Array, units: Array, weights: Array) -> Array:
    """Weights ``[T]`` of ``sum_t w_t g_t`` -> weights of the nearest vector that has no negative inner product with any
    gradient (Moreau: the difference is a non-negative combination of the gradients)."""
    against = nonnegative(units.T, -(weights * lengths) @ units)
    return np.asarray(weights + against * inverses(lengths))


def shortest_above(units: Array, bounds: Array) -> Array:
    """Multipliers ``v >= 0`` ``[T]`` of the shortest ``u = sum_t v_t e_t`` with ``e_t . u >= bounds_t`` for rows
    ``e_t`` (least distance programming, Lawson and Hanson, chapter 23); of some u that misses a bound if there is
    none."""
    matrix = np.vstack([units.T, bounds])
    solution = nonnegative(matrix, np.eye(len(matrix))[-1])
    return np.asarray(solution / max(1.0 - float(bounds @ solution), RIDGE))
