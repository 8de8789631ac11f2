"""Canvas: themes by recolouring, the same bytes every time."""

from __future__ import annotations

import re
from collections.abc import Callable

from frugalmtl.report import Results
from frugalmtl.report.drawing.canvas import Look, recolour
from frugalmtl.report.palette import DARK, LIGHT
from frugalmtl.report.pictures import drawings
from frugalmtl.report.pictures.delta_tradeoff import delta_tradeoff
from frugalmtl.report.pictures.training_curves import training_curves
from tests.support.report import add_interference, with_tasks

Make = Callable[..., Results]


def test_dark_figures_are_the_light_ones_in_other_colours(make_results: Make) -> None:
    results = make_results(pictures=False)
    light = delta_tradeoff(results, "macs", Look(form="svg"))
    dark = delta_tradeoff(results, "macs", Look(DARK, form="svg"))
    names = re.compile(rb"\b[mp][0-9a-f]{10}\b")  # matplotlib derives the names of shapes from their colours
    assert names.sub(b"", recolour(light)) == names.sub(b"", dark)
    assert recolour(light) != light
    colours = set(re.findall(rb"#[0-9a-f]{6}\b", recolour(light)))
    assert not colours & {colour.encode() for colour in LIGHT.rows}


def test_figures_are_the_same_bytes_every_time(make_results: Make) -> None:
    results = make_results(pictures=False)
    for form in ("png", "svg"):
        look = Look(form=form)
        assert training_curves(results, "loss", look) == training_curves(results, "loss", look)
        assert delta_tradeoff(results, "macs", look) == delta_tradeoff(results, "macs", look)


def test_dark_curves_are_the_light_ones_in_other_colours(make_results: Make) -> None:
    results = add_interference(with_tasks(make_results(pictures=False), 2))
    for history in results.curves.values():
        del history[4:]
    figures = {each.name: each for each in drawings(results)}
    names = re.compile(r"\b[mp][0-9a-f]{10}\b")  # matplotlib derives the names of shapes from their colours
    for name in ("curves_cosines", "curves_norms", "curves_weights"):
        light, dark = (figures[name].draw(Look(theme, form="svg")) for theme in (LIGHT, DARK))
        assert names.sub("", recolour(light).decode()) == names.sub("", dark.decode())
        assert light != dark
