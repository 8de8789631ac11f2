"""Trade-off figures: labels, curves, error bars, axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from frugalmtl.report import Results
from frugalmtl.report.drawing.canvas import Look
from frugalmtl.report.palette import row_styles
from frugalmtl.report.pictures.delta_tradeoff import delta_tradeoff
from frugalmtl.report.pictures.metric_tradeoff import metric_tradeoff
from tests.support.report import add_curve

Make = Callable[..., Results]


def test_labels_name_every_row_and_axes_name_units(make_results: Make, drawn: list[Any]) -> None:
    results = make_results(pictures=False)
    results.rows[1].title = "costs $5 and $6 _a_"
    delta_tradeoff(results, "macs")
    axes = drawn[-1].axes[0]
    words = {text.get_text().replace("\n", " ") for text in axes.texts}
    assert {row.label for row in results.rows} == words
    keys = [text.get_text() for text in drawn[-1].legends[0].get_texts()]
    assert keys == ["as good as the reference", "Pareto front: outlined, on the grey band"]
    assert axes.get_xlabel() == "multiply-adds of the deployed model in G"
    metric_tradeoff(results, "latency_ms")
    panels = drawn[-1].axes
    assert [panel.get_title(loc="left") for panel in panels] == [task.name for task in results.tasks]
    assert panels[1].get_ylabel() == "rmse [m], lower is better"
    assert [panel.yaxis_inverted() for panel in panels] == [not task.higher_is_better for task in results.tasks]
    legend = [text.get_text() for text in drawn[-1].legends[0].get_texts()]
    assert set(legend[:-1]) == {row.label for row in results.rows}
    assert "Pareto front" in legend[-1]


@pytest.mark.parametrize("narrow", [False, True])
def test_labels_of_a_figure_do_not_overlap(make_results: Make, drawn: list[Any], narrow: bool) -> None:
    results = make_results(pictures=False)
    for index, row in enumerate(results.rows):
        row.delta_mtl_mean, row.cost.deployed.macs = 0.1 * index, (30 + 0.3 * index) * 1e9
    delta_tradeoff(results, "macs", Look(narrow=narrow))
    renderer = drawn[-1].canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in drawn[-1].axes[0].texts]
    for index, first in enumerate(boxes):
        assert not any(first.overlaps(second) for second in boxes[index + 1 :])


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("cost", ["macs", "latency_ms"])
def test_labels_keep_apart_with_a_curve_among_single_points(
    make_results: Make, drawn: list[Any], narrow: bool, cost: Any
) -> None:
    results = make_results(pictures=False)
    add_curve(results)
    delta_tradeoff(results, cost, Look(narrow=narrow))
    renderer = drawn[-1].canvas.get_renderer()
    axes = drawn[-1].axes[0]
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    assert len(boxes) == 5 + 6 + 1
    for index, first in enumerate(boxes):
        assert not any(first.overlaps(second) for second in boxes[index + 1 :])


def test_a_wide_range_of_costs_gets_readable_ticks(make_results: Make, drawn: list[Any]) -> None:
    results = make_results(pictures=False)
    results.rows[1].cost.deployed.latency_ms.median = 2.0
    delta_tradeoff(results, "latency_ms")
    axes = drawn[-1].axes[0]
    assert axes.get_xscale() == "log"
    assert {"2", "10", "50"} <= {label.get_text() for label in axes.get_xticklabels()}


def test_points_of_a_curve_are_joined_in_order_of_cost(make_results: Make, drawn: list[Any]) -> None:
    results = make_results(pictures=False)
    names = add_curve(results)
    add_curve(results, "Lonely", points=1)
    delta_tradeoff(results, "macs")
    axes = drawn[-1].axes[0]
    colour = row_styles(results)[names[0]].light
    (line,) = [line for line in axes.get_lines() if len(line.get_xdata()) == 6 and line.get_color() == colour]
    np.testing.assert_allclose(line.get_xdata(), [results.row(name).cost.deployed.macs / 1e9 for name in names])
    np.testing.assert_allclose(line.get_ydata(), [results.row(name).delta_mtl_mean for name in names])
    words = [text.get_text() for text in axes.texts]
    assert words.count("Gates") == 1, "the curve is named once"
    assert {"0.20x", "0.80x"} <= set(words), "its points by what tells them apart"
    assert "Lonely 0.20x" in words, "a single point is no curve"
    assert "MTI-Net" in words
    assert ["Pareto front" in text.get_text() for text in drawn[-1].legends[0].get_texts()] == [False, True]
    metric_tradeoff(results, "macs")
    legend = [text.get_text() for text in drawn[-1].legends[0].get_texts()]
    assert legend.count("Gates") == 1
    assert not any(word.startswith("Gates ") for word in legend)
    for panel in drawn[-1].axes:
        assert any(line.get_color() == colour and len(line.get_xdata()) == 6 for line in panel.get_lines())


def test_costs_that_differ_between_seeds_have_bars(make_results: Make, drawn: list[Any]) -> None:
    results = make_results(pictures=False)
    delta_tradeoff(results, "macs")
    before = len(drawn[-1].axes[0].containers)
    for seed, macs in zip(results.row("gated").seeds, (26e9, 27e9, 28e9), strict=True):
        seed.macs = macs
    delta_tradeoff(results, "macs")
    assert len(drawn[-1].axes[0].containers) == before + 1
    (bar,) = [bar for bar in drawn[-1].axes[0].containers if bar.has_xerr]
    ends = bar.lines[2][0].get_segments()[0]
    np.testing.assert_allclose(ends[:, 0], [26.5, 28.5])
