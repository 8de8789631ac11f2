"""Colours and markers of the rows, shared by all figures and the page.

The hues follow Okabe and Ito (2008), told apart with any common colour blindness; lightness is set per theme so that
every colour stands out at 3:1 or more from its background. Marker and dash repeat the difference without colour.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from frugalmtl.report.results import Results

_LIGHT = ("#0a6ab0", "#c24e00", "#00805c", "#a8408a", "#8a6500", "#0b8aa8")
_DARK = ("#56a8ec", "#f28a48", "#35c795", "#e08cc8", "#dcbc3c", "#6fd3e6")
_MARKERS = (("o", "●"), ("^", "▲"), ("s", "■"), ("v", "▼"), ("P", "✚"), ("X", "✖"), ("*", "★"))
Dash = Literal["-", "--", "-.", ":"] | tuple[int, tuple[float, ...]]
"""A line's pattern as matplotlib takes it: a name, or lengths of strokes and gaps."""
DASHED: Dash = (0, (5, 4))
"""The dash of lines that mark a level, such as the reference."""
_DASHES: tuple[Dash, ...] = ("-", "--", ":", "-.", (0, (3, 1, 1, 1, 1, 1)), (0, (1.5, 1)), (0, (1, 3)), DASHED)


@dataclass(frozen=True)
class Theme:
    """Colours of one theme."""

    dark: bool
    background: str
    panel: str
    ink: str
    quiet: str
    line: str
    rows: tuple[str, ...]


LIGHT = Theme(False, "#fcfcfa", "#ffffff", "#1d2126", "#5a6270", "#d9dce1", _LIGHT)
DARK = Theme(True, "#14171b", "#1b1f25", "#e7e9ec", "#a3abb8", "#353b44", _DARK)


@dataclass(frozen=True)
class RowStyle:
    """Style of one row: colour per theme, matplotlib marker, the same as a character, dash."""

    light: str
    dark: str
    marker: str
    glyph: str
    dash: Dash

    def colour(self, theme: Theme) -> str:
        """The row's colour in ``theme``."""
        return self.dark if theme.dark else self.light


def row_styles(results: Results) -> dict[str, RowStyle]:
    """A style per row; the reference is a diamond in the colour of the text.

    Rows of one curve share colour and marker; lines of the same colour differ in their dash.
    """
    styles: dict[str, RowStyle] = {}
    places: dict[tuple[bool, str], int] = {}
    lines: Counter[int] = Counter()
    for row in results.rows:
        if row.name == results.reference:
            styles[row.name] = RowStyle(LIGHT.ink, DARK.ink, "D", "◆", "-")
            continue
        place = places.setdefault((bool(row.curve), row.curve or row.name), len(places))
        colour = place % len(_LIGHT)
        styles[row.name] = _style(place, lines[colour])
        lines[colour] += 1
    return styles


def series_style(place: int) -> RowStyle:
    """The style of one of several lines or groups that are no rows; those of the same colour differ in their dash."""
    return _style(place, place // len(_LIGHT))


def _style(place: int, dash: int) -> RowStyle:
    colour, (marker, glyph) = place % len(_LIGHT), _MARKERS[place % len(_MARKERS)]
    return RowStyle(_LIGHT[colour], _DARK[colour], marker, glyph, _DASHES[dash % len(_DASHES)])
