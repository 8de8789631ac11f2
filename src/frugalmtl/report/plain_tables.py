"""Results table as CSV, Markdown or LaTeX."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable

from frugalmtl.core.terminal import visible
from frugalmtl.report.columns import Column, Entry, columns
from frugalmtl.report.results import Results

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "Δ": r"$\Delta$",
    "°": r"$^\circ$",
    "±": r"$\pm$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "−": r"$-$",
    "–": "--",
    "\u00a0": "~",
} | {character: f"\\{character}" for character in "#$%&_"}


def as_csv(results: Results) -> str:
    """A line per row: full numbers in the units of the heads, standard deviations over seeds in columns of their own.

    A figure that was not measured is an empty cell.
    """
    measured = columns(results)
    lines: list[list[str]] = [["model", *(part for column in measured for part in _csv_heads(column))]]
    for row in results.rows:
        cells = [row.label]
        for column in measured:
            entry = column.entries[row.name]
            if column.key == "budget":
                cells += [row.budget or "", _full(entry.value)]
            else:
                cells += [_full(entry.value / column.scale), _full(entry.deviation / column.scale)]
        lines.append(cells)
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(lines)
    return buffer.getvalue()


def as_markdown(results: Results) -> str:
    """A table with pipes; the best in bold, the reference marked."""
    measured = columns(results)
    heads = ["model", *(_escaped(_head(column)) for column in measured)]
    lines = [heads, ["---", *["---:"] * len(measured)]]
    for row in results.rows:
        mark = " (reference)" if row.name == results.reference else ""
        cells = [_cell(column.entries[row.name], _escaped, "**{}**", "\u00a0") for column in measured]
        lines.append([f"{_escaped(row.label)}{mark}", *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def as_latex(results: Results) -> str:
    """A ``tabular`` with the rules of the package ``booktabs``; the best in bold, the reference with an asterisk."""
    measured = columns(results)
    heads = ["model", *(_tex(_head(column)) for column in measured)]
    lines = [rf"\begin{{tabular}}{{l{'r' * len(measured)}}}", r"\toprule", _tex_line(heads), r"\midrule"]
    for row in results.rows:
        mark = "$^*$" if row.name == results.reference else ""
        cells = [_cell(column.entries[row.name], _tex, r"\textbf{{{}}}", " ") for column in measured]
        lines.append(_tex_line([f"{_tex(row.label)}{mark}", *cells]))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


FORMATS: dict[str, Callable[[Results], str]] = {"csv": as_csv, "latex": as_latex, "markdown": as_markdown}
"""What writes a table, by the name of its format."""


def _csv_heads(column: Column) -> tuple[str, str]:
    if column.key == "budget":
        return "budget", "cost / budget - 1"
    name = " ".join(filter(None, (column.title, column.unit and f"[{column.unit}]")))
    return name, f"{name} std"


def _full(value: float) -> str:
    return f"{value:.6g}" if math.isfinite(value) else ""


def _head(column: Column) -> str:
    return " ".join(filter(None, (visible(column.title), column.unit, column.arrow)))


def _cell(entry: Entry, escaped: Callable[[str], str], bold: str, gap: str) -> str:
    text = bold.format(escaped(entry.text)) if entry.best else escaped(entry.text)
    return f"{text}{gap}{escaped(entry.spread)}" if entry.spread else text


def _escaped(text: str) -> str:
    """Text in a cell of a Markdown table: what would be markup is taken as it stands."""
    return re.sub(r"([\\|*_`<\[\]])", r"\\\1", visible(text))


def _tex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in visible(text))


def _tex_line(cells: list[str]) -> str:
    return f"{' & '.join(cells)} \\\\"
