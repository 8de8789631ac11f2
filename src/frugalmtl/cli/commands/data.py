"""``frugalmtl data check|prepare|show FILE``."""

from __future__ import annotations

import argparse
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
    parser.add_argument("--count", type=int, default=8, help="show: number of samples")
    parser.add_argument("--out", default="contact_sheet.png", help="show: file to write")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Check, prepare or show a dataset."""
    known("action", arguments.action, ACTIONS)
    from frugalmtl.data.check import check
    from frugalmtl.data.coverage import coverage_notes
    from frugalmtl.experiment.runs.datasets import contact_sheet, open_dataset

    dataset = open_dataset(arguments.file)
    splits = list(dataset.splits) if arguments.split is None else [known("split:", arguments.split, dataset.splits)]
    if arguments.action == "show":
        print(visible(contact_sheet(dataset, splits[0], arguments.count, Path(arguments.out))))
        return
    if arguments.action == "prepare":
        dataset.prepare(splits)
        return
    problems = check(dataset, splits, progress=interactive())
    for problem in problems:
        output_console(literal=True).print(visible(problem), style="red")
    for note in coverage_notes(dataset, splits):
        print(f"note: {visible(note)}")
    if problems:
        number = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise UserError(f"{number} in {arguments.file}: see the lines above")
    print(visible(f"{arguments.file}: no problems in {', '.join(splits)}"))
