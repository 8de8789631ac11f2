"""Statistics over training: a figure per group, a panel per member, a line per row."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from frugalmtl.report import Epoch, Results
from frugalmtl.report.drawing import canvas
from frugalmtl.report.drawing.canvas import Look
from frugalmtl.report.pictures import Drawing, drawings

Make = Callable[..., Results]


@pytest.fixture
def results(make_results: Make, monkeypatch: pytest.MonkeyPatch) -> Results:
    monkeypatch.setattr(canvas, "_PRINTED", 72)
    results = make_results(pictures=False)
    results.curves = {
        "hard": [Epoch(epoch, statistics={"run.depth": epoch / 4, "run.normals": 1.0, "tau": 5.0}) for epoch in (1, 2)],
        "gated": [Epoch(1), Epoch(2, statistics={"run.depth": 0.25, "price": 3.0, "run.normals": math.nan})],
    }
    return results


def _statistics(results: Results) -> list[Drawing]:
    return [each for each in drawings(results) if each.name.startswith("curves_statistics")]


def test_every_group_is_a_figure_of_the_training(results: Results, drawn: list[Any]) -> None:
    run, single = _statistics(results)
    assert (run.name, run.title) == ("curves_statistics_0_run", "Statistics run.* over training")
    assert (single.name, single.title) == ("curves_statistics_1_single", "Statistics over training")
    assert {run.section, single.section} == {"training"}
    assert run.text.startswith("Means over epochs and models: depth 0.312 (at the end 0.25 to 0.5), normals 1 (")
    run.draw(Look())
    depth, normals = (axes for axes in drawn[-1].axes if axes.get_title(loc="left"))
    assert [axes.get_title(loc="left") for axes in (depth, normals)] == ["depth", "normals"]
    lines = [[line.get_xydata().tolist() for line in axes.lines] for axes in (depth, normals)]
    assert lines == [[[[1, 0.25], [2, 0.5]], [[2, 0.25]]], [[[1, 1], [2, 1]]]]
    assert depth.get_ylim() == normals.get_ylim()
    single.draw(Look(narrow=True))
    tau, price = drawn[-1].axes
    assert (tau.get_title(loc="left"), price.get_title(loc="left")) == ("tau", "price")
    assert tau.get_ylim() != price.get_ylim(), "unlike things have scales of their own"


def test_a_large_group_is_drawn_by_its_mean(results: Results, drawn: list[Any]) -> None:
    results.curves = {"hard": [Epoch(1, statistics={f"units.{place}/..": float(place) for place in range(13)})]}
    (figure,) = _statistics(results)
    assert "The group has 13 members" in figure.caption
    figure.draw(Look())
    (axes,) = (axes for axes in drawn[-1].axes if axes.get_title(loc="left"))
    assert axes.lines[0].get_xydata().tolist() == [[1, 6]]


def test_names_of_groups_are_no_paths_and_nothing_is_drawn_without_any(results: Results) -> None:
    results.curves["hard"] = [Epoch(1, statistics={"../up.a": 1.0, "..": 2.0})]
    assert all("/" not in each.name and "." not in each.name for each in _statistics(results))
    results.curves = {"hard": [Epoch(1, statistics={"run.a": math.nan})]}
    assert _statistics(results) == []


def test_statistics_survive_the_file_and_are_missing_from_earlier_ones(results: Results) -> None:
    again = Results.from_json(results.to_json())
    assert again.curves["hard"] == results.curves["hard"]
    content = json.loads(results.to_json())
    for history in content["curves"].values():
        for epoch in history:
            del epoch["statistics"]
    assert _statistics(Results.from_json(json.dumps(content))) == []
