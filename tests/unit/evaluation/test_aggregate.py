"""Mean and spread over seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.evaluation.aggregate import aggregate, spread


def test_spread_is_numpys_with_one_degree_of_freedom_less() -> None:
    values = np.random.default_rng(0).normal(40, 2, 5)
    result = spread(values.tolist())
    assert result.mean == pytest.approx(values.mean())
    assert result.std == pytest.approx(values.std(ddof=1))
    assert result.count == 5


def test_one_seed_has_no_spread() -> None:
    result = spread([3.0])
    assert result.mean == 3.0
    assert math.isnan(result.std)


def test_nan_is_not_hidden() -> None:
    result = spread([1.0, math.nan, 2.0])
    assert math.isnan(result.mean)
    assert math.isnan(result.std)


def test_aggregate_keeps_the_structure() -> None:
    runs = [{"t": {"x": 1.0, "y": 5.0}, "u": {"z": 0.0}}, {"t": {"x": 3.0, "y": 5.0}, "u": {"z": 0.0}}]
    result = aggregate(runs)
    assert set(result) == {"t", "u"}
    assert result["t"]["x"].mean == 2.0
    assert result["t"]["x"].std == pytest.approx(2**0.5)
    assert result["t"]["y"].std == 0


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match="at least one seed"):
        aggregate([])
    with pytest.raises(UserError, match="at least one seed"):
        spread([])
    with pytest.raises(UserError, match="run 1 and run 2 differ in t/y"):
        aggregate([{"t": {"x": 1.0}}, {"t": {"x": 1.0, "y": 2.0}}])
