"""Heat maps of rows and named columns, broken into as many lines as the columns need."""

from __future__ import annotations

import math
import re
import textwrap
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Patch, Rectangle

from frugalmtl.core.types import Heatmap
from frugalmtl.report.drawing import canvas
from frugalmtl.report.drawing.canvas import Look
from frugalmtl.report.formatting import NOT_MEASURED, finite, number

HALF_PAGE = 12
"""Up to so many columns a heat map takes half the width of the page."""

_COLOURS = "viridis"
"""Perceptually uniform, and lightness alone tells the values apart in grey print and for colour-blind readers."""
_AROUND_ZERO = "RdBu"
"""For values on both sides of 0: red below, blue above, pale where there is next to nothing. Told apart with any common
colour blindness; in grey print the numbers in the cells give the sign."""
_ALARMING = "Reds"
"""For values of which any is too much: the red half of the scale around zero."""
_DARK_WORD, _LIGHT_WORD = "#101214", "#fdfdfd"
"""Numbers in cells: the cells' colours are the same in both themes, and so must be these."""
_WIDE, _NARROW = 80, 48
"""Most columns in a line."""
_SMALL = 6.5
"""Size of the columns' names."""
_LETTER = 0.56
"""Width of a letter, in sizes."""
_LONGEST = 22
"""Letters of a column's name before it is shortened in the middle."""


@dataclass(frozen=True)
class _Line:
    """Some neighbouring columns: where they begin and end, and the pitch of a column in typographic points."""

    start: int
    stop: int
    pitch: float


def heat_map_words(picture: Heatmap) -> str:
    """The main facts: mean and range of every row."""
    facts, digits = [], _decimals(picture)
    for name, values in zip(picture.rows, picture.values, strict=True):
        known = finite(values)
        span = f" ({number(min(known), digits)} to {number(max(known), digits)})" if known else ""
        facts.append(f"{name} {number(_mean(values), digits)}{span}")
    count = len(picture.columns)
    return f"{picture.title}: mean over {count} column{'' if count == 1 else 's'}: {', '.join(facts)}."


def heat_map(
    label: str, picture: Heatmap, look: Look | None = None, *, means: bool = True, alarming: bool = False
) -> bytes:
    """Colours on a uniform scale, NaN hatched, numbers where they fit.

    Args:
        label: the model that the picture belongs to.
        picture: rows, columns and values; limits as far below 0 as above it take two hues that part at 0.
        look: how it is drawn.
        means: write every row's mean beside its name.
        alarming: large values are bad news: a scale from pale to red.
    """
    look = look or Look()
    count, rows = len(picture.columns), len(picture.rows)
    down = math.ceil(count / (_NARROW if look.narrow else _WIDE))
    length = math.ceil(count / down)
    names = _row_names(picture, look) if means else picture.rows
    margin = 0.35 + max(len(line) for name in names for line in name.splitlines()) * 8 * _LETTER / 72
    width = 3.5 if look.narrow else 5.1 if count <= HALF_PAGE else 10.4
    lines = [
        _Line(start, min(start + length, count), 72 * (width - margin) / length) for start in range(0, count, length)
    ]
    ticks = [_ticks(picture.columns, line) for line in lines]
    below = 0.12 + max(_height(names, line) for (_, names), line in zip(ticks, lines, strict=True)) / 72
    cell = 0.3 if rows < 8 else 0.22
    colours = colormaps[_ALARMING] if alarming else _colours(picture)
    with canvas.style(look, many_names=True):
        height = (
            (0.8 if look.inline else 1.05)
            + 0.2 * any(map(_has_gaps, picture.values))
            + down * (rows * cell + below + 0.3)
        )
        figure = canvas.new_figure((width, height))
        grid = figure.subplots(down, 1, squeeze=False)[:, 0]
        for axes, line, tick in zip(grid, lines, ticks, strict=True):
            _draw_line(axes, picture, colours, line, tick, length, look)
            axes.set_yticks(range(rows), names if line.start == 0 else picture.rows, fontsize=8, color=look.theme.ink)
        if not look.inline:  # a file stands alone; on the page the row's name is above the picture
            title = textwrap.fill(label, _title_width(count, look), max_lines=2, placeholder=" …")
            figure.suptitle(title, x=0.012, ha="left", fontsize=10, fontweight="bold", color=look.theme.ink)
        _draw_scale(figure, list(grid), picture, colours, look, 72 * (width - margin))
        return canvas.picture(figure, look)


def _draw_line(
    axes: Any, picture: Heatmap, colours: Any, line: _Line, ticks: tuple[list[int], list[str]], length: int, look: Look
) -> None:
    """Some columns of the picture on their own axes."""
    theme = look.theme
    values = np.array([row[line.start : line.stop] for row in picture.values], dtype=float)
    rows, count = values.shape
    axes.imshow(
        np.ma.masked_invalid(values),
        cmap=colours.with_extremes(bad=(0, 0, 0, 0)),
        norm=Normalize(*picture.limits),
        aspect="auto",
        interpolation="none",
    )
    for row, column, cells in _gaps(values):
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), cells, 1, **_hatch(look)))
    groups = _groups(picture.columns, line)
    cuts = {edge for _, start, stop in groups for edge in (start, stop) if 0 < edge < count}
    axes.hlines(np.arange(1, rows) - 0.5, -0.5, count - 0.5, color=theme.panel, linewidth=1.2, zorder=2)
    if line.pitch > 8:
        axes.vlines(np.arange(1, count) - 0.5, -0.5, rows - 0.5, color=theme.panel, linewidth=0.6, zorder=2)
    axes.vlines(np.array(sorted(cuts)) - 0.5, -0.5, rows - 0.5, color=theme.panel, linewidth=2.6, zorder=2.5)
    axes.grid(False)
    axes.set_xlim(-0.5, length - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.spines[:].set_visible(False)
    places, words = ticks
    rotated = _is_rotated(words, line)
    turned = {"rotation": 90, "ha": "right", "va": "center", "rotation_mode": "anchor"} if rotated else {}
    axes.set_xticks(places, words, fontsize=_SMALL, color=theme.quiet, **turned)
    axes.tick_params(length=0, pad=2)
    axes.tick_params(axis="x", length=2, color=theme.line)
    if groups:
        above = axes.secondary_xaxis("top")
        middles = [(start + stop - 1) / 2 for _, start, stop in groups]
        above.set_xticks(middles, [name for name, _, _ in groups], fontsize=7.5, color=theme.ink)
        above.tick_params(length=0, pad=2)
        above.spines[:].set_visible(False)
    _write_numbers(axes, picture, colours, values, line)


def _write_numbers(axes: Any, picture: Heatmap, colours: Any, values: Any, line: _Line) -> None:
    """The values, if the cells are wide enough for them."""
    digits = _decimals(picture)
    texts = [[number(value, digits) if math.isfinite(value) else "" for value in row] for row in values]
    size = min(7.5, (line.pitch - 2) / (_LETTER * max(len(text) for row in texts for text in row) or math.inf))
    if size < 6:
        return
    scale = Normalize(*picture.limits, clip=True)
    for (row, column), value in np.ndenumerate(values):
        red, green, blue, _ = colours(scale(value)) if math.isfinite(value) else (0, 0, 0, 1)
        word = _DARK_WORD if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else _LIGHT_WORD
        axes.text(column, row, texts[row][column], size=size, color=word, ha="center", va="center", zorder=3)


def _draw_scale(figure: Any, grid: list[Any], picture: Heatmap, colours: Any, look: Look, room: float) -> None:
    """The labelled bar above everything, and what hatching means where there is any."""
    known = finite(value for row in picture.values for value in row)
    low, high = picture.limits
    beyond = (any(value < low for value in known), any(value > high for value in known))
    extend = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[beyond]
    scale = ScalarMappable(Normalize(low, high), colours)
    half = look.narrow or len(picture.columns) <= HALF_PAGE
    share = 0.75 if half else 0.34
    bar = figure.colorbar(
        scale, ax=grid, location="top", anchor=(0.0, 0.5), shrink=share, aspect=share * (30 if half else 75),
        extend=extend, pad=0.2 / figure.get_size_inches()[1],
    )  # fmt: skip
    bar.solids.set_rasterized(True)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7.5, length=2, pad=1, bottom=True, labelbottom=True, top=False, labeltop=False)
    bar.ax.xaxis.set_label_position("top")
    bar.ax.grid(False)
    if low == -high:
        ticks = np.linspace(low, high, 5 if share * room > 150 else 3)
        bar.set_ticks(ticks, labels=[f"{tick:g}".replace("-", "−") for tick in ticks])
    words = textwrap.fill(picture.title, min(38 if look.narrow else 60 if half else 110, int(room / 4.8)))
    bar.set_label(words, loc="left", fontsize=8.5, color=look.theme.ink)
    if any(map(_has_gaps, picture.values)):
        patch = Patch(**_hatch(look), label="nothing to show")
        figure.legend(handles=[patch], loc="outside lower right", frameon=False, fontsize=8)


def _colours(picture: Heatmap) -> Any:
    """One scale from end to end, or two hues that part at 0 where the limits are as far below it as above."""
    low, high = picture.limits
    return colormaps[_AROUND_ZERO if low == -high else _COLOURS]


def _decimals(picture: Heatmap) -> int:
    """Two, and more for scales that end below 0.1, so that the largest values have two digits."""
    return max(2, 1 - math.floor(math.log10(max(map(abs, picture.limits)))))


def _title_width(count: int, look: Look) -> int:
    """Letters in a line of the title."""
    return 36 if look.narrow else 60 if count <= HALF_PAGE else 120


def _gaps(values: Any) -> list[tuple[int, int, int]]:
    """``(row, first column, how many)`` of neighbouring cells without a value."""
    gaps = []
    for row, missing in enumerate(~np.isfinite(values)):
        start = 0
        for is_gap, run in groupby(missing):
            cells = len(list(run))
            if is_gap:
                gaps.append((row, start, cells))
            start += cells
    return gaps


def _hatch(look: Look) -> dict[str, Any]:
    return {"facecolor": look.theme.panel, "edgecolor": look.theme.quiet, "hatch": "/////", "linewidth": 0.0}


def _has_gaps(values: list[float]) -> bool:
    return not all(map(math.isfinite, values))


def _mean(values: list[float]) -> float:
    known = finite(values)
    return math.fsum(known) / len(known) if known else math.nan


def _row_names(picture: Heatmap, look: Look) -> list[str]:
    """Rows with their means; these stand on the first line only."""
    joint, digits = "\n" if look.narrow else ", ", _decimals(picture)
    means = [number(_mean(values), digits) for values in picture.values]
    return [
        name if mean == NOT_MEASURED else f"{name}{joint}mean {mean}"
        for name, mean in zip(picture.rows, means, strict=True)
    ]


def _groups(columns: list[str], line: _Line) -> list[tuple[str, int, int]]:
    """``(prefix, start, stop)`` of neighbouring columns whose dotted names begin alike, where the prefix has room."""
    shown = columns[line.start : line.stop]
    groups, start = [], 0
    for prefix, run in groupby(shown, key=_prefix):
        stop = start + len(list(run))
        if prefix and stop - start > 1 and (len(prefix) + 1) * 7.5 * _LETTER <= (stop - start) * line.pitch:
            groups.append((prefix, start, stop))
        start = stop
    return groups


def _prefix(name: str) -> str:
    """The part of a dotted name before the first dot; none in words that hold a number such as 0.5x."""
    match = re.match(r"([A-Za-z_]\w*)\.", name)
    return match[1] if match else ""


def _ticks(columns: list[str], line: _Line) -> tuple[list[int], list[str]]:
    """Places and names of the columns that are named: all, or as many as can be read; without their group's prefix."""
    shown = columns[line.start : line.stop]
    grouped = {place for _, start, stop in _groups(columns, line) for place in range(start, stop)}
    step = math.ceil((_SMALL + 0.8) / line.pitch)
    places = list(range(0, len(shown), step))
    names = [shown[place].partition(".")[2] if place in grouped else shown[place] for place in places]
    return places, _wrapped(names, line) or [_shortened(name) for name in names]


def _wrapped(names: list[str], line: _Line) -> list[str] | None:
    """Names of several words in up to three lines beneath each other; None if they do not fit."""
    letters = int(line.pitch / (_SMALL * _LETTER)) - 1
    broken = [textwrap.wrap(name, letters, break_long_words=False) if letters > 0 else [name] for name in names]
    fit = all(len(pieces) < 4 and all(len(piece) <= letters for piece in pieces) for pieces in broken)
    return ["\n".join(pieces) for pieces in broken] if fit else None


def _shortened(name: str) -> str:
    half = _LONGEST // 2
    return name if len(name) <= _LONGEST else f"{name[: half - 1]}…{name[-half:]}"


def _is_rotated(words: list[str], line: _Line) -> bool:
    return any((len(piece) + 1) * _SMALL * _LETTER > line.pitch for word in words for piece in word.splitlines())


def _height(words: list[str], line: _Line) -> float:
    """Height of the columns' names in points."""
    if _is_rotated(words, line):
        return max(map(len, words)) * _SMALL * _LETTER
    return _SMALL * (1.25 * max(len(word.splitlines()) for word in words) - 0.25)
