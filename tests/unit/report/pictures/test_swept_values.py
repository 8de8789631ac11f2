"""The figure of points that are coloured by a swept value."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex

from frugalmtl.core.checks import UserError
from frugalmtl.experiment.config.comparison import Comparison, check_colours, row_experiments
from frugalmtl.report import Results
from frugalmtl.report.drawing.canvas import Look
from frugalmtl.report.pictures import drawings
from frugalmtl.report.pictures.swept_values import swept_scatter

Make = Callable[..., Results]
KEY = "encoder.tau.depth"


def coloured(results: Results, values: list[Any]) -> Results:
    """One more row per value; the first two rows have none."""
    results.rows, base = results.rows[:2], results.rows[3]
    for place, value in enumerate(values):
        row = copy.deepcopy(base)
        row.name, row.title = f"point_{place}", f"Point {place}"
        row.config = {"encoder": {"name": "interrogate", "tau": {"depth": value}}}
        row.cost.deployed.macs, row.delta_mtl_mean = (20 + place) * 1e9, -4.0 + place
        results.rows.append(row)
    results.curves, results.colour_by = {}, KEY
    return results


def colours(axes: Any) -> dict[float, str]:
    """``{cost in G: colour}`` of every point."""
    return {float(points.get_offsets()[0][0]): to_hex(points.get_facecolor()[0]) for points in axes.collections
            if len(points.get_offsets()) == 1 and len(points.get_facecolor())}  # fmt: skip


def test_equal_values_have_one_colour_and_others_are_named(make_results: Make, drawn: list[Any]) -> None:
    results = coloured(make_results(pictures=False), [0.75, 0.0, 0.75, 0.25])
    swept_scatter(results, "macs")
    axes = drawn[-1].axes[0]
    by_cost = colours(axes)
    assert by_cost[20.0] == by_cost[22.0]
    assert len({by_cost[cost] for cost in (20.0, 21.0, 23.0)}) == 3
    assert {text.get_text() for text in axes.texts} == {"Single-task networks", "Hard sharing"}
    legend = drawn[-1].legends[0]
    assert legend.get_title().get_text() == KEY
    assert [text.get_text() for text in legend.get_texts()][:3] == ["0.0", "0.25", "0.75"]
    np.testing.assert_allclose(sorted(by_cost), sorted(row.cost.deployed.macs / 1e9 for row in results.rows))


def test_many_numbers_have_a_bar_and_words_have_none(make_results: Make, drawn: list[Any]) -> None:
    swept_scatter(coloured(make_results(pictures=False), [place / 10 for place in range(9)]), "macs")
    assert [axes.get_ylabel() for axes in drawn[-1].axes[1:]] == [KEY]
    bar = drawn[-1].axes[1]
    assert bar.get_ylim() == pytest.approx((0.0, 0.8))
    swept_scatter(coloured(make_results(pictures=False), ["hinge", "l1", "hinge"]), "macs", Look(narrow=True))
    assert len(drawn[-1].axes) == 1
    by_cost = colours(drawn[-1].axes[0])
    assert by_cost[20.0] == by_cost[22.0] != by_cost[21.0]
    swept_scatter(coloured(make_results(pictures=False), [True, False]), "latency_ms")
    assert [text.get_text() for text in drawn[-1].legends[0].get_texts()][:2] == ["True", "False"]


def test_the_figure_is_there_where_points_have_a_value(make_results: Make) -> None:
    results = make_results(pictures=False)
    assert "delta_swept_macs" not in {drawing.name for drawing in drawings(results)}
    results.colour_by = KEY
    assert "delta_swept_macs" not in {drawing.name for drawing in drawings(results)}
    few = {drawing.name: drawing for drawing in drawings(coloured(results, [0.25, 0.75, 0.75]))}
    assert {"delta_macs", "delta_swept_macs", "delta_swept_latency_ms"} <= few.keys()
    assert "0.75: 2, -3.00 to -2.00 %" in few["delta_swept_macs"].text
    assert few["delta_swept_macs"].section == "tradeoff"


def test_of_many_coloured_points_there_is_that_figure_alone(make_results: Make) -> None:
    names = {drawing.name for drawing in drawings(coloured(make_results(pictures=False), [0.25, 0.75] * 8))}
    assert {"delta_swept_macs", "metrics_macs"} <= names
    assert "delta_macs" not in names


def test_results_keep_the_key(make_results: Make) -> None:
    results = coloured(make_results(pictures=False), [0.25, 0.75])
    assert Results.from_json(results.to_json()).colour_by == KEY


def test_a_key_without_a_value_in_any_row_is_refused() -> None:
    rows: dict[str, Any] = {"one": {}, "two": {"encoder": {"name": "interrogate", "lambda_s": 0.1}}}
    base = {"data": {"name": "rooms", "size": "tiny"}, "encoder": {"name": "hard_sharing"}}
    for key in ("encoder.lambda_s", "train.epochs"):
        comparison = Comparison(base, rows, "one", colour_by=key)
        check_colours(comparison, row_experiments(comparison, 0))
    comparison = Comparison(base, rows, "one", colour_by="encoder.lambda")
    with pytest.raises(UserError, match=r"no row has a value under the key 'encoder\.lambda'"):
        check_colours(comparison, row_experiments(comparison, 0))
