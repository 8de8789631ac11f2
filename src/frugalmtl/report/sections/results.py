"""Results table: measured rows, then published ones apart from them, then every metric."""

from __future__ import annotations

import math

from markupsafe import Markup

from frugalmtl.report.columns import Column, columns, counted_images, metric_columns
from frugalmtl.report.page import Page
from frugalmtl.report.results import PublishedRow
from frugalmtl.report.sections.base import Section


class ResultsTable(Section):
    """The table that the terminal shows as well, with published rows and all metrics."""

    title = "Results"
    order = 10

    def render(self, page: Page) -> Markup:
        """Always there."""
        measured = columns(page.results)
        return page.render(
            "results.html",
            columns=measured,
            metrics=metric_columns(page.results),
            published=[_published(row, measured) for row in page.results.published],
            budgets=any(row.budget for row in page.results.rows),
            images=counted_images(page.results),
        )


def _published(row: PublishedRow, measured: list[Column]) -> tuple[PublishedRow, str, list[tuple[float, str]]]:
    """A row, its notes with the values that have no column, and a number with its text per column."""
    keys = {column.key for column in measured}
    rest = ", ".join(f"{key} {value:g}" for key, value in row.values.items() if key not in keys)
    values = [(column, row.values.get(column.key, math.nan)) for column in measured]
    texts = [(value, column.text(value) if math.isfinite(value) else "") for column, value in values]
    return row, " · ".join(note for note in (row.source, row.convention, rest) if note), texts
