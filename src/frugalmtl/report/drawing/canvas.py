"""Canvas of the figures: looks, matplotlib's settings, files of the same bytes every time."""

from __future__ import annotations

import io
import re
import textwrap
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from frugalmtl.report.palette import DARK, LIGHT, Theme

FigureForm = Literal["pdf", "png", "svg"]
"""Formats of figures."""

_PRINTED = 288
"""Dots per inch of PNG files, and of what is made of dots in PDF files: enough for print."""
_UNDATED = {"pdf": {"CreationDate": None}, "png": {"Software": None}, "svg": {"Date": None}}
"""No date and no version in the files: the same results give the same bytes."""


@dataclass(frozen=True)
class Look:
    """Look of a figure.

    Attributes:
        theme: its colours.
        narrow: for a narrow screen.
        form: format of the file.
        inline: part of the page, which has the title outside and text in the reader's font; else the file stands alone.
    """

    theme: Theme = LIGHT
    narrow: bool = False
    form: FigureForm = "png"
    inline: bool = False


def new_figure(size: tuple[float, float]) -> Figure:
    """An empty figure of ``size`` inches, outside matplotlib's global state."""
    figure = Figure(figsize=size, layout="constrained", dpi=144)
    FigureCanvasAgg(figure)
    return figure


def style(look: Look, *, many_names: bool = False) -> Any:
    """Settings of matplotlib for one figure. Names come from users, so ``$`` in them is a plain character.

    Args:
        look: how it is drawn.
        many_names: in the page, text is held as text in the reader's font, a tenth of the size where there are hundreds
            of names; else, and in SVG files that stand alone, as shapes, the same everywhere.
    """
    theme = look.theme
    return mpl.rc_context(
        {
            "font.family": "sans-serif",
            "font.size": 9,
            "axes.titlesize": 10,
            "axes.labelsize": 9,
            "axes.edgecolor": theme.line,
            "axes.facecolor": theme.panel,
            "axes.labelcolor": theme.quiet,
            "axes.titlecolor": theme.ink,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": theme.line,
            "grid.linewidth": 0.6,
            "figure.facecolor": theme.panel,
            "legend.fontsize": 9,
            "savefig.facecolor": theme.panel,
            "pdf.fonttype": 42,  # TrueType: text that can be searched, and that publishers take
            "svg.fonttype": "none" if many_names and look.inline else "path",
            "svg.hashsalt": "frugalmtl",
            "text.color": theme.ink,
            "text.parse_math": False,
            "xtick.color": theme.quiet,
            "ytick.color": theme.quiet,
        }
    )


def title_room(text: str, width: float, look: Look) -> float:
    """Inches that :func:`file_title` takes in a figure of a width."""
    return 0.06 + 0.18 * _wrapped(text, width).count("\n") + 0.18 if not look.inline else 0.0


def file_title(figure: Figure, text: str, look: Look) -> None:
    """The model's name and the picture's above a figure that stands alone in a file; on the page they are outside."""
    if not look.inline:
        width, height = figure.get_size_inches()
        # A layout makes room for a title whose height it chooses itself.
        place: dict[str, Any] = {"y": 1 - 0.05 / height} if figure.get_layout_engine() is None else {}
        words = _wrapped(text, width)
        figure.suptitle(words, x=0.06 / width, ha="left", fontsize=10, fontweight="bold", color=look.theme.ink, **place)


def _wrapped(text: str, width: float) -> str:
    return textwrap.fill(text, round(9.5 * width), max_lines=2, placeholder=" …")


def picture(figure: Figure, look: Look) -> bytes:
    """The drawn figure in the look's format."""
    buffer = io.BytesIO()
    dpi = "figure" if look.form == "svg" else _PRINTED
    figure.savefig(buffer, format=look.form, metadata=_UNDATED[look.form], dpi=dpi)
    return buffer.getvalue()


def recolour(svg: bytes) -> bytes:
    """A light SVG figure in the dark theme's colours, without drawing it again."""
    changed = {getattr(LIGHT, name): getattr(DARK, name) for name in ("background", "panel", "ink", "quiet", "line")}
    changed |= dict(zip(LIGHT.rows, DARK.rows, strict=True))
    return re.sub(rb"#[0-9a-f]{6}\b", lambda match: changed.get(match[0].decode(), match[0].decode()).encode(), svg)
