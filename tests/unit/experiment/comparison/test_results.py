"""Affinity of a row: the mean over epochs and seeds."""

from __future__ import annotations

import math

from frugalmtl.experiment.comparison.results import mean_affinity


def test_affinity_is_a_mean_over_epochs_and_then_over_seeds() -> None:
    first = [{"affinity": {"a>b": 0.2, "b>a": -0.1}}, {"affinity": {"a>b": 0.4}}, {"losses": {}}]
    second = [{"affinity": {"a>b": 0.7, "b>a": math.nan}}]
    third = [{"losses": {}}, {"affinity": {}}]
    result = mean_affinity([first, second, third])
    assert result == {"a": {"b": (0.3 + 0.7) / 2}, "b": {"a": -0.1}}
    assert mean_affinity([third]) == {}
