"""``frugalmtl deploy RUN``."""

from __future__ import annotations

import argparse
from pathlib import Path

from frugalmtl.cli._arguments import CommandParser, command_parser
from frugalmtl.core.checks import known


def parser() -> CommandParser:
    """Arguments of the command."""
    parser = command_parser("deploy")
    parser.add_argument("run", help="folder of a trained run")
    parser.add_argument("--format", default="torch_export", help="member of the room export ('frugalmtl list export')")
    parser.add_argument("--out", default=None, help="file to write (default: deployed/ in the run)")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Deploy, write, and say how large the difference to the training model's outputs is."""
    from frugalmtl.export import EXPORTERS

    known("export format", arguments.format, EXPORTERS.names())
    from frugalmtl.experiment.runs.run import Run

    opened = Run.open(arguments.run)
    written = opened.export(arguments.format, Path(arguments.out) if arguments.out else None)
    size, difference = written.bytes / 1e6, written.max_abs_difference
    print(f"{written.path}: {size:.2f} MB, largest difference to the deployed module {difference:.1e}")
