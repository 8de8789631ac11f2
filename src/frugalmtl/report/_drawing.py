"""A figure of the report, before it is drawn."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from frugalmtl.report._canvas import Look
from frugalmtl.report.results import Row

Section = Literal["tradeoff", "training", "decisions", "interference", "affinity"]


@dataclass(frozen=True)
class Drawing:
    """A figure of the report.

    Attributes:
        name: stem of the file's name.
        title: heading on the page.
        text: what the picture shows, for readers who do not see it.
        draw: makes the bytes in a given look.
        wide: takes the full width of the page.
        section: where on the page it stands.
        row: the row that it belongs to, if to a single one.
        caption: how the picture is read.
    """

    name: str
    title: str
    text: str
    draw: Callable[[Look], bytes]
    wide: bool = True
    section: Section = "tradeoff"
    row: str = ""
    caption: str = ""


def file_name(row: Row, place: int) -> str:
    """The row's name as part of a file's name; names that do not fit are told apart by their place."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "_", row.name)
    return safe if safe == row.name else f"{safe}_{place}"
