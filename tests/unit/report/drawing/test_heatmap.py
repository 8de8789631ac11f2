"""Heat maps: values, names that can be read, scales, themes."""

from __future__ import annotations

import io
import math
import re
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from PIL import Image

from frugalmtl.core.types import Heatmap
from frugalmtl.report.drawing.canvas import Look, recolour
from frugalmtl.report.drawing.heatmap import heat_map
from frugalmtl.report.palette import DARK


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
@pytest.mark.parametrize("columns", [5, 20, 60, pytest.param(300, marks=pytest.mark.slow)])
def test_heat_maps_hold_every_value_and_names_that_can_be_read(drawn: list[Any], columns: int, narrow: bool) -> None:
    picture = _map(columns)
    content = heat_map("A model", picture, Look(narrow=narrow))
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
    heat_map("A model", picture)
    assert [text.get_text() for text in drawn[-1].legends[0].get_texts()] == ["nothing to show"]
    assert drawn[-1].axes[-1].get_xlabel() == "Own channels"
    picture.values = [[0.5, 2.0, 0.1, 0.2, 0.3]] * 3
    heat_map("A model", picture)
    assert not drawn[-1].legends
    assert drawn[-1]._suptitle.get_text() == "A model"
    heat_map("A model", picture, Look(form="svg", inline=True))
    assert drawn[-1]._suptitle is None, "on the page the name stands above"


def test_heat_maps_follow_the_theme_and_hold_no_markup() -> None:
    picture = _map(20)
    picture.rows[0] = "<script>a & $b_c$</script>"
    light = heat_map("", picture, Look(form="svg"))
    dark = heat_map("", picture, Look(DARK, form="svg"))
    names = re.compile(rb"\b[mph][0-9a-f]{10}\b")
    assert names.sub(b"", recolour(light)) == names.sub(b"", dark)
    assert b"<script" not in light
    assert b"&lt;script&gt;a &amp; $b_c$&lt;/script&gt;" in light


def test_columns_are_grouped_by_dotted_names_and_not_by_numbers(drawn: list[Any]) -> None:
    names = ["layer1.0", "layer1.1", "Gates 0.20x", "Gates 0.80x"]
    heat_map("", Heatmap("own", "Own channels", ["a"], names, [[0.1, 0.2, 0.3, 0.4]]))
    axes = _lines(drawn[-1])[0]
    (above,) = axes.child_axes
    assert [label.get_text() for label in above.get_xticklabels()] == ["layer1"]
    words = [label.get_text().replace("\n", " ") for label in axes.get_xticklabels()]
    assert words == ["0", "1", "Gates 0.20x", "Gates 0.80x"]
