"""The section on interference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from frugalmtl.report import Results, write_report
from frugalmtl.report.drawing import canvas
from tests.support.report import add_interference, page_of, with_tasks

Make = Callable[..., Results]


@pytest.mark.slow
def test_the_section_stands_between_decisions_and_training(
    make_results: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canvas, "_PRINTED", 72)
    results = add_interference(with_tasks(make_results(pictures=False), 3))
    for history in results.curves.values():
        del history[3:]
    for row in results.rows:
        row.cost.deployed = type(row.cost.deployed)()
    page = write_report(results, tmp_path).read_text(encoding="utf-8")
    places = [page.index(f'<section id="{key}">') for key in ("results", "interference", "training", "cost")]
    assert places == sorted(places)
    assert "where the tasks' features part" in page
    assert page.count("Affinity: what a step for one task does to the others") == 1
    names = {path.name for path in (tmp_path / "figures").glob("*.png")}
    assert {"interference_conflicts.png", "curves_weights.png", "affinity_gated_large.png"} <= names


def test_without_records_there_is_no_section_and_affinity_alone_needs_no_word_of_gradients(
    make_results: Make, tmp_path: Path
) -> None:
    results = make_results(pictures=False)
    results.curves = {}
    for row in results.rows:
        row.cost.deployed = type(row.cost.deployed)()
    assert "How the tasks get on" not in page_of(results, tmp_path)
    results.rows[1].affinity = {"depth": {"normals": 0.1}}
    page = page_of(results, tmp_path)
    assert "How the tasks get on" in page
    assert "Gradients of the tasks" not in page
