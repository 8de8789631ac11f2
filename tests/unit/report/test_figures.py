"""Figures: right words, no label on top of another, nothing empty."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from frugalmtl.core.types import Heatmap
from frugalmtl.report import Results, _canvas, figures
from frugalmtl.report._labels import Box, place
from frugalmtl.report.figures import Look, drawings, recolour
from frugalmtl.report.palette import DARK, LIGHT, row_styles
from tests.unit.report.conftest import add_curve

Make = Callable[..., Results]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every matplotlib figure that is drawn."""
    kept: list[Any] = []
    original = _canvas.new_figure

    def keep(size: tuple[float, float]) -> Any:
        kept.append(original(size))
        return kept[-1]

    monkeypatch.setattr(_canvas, "new_figure", keep)
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
    legend = [text.get_text() for text in drawn[-1].legends[0].get_texts()]
    assert set(legend[:-1]) == {row.label for row in results.rows}
    assert "Pareto front" in legend[-1]


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


def test_points_of_a_curve_are_joined_in_order_of_cost(make_results: Make, drawn: list[Any]) -> None:
    results = make_results(pictures=False)
    names = add_curve(results)
    add_curve(results, "Lonely", points=1)
    figures.delta_tradeoff(results, "macs")
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
    assert ["Pareto front" in text.get_text() for text in drawn[-1].legends[0].get_texts()] == [True]
    figures.metric_tradeoff(results, "macs")
    legend = [text.get_text() for text in drawn[-1].legends[0].get_texts()]
    assert legend.count("Gates") == 1
    assert not any(word.startswith("Gates ") for word in legend)
    for panel in drawn[-1].axes:
        assert any(line.get_color() == colour and len(line.get_xdata()) == 6 for line in panel.get_lines())


def test_rows_of_a_curve_share_colour_and_marker_but_not_the_dash(make_results: Make) -> None:
    results = make_results(pictures=False)
    names = add_curve(results)
    styles = row_styles(results)
    mine = [styles[name] for name in names]
    assert len({(style.light, style.dark, style.marker) for style in mine}) == 1
    assert len({style.dash for style in mine}) == len(mine)
    others = [style for name, style in styles.items() if name not in names]
    assert mine[0].light not in {style.light for style in others}


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("cost", ["macs", "latency_ms"])
def test_labels_keep_apart_with_a_curve_among_single_points(
    make_results: Make, drawn: list[Any], narrow: bool, cost: Any
) -> None:
    results = make_results(pictures=False)
    add_curve(results)
    figures.delta_tradeoff(results, cost, Look(narrow=narrow))
    renderer = drawn[-1].canvas.get_renderer()
    axes = drawn[-1].axes[0]
    boxes = [text.get_window_extent(renderer) for text in axes.texts]
    assert len(boxes) == 5 + 6 + 1 + 1
    for index, first in enumerate(boxes):
        assert not any(first.overlaps(second) for second in boxes[index + 1 :])


def test_costs_that_differ_between_seeds_have_bars(make_results: Make, drawn: list[Any]) -> None:
    results = make_results(pictures=False)
    figures.delta_tradeoff(results, "macs")
    before = len(drawn[-1].axes[0].containers)
    for seed, macs in zip(results.row("gated").seeds, (26e9, 27e9, 28e9), strict=True):
        seed.macs = macs
    figures.delta_tradeoff(results, "macs")
    assert len(drawn[-1].axes[0].containers) == before + 1
    (bar,) = [bar for bar in drawn[-1].axes[0].containers if bar.has_xerr]
    ends = bar.lines[2][0].get_segments()[0]
    np.testing.assert_allclose(ends[:, 0], [26.5, 28.5])


def _map(columns: int, rows: int = 3) -> Heatmap:
    generator = np.random.default_rng(columns)
    values = generator.random((rows, columns)).tolist()
    values[1][2] = values[1][3] = math.nan
    names = [f"stage{4 * index // columns}.{index}.branches.conv" for index in range(columns)]
    return Heatmap("own", "Own channels", [f"task {row}" for row in range(rows)], names, values, "One is all.")


def _lines(figure: Any) -> list[Any]:
    """The lines of a heat map, the bar left out."""
    return [axes for axes in figure.axes if axes.get_images()]


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("columns", [5, 20, 60, 300])
def test_heat_maps_hold_every_value_and_names_that_can_be_read(drawn: list[Any], columns: int, narrow: bool) -> None:
    picture = _map(columns)
    content = figures.heat_map("A model", picture, Look(narrow=narrow))
    assert Image.open(io.BytesIO(content)).format == "PNG"
    figure = drawn[-1]
    figure.canvas.draw()
    lines = _lines(figure)
    shown = np.concatenate([line.get_images()[0].get_array().filled(np.nan) for line in lines], axis=1)
    np.testing.assert_array_equal(shown, np.array(picture.values))
    assert len(lines) == {False: {300: 4}, True: {60: 2, 300: 7}}[narrow].get(columns, 1)
    for line in lines:
        boxes = [label.get_window_extent() for label in line.get_xticklabels()]
        assert len(boxes) > 2
        for first, second in pairwise(boxes):
            assert first.x1 <= second.x0 + 1
        assert all(figure.bbox.x0 <= label.get_window_extent().x0 for label in line.get_yticklabels())
    hatched = [patch for line in lines for patch in line.patches if patch.get_hatch()]
    assert [patch.get_width() for patch in hatched] == [2]
    numbers = {text.get_text() for line in lines for text in line.texts} - {""}
    assert bool(numbers) == (columns == 5 or (columns == 20 and not narrow))
    if numbers:
        assert f"{picture.values[2][4]:.2f}" in numbers


def test_heat_maps_mark_values_beyond_their_scale_and_explain_hatching_only_where_it_is(drawn: list[Any]) -> None:
    picture = _map(5)
    figures.heat_map("A model", picture)
    assert [text.get_text() for text in drawn[-1].legends[0].get_texts()] == ["nothing to show"]
    assert drawn[-1].axes[-1].get_xlabel() == "Own channels"
    picture.values = [[0.5, 2.0, 0.1, 0.2, 0.3]] * 3
    figures.heat_map("A model", picture)
    assert not drawn[-1].legends
    assert drawn[-1]._suptitle.get_text() == "A model"
    figures.heat_map("A model", picture, Look(form="svg"))
    assert drawn[-1]._suptitle is None, "on the page the name stands above"


def test_heat_maps_become_drawings_with_the_main_facts_in_words(make_results: Make) -> None:
    results = make_results(pictures=False)
    results.rows[1].name = results.curves["../x"] = "../x"  # type: ignore[assignment]
    results.curves = {}
    values = [[0.0, 0.5, math.nan], [math.nan] * 3]
    results.rows[1].pictures = [Heatmap("own", "Own channels", ["a", "b"], ["x", "y", "z"], values, "How to read.")]
    (made,) = [each for each in drawings(results) if each.section == "decisions"]
    assert made.name == "decisions__x_1_own"
    assert made.text == "Own channels: mean over 3 columns: a 0.25 (0.00 to 0.50), b –."
    assert (made.row, made.caption, made.wide) == ("../x", "How to read.", False)


def test_heat_maps_follow_the_theme_and_hold_no_markup() -> None:
    picture = _map(20)
    picture.rows[0] = "<script>a & $b_c$</script>"
    light = figures.heat_map("", picture, Look(form="svg"))
    dark = figures.heat_map("", picture, Look(DARK, form="svg"))
    names = re.compile(rb"\b[mph][0-9a-f]{10}\b")
    assert names.sub(b"", recolour(light)) == names.sub(b"", dark)
    assert b"<script" not in light
    assert b"&lt;script&gt;a &amp; $b_c$&lt;/script&gt;" in light
