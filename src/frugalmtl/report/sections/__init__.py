"""Sections of the page: one a file."""

from frugalmtl.report.members import members
from frugalmtl.report.sections.base import Section

__all__ = ["Section", "sections"]


def sections() -> list[Section]:
    """All sections, in the order of the page."""
    return members(__name__, Section)
