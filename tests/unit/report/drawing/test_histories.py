"""Histories of weights and gradients: relative values, pairs, scales."""

from __future__ import annotations

import math
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from frugalmtl.report import Epoch, Results
from frugalmtl.report.drawing.histories import around_zero, pair_name, per_pair, per_task

Make = Callable[..., Results]


def test_weights_and_norms_are_relative_to_the_mean_of_a_model(make_results: Make) -> None:
    results = make_results(pictures=False)
    results.curves = {
        "hard": [Epoch(1, weights={"depth": 3.0, "normals": 1.0, "edges": math.nan}, norms={"depth": 1.0})],
        "mtinet": [Epoch(1, weights={"depth": 0.5, "normals": -0.5}, norms={"depth": 0.0, "normals": 0.0})],
    }
    assert per_task(results, "weights") == {
        "hard": [(1, {"depth": 1.5, "normals": 0.5})],
        "mtinet": [(1, {"depth": 1.0, "normals": -1.0})],
    }
    assert per_task(results, "norms") == {}, "one task alone, or no length at all, says nothing"


@given(st.lists(st.floats(-1e6, 1e6), max_size=5))
def test_limits_around_zero_hold_all_values_and_are_not_far(values: list[float]) -> None:
    low, high = around_zero([values, [math.nan]])
    largest = max(map(abs, values), default=0.0)
    assert low == -high < 0
    if largest > 1e-12:
        assert largest <= high * 1.001
        assert high <= 2.6 * largest


def test_pairs_of_tasks_that_the_report_does_not_list_come_last(make_results: Make) -> None:
    results = make_results(pictures=False)
    assert pair_name(results, "helper", "depth") == "depth ~ helper"
    results.curves = {"hard": [Epoch(1, cosines={"helper~depth": 0.1, "normals~segmentation": 0.2})]}
    assert per_pair(results, "cosines") == {"hard": [(1, {"depth ~ helper": 0.1, "segmentation ~ normals": 0.2})]}
