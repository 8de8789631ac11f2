"""The results table in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from frugalmtl.core.terminal import output_console, visible, without_markup
from frugalmtl.report.columns import Column, answer, columns, counted_images
from frugalmtl.report.results import Results, Row

_NAME_WIDTH = 30
_CAPTION = (
    "* reference of Δ_MTL; mean ± standard deviation over seeds; best in bold, and what the spread does not tell from "
    "it; cost of the deployed model per image"
)
_BUDGET_CAPTION = "budget: what was asked, and how far the seed farthest from it is off"


def results_tables(results: Results, width: int) -> list[Table]:
    """Rich tables with the page's columns: arrows give the direction, bold the best, an asterisk the reference.

    Numbers are never cut: what does not fit into ``width`` characters goes into a further table.
    """
    protocol = results.protocol
    count = len(protocol.seeds)
    seeds = f"{count} seed{'' if count == 1 else 's'}"
    groups = _groups(columns(results), width - _NAME_WIDTH - 4)
    tables = [_table(results, group) for group in groups]
    tables[0].title = without_markup(
        f"{results.name}: {protocol.dataset} {protocol.split}, {seeds}, {protocol.hardware}"
    )
    captions = [_CAPTION]
    if any(row.budget for row in results.rows):
        captions.append(_BUDGET_CAPTION)
    if images := counted_images(results):
        captions.append(
            f"in brackets: 5th and 95th percentile over {images} images of the split {protocol.split!r}, where they "
            "differ; MACs and latency of such a model are means over images"
        )
    tables[-1].caption = without_markup("; ".join(captions))
    return tables


def print_table(results: Results, console: Console | None = None) -> None:
    """Print the results table and the answer in a sentence."""
    console = console or output_console()
    for table in results_tables(results, console.width):
        console.print(table)
    console.print(without_markup(answer(results)), highlight=False)


def _groups(measured: list[Column], room: int) -> list[list[Column]]:
    """Neighbouring columns that fit side by side into ``room`` characters, at least one each."""
    groups: list[list[Column]] = [[]]
    used = 0
    for column in measured:
        needed = _width(column) + 3
        if groups[-1] and used + needed > room:
            groups.append([])
            used = 0
        groups[-1].append(column)
        used += needed
    return groups


def _heading(column: Column) -> str:
    name, _, metric = visible(column.title).rpartition(" ")
    lower = " ".join(part for part in (metric, column.unit and f"[{column.unit}]", column.arrow) if part)
    return f"{name}\n{lower}" if name else lower


def _width(column: Column) -> int:
    cells = [len(entry.text) + (len(entry.spread) + 1 if entry.spread else 0) for entry in column.entries.values()]
    return max(*cells, *map(len, _heading(column).splitlines()), 0)


def _table(results: Results, group: list[Column]) -> Table:
    table = Table(title_justify="left", caption_justify="left")
    table.add_column("model", max_width=_NAME_WIDTH, min_width=min(_NAME_WIDTH, 12))
    for column in group:
        table.add_column(escape(_heading(column)), justify="right", no_wrap=True, min_width=_width(column))
    for row in results.rows:
        table.add_row(*_cells(results, row, group))
    if results.published:
        table.add_section()
        for published in results.published:
            values = [published.values.get(column.key) for column in group]
            texts = ["" if value is None else column.text(value) for column, value in zip(group, values, strict=True)]
            table.add_row(
                without_markup(f"published: {published.title} ({published.source})"), *texts, style="italic dim"
            )
    return table


def _cells(results: Results, row: Row, group: list[Column]) -> list[str]:
    cells = [without_markup(row.label) + (" *" if row.name == results.reference else "")]
    for column in group:
        entry = column.entries[row.name]
        text = without_markup(entry.text)
        words = f"[bold]{text}[/bold]" if entry.best else text
        cells.append(f"{words} [dim]{without_markup(entry.spread)}[/dim]" if entry.spread else words)
    return cells
