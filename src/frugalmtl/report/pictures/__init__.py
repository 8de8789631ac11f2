"""Pictures of a report: one kind a file."""

from __future__ import annotations

from dataclasses import replace

from frugalmtl.report.members import members
from frugalmtl.report.pictures.base import Drawing, Picture
from frugalmtl.report.results import Results

__all__ = ["Drawing", "Picture", "drawings"]


def drawings(results: Results) -> list[Drawing]:
    """The figures that ``results`` has numbers for, kind by kind."""
    return [
        replace(drawing, section=kind.section)
        for kind in members(__name__, Picture)
        for drawing in kind.drawings(results)
    ]
