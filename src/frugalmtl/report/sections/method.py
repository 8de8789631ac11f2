"""Conditions and conventions under which the numbers were measured."""

from __future__ import annotations

from markupsafe import Markup

from frugalmtl.report.columns import counted_images
from frugalmtl.report.page import Page
from frugalmtl.report.sections.base import Section


class Conditions(Section):
    """The protocol, then the conventions."""

    title = "How the numbers were measured"
    order = 100

    def render(self, page: Page) -> Markup:
        """Always there."""
        return page.render(
            "method.html",
            versions=[f"{name} {version}" for name, version in page.results.protocol.versions.items()],
            budgets=any(row.budget for row in page.results.rows),
            images=counted_images(page.results),
        )
