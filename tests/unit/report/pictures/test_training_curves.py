"""Training curves."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from frugalmtl.report import Results
from frugalmtl.report.pictures.training_curves import training_curves

Make = Callable[..., Results]


def test_curves_hold_the_history_without_gaps_for_nan(make_results: Make, drawn: list[Any]) -> None:
    results = make_results(pictures=False)
    results.curves["hard"][3].metric["depth"] = math.nan
    training_curves(results, "metric")
    lines = drawn[-1].axes[1].get_lines()
    assert len(lines) == len(results.rows)
    assert [len(line.get_xdata()) for line in lines] == [50, 49, 50, 50, 50]
    np.testing.assert_allclose(lines[0].get_ydata(), [epoch.metric["depth"] for epoch in results.curves["single"]])
