"""Order of a site's channels: what is read together lies side by side."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest

from frugalmtl.channels.builder import site_order
from frugalmtl.channels.operations import Mask


def runs(kept: Mask) -> int:
    """Segments of neighbouring channels that a branch keeps."""
    return sum(1 for value, _ in groupby(kept) if value)


@pytest.mark.parametrize("tasks", [1, 2, 3, 5, 40])
@pytest.mark.parametrize("seed", range(3))
def test_equal_channels_lie_side_by_side_between_those_all_share_and_those_all_keep(tasks: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    private = random.random((tasks, 64)) < random.random((tasks, 1))
    private[:, 7], private[:, 30] = True, False
    order = site_order(private)
    assert sorted(order) == list(range(64))
    patterns = [tuple(private[:, channel]) for channel in order]
    assert len(list(groupby(patterns))) == len(set(patterns))
    assert not any(patterns[0])
    assert all(patterns[-1])
    shared = [not all(pattern) for pattern in patterns]
    assert runs(np.array(shared)) == 1, "what the shared branch computes"


def test_segments_are_few() -> None:
    """All eight sets of three branches: a Gray code has four segments, but does not end with what all keep."""
    private = np.array([[bool(number >> bit & 1) for number in range(8)] for bit in range(3)])
    ordered = private[:, site_order(private)]
    assert sum(runs(row) for row in ordered) <= 6


def test_channels_that_the_same_branches_keep_stay_in_order() -> None:
    private = np.array([[True, False, True, False], [True, False, True, False]])
    assert site_order(private) == [1, 3, 0, 2]
