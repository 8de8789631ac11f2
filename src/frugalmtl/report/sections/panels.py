"""Images of the test split with labels and every model's predictions."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from frugalmtl.report.page import Page
from frugalmtl.report.results import Panel
from frugalmtl.report.sections.base import Section

_NOTE = (
    "Input, label and prediction of every model. Grey hatching marks pixels without a label. Choose an image to see "
    "all tasks, or a task and “all images” to compare models; select a picture to enlarge it."
)
_MARKS = {
    "right": ("✓", "agrees with the label"),
    "wrong": ("✗", "not in the label"),
    "missed": ("–", "in the label, not predicted"),
    "unknown": ("?", "no label to compare with"),
    "": ("", ""),
}


class LabelledPanels(Section):
    """A grid per image, and menus that switch image and task."""

    title = "Image by image"
    order = 30

    def render(self, page: Page) -> Markup | None:
        """Where the comparison drew images."""
        return gallery(page, page.results.panels, self.name, _NOTE) if page.results.panels else None


def gallery(page: Page, panels: Sequence[Panel], name: str, note: str) -> Markup:
    """A grid per image (rows: label and models; columns: tasks) and the menus that switch image and task.

    Without scripts every grid is shown; the script hides all but one and can turn a task's column into a grid over
    images.
    """
    shown = {task for panel in panels for cells in (panel.labels, *panel.predictions.values()) for task in cells}
    tasks = [task for task in page.results.tasks if task.name in shown]
    return page.render("gallery.html", panels=panels, name=f"{name}-gallery", note=note, tasks=tasks, marks=_MARKS)
