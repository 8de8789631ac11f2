"""``frugalmtl data check|prepare|show FILE``."""

from __future__ import annotations

import argparse
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frugalmtl.cli._arguments import CommandParser, command_parser, interactive
from frugalmtl.core.checks import UserError, known
from frugalmtl.core.terminal import output_console, visible

if TYPE_CHECKING:
    from frugalmtl.data import Dataset
    from frugalmtl.data.check import Findings

ACTIONS = {
    "check": "count what every split holds, and report every broken or mis-sized file, before training",
    "prepare": "render or unpack what the splits need",
    "show": "write a contact sheet of images and labels",
}


def parser() -> CommandParser:
    """Arguments of the command."""
    parser = command_parser("data", "; ".join(f"{name}: {line}" for name, line in ACTIONS.items()) + ".")
    parser.add_argument("action", help=f"one of {', '.join(ACTIONS)}")
    parser.add_argument("file", help="an experiment's config, or a folder dataset's YAML")
    parser.add_argument("--split", default=None, help="one split only (show: default the first)")
    parser.add_argument(
        "--all", action="store_true", help="check: a line for every file, also where many have the same problem"
    )
    parser.add_argument("--strict", action="store_true", help="check: notes are errors, such as images without a label")
    parser.add_argument("--json", action="store_true", help="check: print counts, problems and notes as JSON")
    parser.add_argument("--count", type=int, default=8, help="show: number of samples")
    parser.add_argument("--out", default="contact_sheet.png", help="show: file to write")
    return parser


def _into_file() -> bool:
    """Whether the output is written to a file, which is searched rather than read."""
    try:
        return stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode)
    except (OSError, ValueError):  # a stream of no file
        return False


def run(arguments: argparse.Namespace) -> None:
    """Check, prepare or show a dataset."""
    known("action", arguments.action, ACTIONS)
    from frugalmtl.experiment.runs.datasets import contact_sheet, open_dataset

    dataset = open_dataset(arguments.file)
    splits = list(dataset.splits) if arguments.split is None else [known("split:", arguments.split, dataset.splits)]
    if arguments.action == "show":
        print(visible(contact_sheet(dataset, splits[0], arguments.count, Path(arguments.out))))
        return
    if arguments.action == "prepare":
        count = dataset.prepare(splits)
        written = f"prepared ({count} file{'s' * (count != 1)} written)" if count else "nothing had to be prepared"
        print(visible(f"{arguments.file}: {', '.join(splits)}: {written}"))
        return
    _check(dataset, splits, arguments)


def _check(dataset: Dataset, splits: Sequence[str], arguments: argparse.Namespace) -> None:
    """Print what the splits hold and what is wrong.

    Raises:
        UserError: anything is wrong; with ``--strict`` also where anything is worth a note.
    """
    from frugalmtl.core.documents.json_values import json_text
    from frugalmtl.data.check import look_through

    findings = look_through(dataset, splits, progress=interactive())
    records = {name: counts.record(dataset.tasks) for name, counts in findings.counts.items()}
    if arguments.json:
        print(json_text({"splits": records, "problems": findings.problems, "notes": findings.notes}))
    else:
        _print_findings(findings, records, every=arguments.all or _into_file())
    count = len(findings.problems) + len(findings.notes) * arguments.strict
    if count:
        number = "1 problem" if count == 1 else f"{count} problems"
        words = "see the lines above" if not arguments.json else "see the output"
        strict = f" (notes are problems by --strict: {len(findings.notes)})" if arguments.strict else ""
        raise UserError(f"{number} in {arguments.file}: {words}{strict}")
    if not arguments.json:
        print(visible(f"{arguments.file}: no problems in {', '.join(splits)}"))


def _print_findings(findings: Findings, records: dict[str, Any], *, every: bool) -> None:
    from frugalmtl.cli._data_tables import print_counts
    from frugalmtl.data.problems import in_groups

    if records:
        print_counts(records)
    for line in map(str, findings.problems) if every else in_groups(findings.problems):
        output_console(literal=True).print(visible(line), style="red")
    for note in findings.notes:
        print(f"note: {visible(note.line(None if every else 3))}")
