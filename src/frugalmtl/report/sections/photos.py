"""Photographs without labels, with every model's predictions."""

from __future__ import annotations

from markupsafe import Markup

from frugalmtl.report.page import Page
from frugalmtl.report.sections.base import Section
from frugalmtl.report.sections.panels import gallery

_NOTE = "Real photographs, which nobody labelled: only the predictions can be judged, by eye."


class Photographs(Section):
    """A grid per photograph."""

    title = "Photographs"
    order = 40

    def render(self, page: Page) -> Markup | None:
        """Where the comparison was given photographs."""
        return gallery(page, page.results.photos, self.name, _NOTE) if page.results.photos else None
