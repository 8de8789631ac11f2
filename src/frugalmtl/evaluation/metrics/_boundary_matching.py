"""Thin boundaries, and how many pixels of two of them correspond."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching
from skimage.morphology import skeletonize, thin

Matching = Literal["exact", "dilation"]
Thinning = Literal["zhang_suen", "guo_hall"]
Mask = npt.NDArray[np.bool_]


def thinned(mask: Mask, thinning: Thinning) -> Mask:
    """Lines one pixel wide, by the algorithm of Zhang & Suen (1984) or of Guo & Hall (1989)."""
    algorithm: Callable[[Mask], Mask] = skeletonize if thinning == "zhang_suen" else thin
    return algorithm(mask)


class BoundaryMatcher:
    """Pairs the pixels of thin boundaries with those of one true boundary.

    Args:
        truth: thin true boundary ``[H, W]``.
        max_distance: largest distance of a pair in pixels, inclusive.
        matching: ``"exact"``: every pixel belongs to at most one pair, and there are as many pairs as possible (a
            maximum bipartite matching; which of the largest matchings is cheapest does not change a count).
            ``"dilation"``: a pixel counts if *any* pixel of the other boundary is near, however many share it; never
            fewer than exact.
    """

    def __init__(self, truth: Mask, max_distance: float, matching: Matching) -> None:
        self.matching = matching
        reach = int(max_distance)
        steps = np.arange(-reach, reach + 1)
        near = steps[:, None] ** 2 + steps[None, :] ** 2 <= max_distance**2
        rows, columns = np.nonzero(near)
        self._margin, self._width = reach, truth.shape[1] + 2 * reach
        self._steps = (rows - reach) * self._width + (columns - reach)
        self.count = int(truth.sum())
        # Number of each true pixel on a map with a margin, -1 elsewhere; looking up all neighbours of all predicted
        # pixels is then one gather.
        numbers = np.full((truth.shape[0] + 2 * reach, self._width), -1, dtype=np.int32)
        numbers[reach : reach + truth.shape[0], reach : reach + truth.shape[1]][truth] = np.arange(self.count)
        self._numbers = numbers.ravel()

    def __call__(self, predicted: Mask) -> tuple[int, int]:
        """Numbers of pixels of ``predicted`` and of the truth that found a partner."""
        rows, columns = np.nonzero(predicted)
        if len(rows) == 0 or self.count == 0:
            return 0, 0
        places = (rows + self._margin) * self._width + columns + self._margin
        partners = self._numbers[places[:, None] + self._steps]
        found = partners >= 0
        if self.matching == "dilation":
            return int(found.any(1).sum()), len(np.unique(partners[found]))
        starts = np.concatenate([[0], found.sum(1).cumsum()])
        graph = csr_matrix((np.ones(starts[-1], np.int8), partners[found], starts), shape=(len(rows), self.count))
        pairs = int((maximum_bipartite_matching(graph, perm_type="column") >= 0).sum())
        return pairs, pairs
