"""``frugalmtl report FOLDER``."""

from __future__ import annotations

import argparse
from pathlib import Path

from frugalmtl.cli._arguments import CommandParser, command_parser
from frugalmtl.core.checks import UserError
from frugalmtl.core.files import write_text
from frugalmtl.core.terminal import output_console, visible

TABLES = ("csv", "latex", "markdown")
FIGURES = ("pdf", "png", "svg")
FORMATS = tuple(sorted((*TABLES, *FIGURES, "html")))


def parser() -> CommandParser:
    """Arguments of the command."""
    parser = command_parser("report")
    parser.add_argument("folder", help="folder of a comparison or a sweep")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default=None,
        help=(
            "csv, latex, markdown: the table; pdf, png, svg: every figure; html: the whole report anew "
            "(default: the table as the terminal shows it)"
        ),
    )
    parser.add_argument(
        "--out",
        default=None,
        help="file of a table, or folder of figures (default: print the table; figures/ in the report's folder)",
    )
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Show or write the results that a comparison or a sweep has measured."""
    from frugalmtl.report import load_results, print_table, write_figures, write_report
    from frugalmtl.report.plain_tables import FORMATS as WRITERS
    from frugalmtl.report.write import FIGURES as FOLDER

    folder, form, out = Path(arguments.folder), arguments.format, arguments.out
    results = load_results(folder / "results.json")
    if out is not None and form not in (*TABLES, *FIGURES):
        raise UserError(
            f"--out takes a table or figures: add --format {', '.join((*TABLES, *FIGURES))}, or leave it out"
        )
    if form is None:
        print_table(results)
    elif form == "html":
        write_report(results, folder)
        print(f"report: {visible(folder / 'report.html')}")
    elif form in FIGURES:
        target = folder / FOLDER if out is None else Path(out)
        print(f"figures: {len(write_figures(results, folder, target, form))} files in {visible(target)}")
    elif out is None:
        output_console().file.write(WRITERS[form](results))
    else:
        write_text(out, WRITERS[form](results))
        print(visible(out))
