"""Sections of images and photographs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from frugalmtl.report import Results
from tests.support.report import page_of

Make = Callable[..., Results]


def test_colours_are_explained_and_cannot_smuggle_style(make_results: Make, tmp_path: Path) -> None:
    results = make_results()
    first, second = results.tasks[:2]
    first.legend = {"wall": "#4e79a7", "<b>floor</b>": "red; background-image:url(evil)"}
    second.reads = "bright is near"
    page = page_of(results, tmp_path, figures=False)
    assert "What the colours mean" in page
    assert "background:#4e79a7" in page
    assert "bright is near" in page
    assert "evil" not in page
    assert "<b>floor" not in page
