"""``frugalmtl report FOLDER``."""

from __future__ import annotations

import argparse
from pathlib import Path

from frugalmtl.cli._arguments import CommandParser, command_parser
from frugalmtl.core.checks import UserError
from frugalmtl.core.files import write_text
from frugalmtl.core.terminal import output_console, visible

FORMATS = ("csv", "html", "latex", "markdown")


def parser() -> CommandParser:
    """Arguments of the command."""
    parser = command_parser("report")
    parser.add_argument("folder", help="folder of a comparison or a sweep")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default=None,
        help="of the table; html writes the whole report anew (default: the table as the terminal shows it)",
    )
    parser.add_argument("--out", default=None, help="file of a table (default: print it)")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Show or write the results that a comparison or a sweep has measured."""
    from frugalmtl.report import load_results, print_table, write_report
    from frugalmtl.report.plain_tables import FORMATS as TABLES

    folder = Path(arguments.folder)
    results = load_results(folder / "results.json")
    if arguments.out is not None and arguments.format not in TABLES:
        raise UserError(f"--out takes a table: add --format {', '.join(sorted(TABLES))}, or leave it out")
    if arguments.format is None:
        print_table(results)
    elif arguments.format == "html":
        write_report(results, folder)
        print(f"report: {visible(folder / 'report.html')}")
    elif arguments.out is None:
        output_console().file.write(TABLES[arguments.format](results))
    else:
        write_text(arguments.out, TABLES[arguments.format](results))
        print(visible(arguments.out))
