"""The shortest vector in the convex hull of gradients."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor


def min_norm_weights(gramian: Tensor) -> Tensor:
    """Inner products ``[M, M]`` of vectors -> ``argmin ||sum_i a_i v_i||^2`` over ``a >= 0, sum a = 1``.

    Exact, by active sets: with ``x = s a``, the least squares problem ``min ||sum_i x_i v_i||^2 + (sum_i x_i - 1)^2``
    over ``x >= 0`` has, for its best ``s``, the value ``n / (1 + n)`` with ``n = ||sum_i a_i v_i||^2``. That grows with
    ``n``, so both problems have the same ``a``.

    Args:
        gramian: positive semi-definite up to rounding; of any scale.

    >>> min_norm_weights(torch.tensor([[1.0, 0.0], [0.0, 3.0]]))
    tensor([0.7500, 0.2500])
    """
    matrix = gramian.detach().double().cpu().numpy()
    size = np.abs(matrix).max()
    if size == 0:
        return torch.full_like(gramian[0], 1 / len(gramian))
    values, vectors = np.linalg.eigh(matrix / size)
    rows = np.sqrt(values.clip(min=0))[:, None] * vectors.T  # columns have the given inner products
    solution, _ = nnls(np.vstack([rows, np.ones(len(matrix))]), np.append(np.zeros(len(matrix)), 1.0))
    return torch.from_numpy(solution / solution.sum()).to(gramian)
