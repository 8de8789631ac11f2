"""``frugalmtl data check|prepare|show FILE``."""

from __future__ import annotations

import argparse
import os
import stat
import sys
from pathlib import Path

from frugalmtl.cli._arguments import CommandParser, command_parser, interactive
from frugalmtl.core.checks import UserError, known
from frugalmtl.core.terminal import output_console, visible

ACTIONS = {
    "check": "report every broken or mis-sized file, before training",
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
    from frugalmtl.data.check import check
    from frugalmtl.data.coverage import coverage_notes
    from frugalmtl.data.problems import in_groups
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
    problems = check(dataset, splits, progress=interactive())
    for line in map(str, problems) if arguments.all or _into_file() else in_groups(problems):
        output_console(literal=True).print(visible(line), style="red")
    for note in coverage_notes(dataset, splits):
        print(f"note: {visible(note)}")
    if problems:
        number = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise UserError(f"{number} in {arguments.file}: see the lines above")
    print(visible(f"{arguments.file}: no problems in {', '.join(splits)}"))
