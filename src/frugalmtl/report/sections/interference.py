"""Interference between tasks during training: gradients, weights, affinity."""

from __future__ import annotations

from markupsafe import Markup

from frugalmtl.report.page import Page
from frugalmtl.report.sections.base import Section


class Interference(Section):
    """Figures of all rows, then those of single ones, then affinity under a heading of its own."""

    title = "How the tasks get on"
    order = 60

    def render(self, page: Page) -> Markup | None:
        """Where gradients, weights or affinity were recorded."""
        drawings, by_row = page.charts(self.name, ""), page.charts_by_row(self.name)
        affinity = page.charts("affinity")
        if not (drawings or by_row or affinity):
            return None
        return page.render("interference.html", drawings=drawings, by_row=by_row, affinity=affinity)
