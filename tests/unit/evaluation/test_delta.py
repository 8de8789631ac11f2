"""Delta_MTL and mean rank: values by hand, and refusals."""

from __future__ import annotations

import math

import pytest

from frugalmtl.core.checks import UserError
from frugalmtl.evaluation.delta import delta_mtl, mean_rank

DIRECTIONS = {"a": True, "b": False}


def test_direction_turns_the_sign() -> None:
    single = {"a": 50.0, "b": 2.0}
    assert delta_mtl({"a": 55.0, "b": 2.0}, single, DIRECTIONS) == pytest.approx(5.0)
    assert delta_mtl({"a": 50.0, "b": 2.2}, single, DIRECTIONS) == pytest.approx(-5.0)
    assert delta_mtl(single, single, DIRECTIONS) == 0


def test_units_do_not_matter() -> None:
    single, ours = {"a": 0.5, "b": 2.0}, {"a": 0.45, "b": 1.7}
    in_per_cent = delta_mtl({"a": 45.0, "b": 1.7}, {"a": 50.0, "b": 2.0}, DIRECTIONS)
    assert delta_mtl(ours, single, DIRECTIONS) == pytest.approx(in_per_cent)


def test_average_inside_the_task_first() -> None:
    single = {"a": {"x": 10.0, "y": 1.0}, "b": {"z": 4.0}}
    ours = {"a": {"x": 11.0, "y": 1.3}, "b": {"z": 5.0}}
    directions = {"a": {"x": True, "y": False}, "b": {"z": True}}
    expected = 100 * ((0.1 - 0.3) / 2 + 0.25) / 2
    assert delta_mtl(ours, single, directions, per_task="average") == pytest.approx(expected)


def test_published_row_of_auto_lambda() -> None:
    """Row "Equal" of NYUv2 in Liu et al. 2022."""
    single, ours = {"a": 43.37, "b": 0.5224, "c": 22.40}, {"a": 44.64, "b": 0.4332, "c": 24.48}
    assert delta_mtl(ours, single, {"a": True, "b": False, "c": False}) == pytest.approx(3.57, abs=0.02)


def test_nan_is_not_hidden() -> None:
    assert math.isnan(delta_mtl({"a": math.nan, "b": 1.0}, {"a": 1.0, "b": 1.0}, DIRECTIONS))


@pytest.mark.parametrize(
    ("scores", "baseline", "directions", "message"),
    [
        ({"a": 1.0}, {"a": 1.0, "b": 1.0}, DIRECTIONS, "the scores lack task b"),
        ({"a": 1.0, "b": 1.0}, {"a": 1.0}, DIRECTIONS, "the baseline lack task b"),
        ({"a": 1.0, "b": 1.0}, {"a": 1.0, "b": 1.0}, {"a": True}, "the directions lack task b"),
        ({"a": 1.0, "b": 1.0}, {"a": 1.0, "b": 0.0}, DIRECTIONS, "'b' is 0"),
        ({}, {}, {}, "at least one"),
        ({"a": {"x": 1.0}}, {"a": {"x": 1.0}}, {"a": {"x": True}}, "one number for 'a'"),
    ],
)
def test_mistakes_are_named(scores: dict, baseline: dict, directions: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        delta_mtl(scores, baseline, directions)


def test_average_needs_metrics() -> None:
    with pytest.raises(UserError, match="metric: value"):
        delta_mtl({"a": 1.0}, {"a": 1.0}, {"a": True}, per_task="average")
    directions = {"a": {"x": True, "y": True}}
    with pytest.raises(UserError, match="lack metric of task 'a' y"):
        delta_mtl({"a": {"x": 1.0}}, {"a": {"x": 1.0, "y": 1.0}}, directions, per_task="average")


def test_ranks_without_ties_agree() -> None:
    rows = {"m1": {"a": 3.0, "b": 0.1}, "m2": {"a": 2.0, "b": 0.3}, "m3": {"a": 1.0, "b": 0.2}}
    expected = {"m1": 1.0, "m2": 2.5, "m3": 2.5}
    assert mean_rank(rows, DIRECTIONS) == mean_rank(rows, DIRECTIONS, ties="min") == expected


def test_ties() -> None:
    rows = {"m1": {"a": 1.0}, "m2": {"a": 1.0}, "m3": {"a": 2.0}}
    assert mean_rank(rows, {"a": True}) == {"m1": 2.5, "m2": 2.5, "m3": 1.0}
    assert mean_rank(rows, {"a": True}, ties="min") == {"m1": 2.0, "m2": 2.0, "m3": 1.0}


@pytest.mark.parametrize(
    ("rows", "message"),
    [({}, "at least one row"), ({"m": {"a": 1.0}}, "task 'b' in row 'm'"), ({"m": {"a": 1.0, "b": math.nan}}, "nan")],
)
def test_ranks_need_numbers(rows: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        mean_rank(rows, DIRECTIONS)
