"""Pictures of a report: one kind a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from frugalmtl.report.drawing.photographs import ExamplePhotos
from frugalmtl.report.members import members
from frugalmtl.report.pictures.base import Drawing, Picture
from frugalmtl.report.results import Results

__all__ = ["Drawing", "Picture", "drawings"]


def drawings(results: Results, folder: Path = Path()) -> list[Drawing]:
    """The figures that ``results`` has numbers for, kind by kind.

    Args:
        results: the comparison.
        folder: the folder that the paths of its photographs are relative to; opened when a figure is drawn.
    """
    photographs = ExamplePhotos(folder, results.examples)
    return [
        replace(drawing, section=kind.section)
        for kind in members(__name__, Picture)
        for drawing in [*kind.drawings(results), *kind.over_photographs(results, photographs)]
    ]
