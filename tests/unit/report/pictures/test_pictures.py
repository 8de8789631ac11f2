"""Kinds of pictures: all of a comparison, none without numbers, one file each."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from frugalmtl.core.types import Heatmap
from frugalmtl.report import Results, pictures
from frugalmtl.report.drawing.canvas import Look
from frugalmtl.report.members import members
from frugalmtl.report.pictures import Picture, drawings
from frugalmtl.report.write import render_page
from tests.support.report import add_interference

Make = Callable[..., Results]


def test_all_figures_are_pictures_with_something_on_them(make_results: Make) -> None:
    figures = drawings(make_results(pictures=False))
    assert [each.name for each in figures] == [
        "delta_macs",
        "delta_latency_ms",
        "metrics_macs",
        "metrics_latency_ms",
        "curves_metric",
        "curves_loss",
    ]
    for each in figures:
        picture = Image.open(io.BytesIO(each.draw(Look())))
        assert picture.format == "PNG"
        assert min(picture.size) > 200
        assert np.asarray(picture.convert("L")).std() > 5


def test_figures_that_have_no_numbers_are_left_out(make_results: Make) -> None:
    results = make_results(pictures=False)
    results.curves = {}
    for row in results.rows:
        row.cost.deployed.latency_ms.median = math.nan
    assert [each.name for each in drawings(results)] == ["delta_macs", "metrics_macs"]


def test_a_new_file_is_a_new_kind_of_picture(
    make_results: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "toy_picture.py").write_text(
        '''
from frugalmtl.report.pictures.base import Drawing, Picture

class Toy(Picture):
    """A circle per row."""

    section = "training"
    order = 35

    def drawings(self, results):
        for row in results.rows:
            yield Drawing(f"toy_{row.name}", f"Circle of {row.label}", "A circle.", lambda look: b"<svg/>")
'''
    )
    monkeypatch.setattr(pictures, "__path__", [*pictures.__path__, str(tmp_path)])
    results = make_results(pictures=False)
    names = [each.name for each in drawings(results)]
    assert names[-7:] == ["curves_metric", "curves_loss", *(f"toy_{row.name}" for row in results.rows)]
    toys = [each for each in drawings(results) if each.name.startswith("toy_")]
    section = render_page(results, tmp_path, toys).partition('<section id="training">')[2].partition("</section>")[0]
    assert "Circle of MTI-Net" in section


def test_every_drawing_stands_on_the_page(make_results: Make, tmp_path: Path) -> None:
    results = add_interference(make_results(pictures=False))
    results.rows[1].pictures = [Heatmap("own", "Own channels", ["a"], ["x", "y"], [[0.25, 0.75]])]
    results.curves["hard"][0].statistics = {"run.depth": 0.5}
    results.colour_by = "encoder.name"
    results.tasks[0].classes = ["floor", "wall"]
    results.rows[0].confusions = {"segmentation": [[9, 1], [2, 8]]}
    every = [replace(each, draw=lambda look: b"<svg/>") for each in drawings(results)]
    assert {type(kind).__name__ for kind in members(pictures.__name__, Picture)} == {
        "Affinity", "Confusions", "Cosines", "DecisionMaps", "DeltaTradeoff", "GradientLengths", "MetricTradeoff",
        "PairSummaries", "SweptValues", "TaskWeights", "TrainingCurves", "TrainingStatistics",
    }  # fmt: skip
    page = render_page(results, tmp_path, every)
    assert page.count("<figure") == len(every) == 17
