"""Classes one by one: IoU of each, and which is taken for which."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from frugalmtl.evaluation.confusion import Confusion
from frugalmtl.report.page import Page
from frugalmtl.report.results import Results
from frugalmtl.report.sections.base import Section


@dataclass(frozen=True)
class ClassTable:
    """IoU of the classes of a task.

    Attributes:
        task: its name.
        classes: names of the columns.
        lines: ``{row: IoU of each class}``; NaN for one that neither labels nor predictions hold.
    """

    task: str
    classes: list[str]
    lines: dict[str, list[float]]


class Classes(Section):
    """A table of IoU for every task with a class per pixel, and the rows' confusion matrices."""

    title = "Class by class"
    order = 25

    def render(self, page: Page) -> Markup | None:
        """Where the evaluation counted classes."""
        tables = class_tables(page.results)
        if not tables:
            return None
        return page.render("classes.html", tables=tables, by_row=page.charts_by_row(self.name))


def class_tables(results: Results) -> list[ClassTable]:
    """The IoU of every class of the tasks that any row counted."""
    tables = []
    for task in results.tasks:
        rows = [row for row in results.rows if task.name in row.confusions]
        lines = {row.name: Confusion(task.classes, row.confusions[task.name]).iou() for row in rows}
        if lines:
            tables.append(ClassTable(task.name, task.classes, lines))
    return tables
