"""Kinds of pictures, and a drawing of the report before it is drawn."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from frugalmtl.core.types import Heatmap
from frugalmtl.report.drawing.canvas import Look
from frugalmtl.report.drawing.heatmap import HALF_PAGE, heat_map, heat_map_words
from frugalmtl.report.drawing.photographs import ExamplePhotos
from frugalmtl.report.members import Member
from frugalmtl.report.results import Results, Row


@dataclass(frozen=True)
class Drawing:
    """A figure of the report.

    Attributes:
        name: stem of the file's name.
        title: heading on the page.
        text: the picture in words, for readers who do not see it.
        draw: makes the bytes in a given look.
        wide: takes the full width of the page.
        row: the row that it belongs to, if to a single one.
        caption: how the picture is read.
        section: where on the page it stands; set from its :class:`Picture`.
    """

    name: str
    title: str
    text: str
    draw: Callable[[Look], bytes]
    wide: bool = True
    row: str = ""
    caption: str = ""
    section: str = ""


class Picture(Member):
    """A kind of picture. A file of this folder defines one, and nothing else has to be edited.

    Attributes:
        section: the section of the page that shows its drawings.
    """

    section: ClassVar[str]

    def drawings(self, results: Results) -> Iterable[Drawing]:  # noqa: ARG002 (of any)
        """The drawings that ``results`` has numbers for."""
        return ()

    def over_photographs(self, results: Results, photographs: ExamplePhotos) -> Iterable[Drawing]:  # noqa: ARG002 (of any)
        """Further drawings, on which photographs of the comparison can be seen."""
        return ()


def heat_map_drawing(
    name: str,
    title: str,
    label: str,
    picture: Heatmap,
    *,
    caption: str = "",
    row: str = "",
    means: bool = False,
    alarming: bool = False,
) -> Drawing:
    """A heat map as a drawing; see :func:`~frugalmtl.report.drawing.heatmap.heat_map` for the options."""
    draw = partial(heat_map, label, picture, means=means, alarming=alarming)
    return Drawing(name, title, heat_map_words(picture), draw, len(picture.columns) > HALF_PAGE, row, caption)


def file_name(row: Row, place: int) -> str:
    """The row's name as part of a file's name; names that do not fit are told apart by their place."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "_", row.name)
    return safe if safe == row.name else f"{safe}_{place}"
