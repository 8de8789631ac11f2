"""Figures: right words, no label on top of another, nothing empty."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from frugalmtl.report import Results, figures
from frugalmtl.report._labels import Box, place
from frugalmtl.report.figures import Look, drawings, recolour
from frugalmtl.report.palette import DARK, LIGHT, row_styles

Make = Callable[..., Results]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every matplotlib figure that is drawn."""
    kept: list[Any] = []
    original = figures._figure

    def keep(size: tuple[float, float]) -> Any:
        kept.append(original(size))
        return kept[-1]

    monkeypatch.setattr(figures, "_figure", keep)
    return kept


def test_all_figures_are_pictures_with_something_on_them(make_results: Make) -> None:
    made = drawings(make_results(pictures=False))
    assert [each.name for each in made] == [
        "delta_macs",
        "delta_latency_ms",
        "metrics_macs",
        "metrics_latency_ms",
        "curves_metric",
        "curves_loss",
    ]
    for each in made:
        picture = Image.open(io.BytesIO(each.draw(Look())))
        assert picture.format == "PNG"
        assert min(picture.size) > 200
        assert np.asarray(picture.convert("L")).std() > 5


def test_labels_name_every_row_and_axes_name_units(make_results: Make, drawn: list[Any]) -> None:
    results = make_results(pictures=False)
    results.rows[1].title = "costs $5 and $6 _a_"
    figures.delta_tradeoff(results, "macs")
    axes = drawn[-1].axes[0]
    words = {text.get_text().replace("\n", " ") for text in axes.texts}
    assert {row.label for row in results.rows} <= words
    assert axes.get_xlabel() == "multiply-adds of the deployed model in G"
    figures.metric_tradeoff(results, "latency_ms")
    panels = drawn[-1].axes
    assert [panel.get_title(loc="left") for panel in panels] == [task.name for task in results.tasks]
    assert panels[1].get_ylabel() == "rmse [m], lower is better"
    assert [panel.yaxis_inverted() for panel in panels] == [not task.higher_is_better for task in results.tasks]
    assert {text.get_text() for text in drawn[-1].legends[0].get_texts()} == {row.label for row in results.rows}


def test_curves_hold_the_history_without_gaps_for_nan(make_results: Make, drawn: list[Any]) -> None:
    results = make_results(pictures=False)
    results.curves["hard"][3].metric["depth"] = math.nan
    figures.metric_curves(results)
    lines = drawn[-1].axes[1].get_lines()
    assert len(lines) == len(results.rows)
    assert [len(line.get_xdata()) for line in lines] == [50, 49, 50, 50, 50]
    np.testing.assert_allclose(lines[0].get_ydata(), [epoch.metric["depth"] for epoch in results.curves["single"]])


def test_figures_that_have_no_numbers_are_left_out(make_results: Make) -> None:
    results = make_results(pictures=False)
    results.curves = {}
    for row in results.rows:
        row.cost.deployed.latency_ms.median = math.nan
    assert [each.name for each in drawings(results)] == ["delta_macs", "metrics_macs"]


@pytest.mark.parametrize("narrow", [False, True])
def test_labels_of_a_figure_do_not_overlap(make_results: Make, drawn: list[Any], narrow: bool) -> None:
    results = make_results(pictures=False)
    for index, row in enumerate(results.rows):
        row.delta_mtl_mean, row.cost.deployed.macs = 0.1 * index, (30 + 0.3 * index) * 1e9
    figures.delta_tradeoff(results, "macs", Look(narrow=narrow))
    renderer = drawn[-1].canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in drawn[-1].axes[0].texts]
    for index, first in enumerate(boxes):
        assert not any(first.overlaps(second) for second in boxes[index + 1 :])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 300), st.floats(0, 220)), min_size=1, max_size=9))
def test_placed_boxes_keep_apart_and_inside(points: list[tuple[float, float]]) -> None:
    frame = Box(-60, -40, 400, 300)
    boxes = place(points, [(60.0, 12.0)] * len(points), frame, [], [])
    for index, box in enumerate(boxes):
        assert box.overlap(frame) == pytest.approx(box.area)
        assert sum(box.overlap(other) for other in boxes[index + 1 :]) == 0


def test_a_wide_range_of_costs_gets_readable_ticks(make_results: Make, drawn: list[Any]) -> None:
    results = make_results(pictures=False)
    results.rows[1].cost.deployed.latency_ms.median = 2.0
    figures.delta_tradeoff(results, "latency_ms")
    axes = drawn[-1].axes[0]
    assert axes.get_xscale() == "log"
    assert {"2", "10", "50"} <= {label.get_text() for label in axes.get_xticklabels()}


def test_dark_figures_are_the_light_ones_in_other_colours(make_results: Make) -> None:
    results = make_results(pictures=False)
    light = figures.delta_tradeoff(results, "macs", Look(form="svg"))
    dark = figures.delta_tradeoff(results, "macs", Look(DARK, form="svg"))
    names = re.compile(rb"\b[mp][0-9a-f]{10}\b")  # matplotlib derives the names of shapes from their colours
    assert names.sub(b"", recolour(light)) == names.sub(b"", dark)
    assert recolour(light) != light
    left = set(re.findall(rb"#[0-9a-f]{6}\b", recolour(light)))
    assert not left & {colour.encode() for colour in LIGHT.rows}


def test_figures_are_the_same_bytes_every_time(make_results: Make) -> None:
    results = make_results(pictures=False)
    for form in ("png", "svg"):
        look = Look(form=form)
        assert figures.loss_curves(results, look) == figures.loss_curves(results, look)


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(first: str, second: str) -> float:
    low, high = sorted((_luminance(first), _luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_colours_stand_out_from_their_background(theme: Any) -> None:
    for ground in (theme.background, theme.panel):
        assert min(_contrast(colour, ground) for colour in theme.rows) >= 3
        assert _contrast(theme.ink, ground) >= 7
        assert _contrast(theme.quiet, ground) >= 4.5


def test_rows_look_different_from_each_other(make_results: Make) -> None:
    results = make_results(pictures=False)
    template = results.rows[1]
    for index in range(20):
        results.rows.append(type(template)(f"more{index}"))
    styles = list(row_styles(results).values())
    assert len({(style.light, style.marker) for style in styles}) == len(styles)
    assert len({(style.light, style.dash) for style in styles}) == len(styles)
