"""Sections of the page."""

from __future__ import annotations

from typing import ClassVar

from markupsafe import Markup

from frugalmtl.report.members import Member
from frugalmtl.report.page import Page


class Section(Member):
    """A section of the page. A file of this folder defines one, and nothing else has to be edited.

    Attributes:
        title: heading on the page.
        note: a paragraph above the figures.
    """

    title: ClassVar[str]
    note: ClassVar[str] = ""

    def render(self, page: Page) -> Markup | None:
        """The section below its heading; None leaves it out.

        By default the drawings whose section has this file's name: first those of all rows, then those of single rows,
        folded.
        """
        drawings, by_row = page.charts(self.name, ""), page.charts_by_row(self.name)
        if not drawings and not by_row:
            return None
        return page.render("charts.html", note=self.note, drawings=drawings, by_row=by_row)
