"""The results table in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from frugalmtl.report.columns import answer, columns
from frugalmtl.report.results import Results


def results_table(results: Results) -> Table:
    """A rich table with the page's columns: arrows give the direction, bold the best, an asterisk the reference."""
    given = results.protocol
    title = f"{results.name}: {given.dataset} {given.split}, {len(given.seeds)} seed(s), {given.hardware}"
    caption = "* reference of Δ_MTL and mean ± standard deviation over seeds; cost of the deployed model per image"
    table = Table(title=escape(title), caption=caption, title_justify="left", caption_justify="left")
    table.add_column("model", overflow="fold")
    measured = columns(results)
    for column in measured:
        unit = f" [{column.unit}]" if column.unit else ""
        table.add_column(escape(f"{column.title}{unit} {column.arrow}"), justify="right")
    for row in results.rows:
        cells = []
        for column in measured:
            entry = column.entries[row.name]
            words = f"[bold]{entry.text}[/bold]" if entry.best else entry.text
            cells.append(f"{words} [dim]{entry.spread}[/dim]" if entry.spread else words)
        mark = " *" if row.name == results.reference else ""
        table.add_row(escape(row.label) + mark, *cells)
    if results.published:
        table.add_section()
        for published in results.published:
            values = [published.values.get(column.key) for column in measured]
            texts = [
                "" if value is None else column.text(value) for column, value in zip(measured, values, strict=True)
            ]
            table.add_row(escape(f"published: {published.title} ({published.source})"), *texts, style="italic dim")
    return table


def print_table(results: Results, console: Console | None = None) -> None:
    """Print the results table and the one-sentence answer."""
    console = console or Console()
    console.print(results_table(results))
    console.print(escape(answer(results)), highlight=False)
