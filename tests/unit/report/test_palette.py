"""Colours and markers: contrast, and differences between rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from frugalmtl.report import Results
from frugalmtl.report.palette import DARK, LIGHT, row_styles
from tests.support.report import add_curve

Make = Callable[..., Results]


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


def test_rows_of_a_curve_share_colour_and_marker_but_not_the_dash(make_results: Make) -> None:
    results = make_results(pictures=False)
    names = add_curve(results)
    styles = row_styles(results)
    mine = [styles[name] for name in names]
    assert len({(style.light, style.dark, style.marker) for style in mine}) == 1
    assert len({style.dash for style in mine}) == len(mine)
    others = [style for name, style in styles.items() if name not in names]
    assert mine[0].light not in {style.light for style in others}
