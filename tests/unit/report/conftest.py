"""Fixtures of the report's tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from frugalmtl.report import Results
from frugalmtl.report.drawing import canvas
from frugalmtl.report.drawing.canvas import Look
from frugalmtl.report.pictures import Drawing
from tests.support.report import build


@pytest.fixture
def make_results(tmp_path: Path) -> Callable[..., Results]:
    """Builds the comparison with its pictures in ``tmp_path``."""
    return lambda **options: build(tmp_path, **options)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every matplotlib figure that is drawn."""
    figures: list[Any] = []
    original = canvas.new_figure

    def keep(size: tuple[float, float]) -> Any:
        figures.append(original(size))
        return figures[-1]

    monkeypatch.setattr(canvas, "new_figure", keep)
    return figures


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are tested on their own; here two tiny ones are enough."""

    def two(_results: Results, _folder: Path = Path()) -> list[Drawing]:
        def draw(_look: Look) -> bytes:
            return b"<svg/>"

        return [Drawing(each, each, "words", draw, section=each) for each in ("tradeoff", "training")]

    monkeypatch.setattr("frugalmtl.report.write.drawings", two)
