"""Heat maps of decisions as drawings."""

from __future__ import annotations

import math
from collections.abc import Callable

from frugalmtl.core.types import Heatmap
from frugalmtl.report import Results
from frugalmtl.report.pictures import drawings

Make = Callable[..., Results]


def test_heat_maps_become_drawings_with_the_main_facts_in_words(make_results: Make) -> None:
    results = make_results(pictures=False)
    results.rows[1].name = results.curves["../x"] = "../x"  # type: ignore[assignment]
    results.curves = {}
    values = [[0.0, 0.5, math.nan], [math.nan] * 3]
    results.rows[1].pictures = [Heatmap("own", "Own channels", ["a", "b"], ["x", "y", "z"], values, "How to read.")]
    (drawing,) = [each for each in drawings(results) if each.section == "decisions"]
    assert drawing.name == "decisions__x_1_own"
    assert drawing.text == "Own channels: mean over 3 columns: a 0.25 (0.00 to 0.50), b –."
    assert (drawing.row, drawing.caption, drawing.wide) == ("../x", "How to read.", False)
