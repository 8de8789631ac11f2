"""The page's picture grids: what goes in, what should come out, what every model says."""

from __future__ import annotations

import re

from frugalmtl.report._html import Markup, join, tag
from frugalmtl.report._tables import row_name
from frugalmtl.report.results import Cell, Panel, Results

_MARKS = {"right": "✓", "wrong": "✗", "missed": "–", "unknown": "?", "": ""}
_SAID = {
    "right": "agrees with the label",
    "wrong": "not in the label",
    "missed": "in the label, not predicted",
    "unknown": "no label to compare with",
}


def gallery(results: Results, panels: list[Panel], pictures: dict[str, str], name: str) -> Markup:
    """A grid per image (rows: label and models; columns: tasks) and the menus that switch image and task.

    Without scripts every grid is shown; the script hides all but one and can turn a task's column into a
    grid over images.

    Args:
        results: names and order of rows and tasks.
        panels: what to show.
        pictures: path -> data URI.
        name: unique prefix of element identifiers.
    """
    tasks = [task.name for task in results.tasks if any(_has(panel, task.name) for panel in panels)]
    images = [tag("option", panel.name, value=index) for index, panel in enumerate(panels)]
    images.append(tag("option", "all images", value="all"))
    choices = [tag("option", "all tasks", value="all"), *(tag("option", task, value=i) for i, task in enumerate(tasks))]
    menus = tag(
        "div",
        tag("label", "Image ", tag("select", *images, data_menu="image")),
        tag("label", "Task ", tag("select", *choices, data_menu="task")),
        class_="menus",
        hidden=True,
    )
    grids = [_grid(results, panel, tasks, pictures, index) for index, panel in enumerate(panels)]
    return tag("div", menus, *grids, _legend(results, tasks), class_="gallery", id=name, data_gallery=True)


def _legend(results: Results, shown: list[str]) -> Markup | None:
    """What the colours mean, task by task."""
    lines = []
    for task in results.tasks:
        if task.name not in shown or not (task.legend or task.reads):
            continue
        chips = [
            tag("li", tag("span", class_="chip", style=f"background:{_colour(colour)}"), name)
            for name, colour in task.legend.items()
        ]
        meaning = tag("ul", *chips, class_="chips") if chips else tag("span", task.reads)
        lines.append(tag("div", tag("strong", task.name), meaning, class_="meaning"))
    if not lines:
        return None
    return tag("details", tag("summary", "What the colours mean"), *lines, class_="legend", open=True)


def _colour(text: str) -> str:
    """A colour of a results file, as far as it is one: the text goes into a style attribute."""
    return text if re.fullmatch(r"#[0-9a-fA-F]{6}", text) else "transparent"


def _has(panel: Panel, task: str) -> bool:
    return task in panel.labels or any(task in cells for cells in panel.predictions.values())


def _grid(results: Results, panel: Panel, tasks: list[str], pictures: dict[str, str], index: int) -> Markup:
    head = [
        tag("th", "", scope="col", class_="name"),
        *(tag("th", task, scope="col", data_task=i) for i, task in enumerate(tasks)),
    ]
    lines = []
    if panel.labels:
        cells = [
            _cell(panel.labels.get(task), pictures, (panel.name, task, "label"), i) for i, task in enumerate(tasks)
        ]
        lines.append(
            tag("tr", tag("th", "Label", scope="row", class_="name"), *cells, class_="truth", data_row="label")
        )
    for row in results.rows:
        if row.name in panel.predictions:
            given = panel.predictions[row.name]
            cells = [_cell(given.get(task), pictures, (panel.name, task, row.label), i) for i, task in enumerate(tasks)]
            title = tag("th", row_name(results, row), scope="row", class_="name")
            lines.append(tag("tr", title, *cells, data_row=row.name))
    source = tag(
        "figure", _picture(pictures[panel.image], (panel.name, "input image", "")), tag("figcaption", panel.name)
    )
    table = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *lines), class_="grid")
    region = tag(
        "div", table, class_="scroll tall", tabindex="0", role="region", aria_label=f"Predictions for {panel.name}"
    )
    return tag("div", source, region, class_="panel", data_image=index)


def _cell(cell: Cell | None, pictures: dict[str, str], caption: tuple[str, str, str], task: int) -> Markup:
    if cell is not None and cell.picture:
        return tag("td", _picture(pictures[cell.picture], caption), data_task=task)
    if cell is not None and cell.words is not None:
        return tag("td", _words(cell), data_task=task)
    nothing = "no label" if caption[2] == "label" else "no prediction"
    return tag("td", tag("span", nothing, class_="nothing"), data_task=task)


def _picture(address: str, caption: tuple[str, str, str]) -> Markup:
    sample, task, what = caption
    alt = ", ".join(part for part in (task, what, sample) if part)
    image = tag("img", src=address, alt=alt, decoding="async")
    return tag("button", image, type="button", class_="zoom", data_caption=alt, title="Enlarge")


def _words(cell: Cell) -> Markup:
    items = []
    for word in cell.words or []:
        mark = tag("span", _MARKS[word.mark], aria_hidden="true", class_="tick") if word.mark else None
        said = tag("span", f" ({_SAID[word.mark]})", class_="unseen") if word.mark else None
        items.append(
            tag("li", mark, tag("span", word.text), said, class_=word.mark or None, title=_SAID.get(word.mark))
        )
    if not items:
        return tag("span", "none", class_="nothing")
    return tag("ul", join(items), class_="words")
