"""Accuracy against compute: trade-off figures."""

from __future__ import annotations

from markupsafe import Markup

from frugalmtl.report.page import Page
from frugalmtl.report.sections.base import Section

_CURVES = " Points on a coloured line are operating points of one method, in order of cost."


class Tradeoff(Section):
    """Figures of accuracy over cost."""

    title = "Accuracy against compute"
    order = 20
    note = (
        "Cost of the deployed model for one image; further up is better, further left is cheaper. The dashed line is "
        "the reference, the grey band joins the models that no other beats in both (Pareto front, outlined), bars are "
        "± one standard deviation over seeds."
    )

    def render(self, page: Page) -> Markup | None:
        """Where a model has both an accuracy and a cost."""
        note = self.note + any(row.curve for row in page.results.rows) * _CURVES
        drawings = page.charts(self.name)
        return page.render("charts.html", note=note, drawings=drawings, by_row=[]) if drawings else None
