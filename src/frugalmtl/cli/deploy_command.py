"""``frugalmtl deploy RUN``."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from frugalmtl.cli._arguments import command_parser
from frugalmtl.core.checks import known


def parser() -> ArgumentParser:
    """Arguments of the command."""
    made = command_parser("deploy")
    made.add_argument("run", type=str, help="folder of a trained run")
    made.add_argument(
        "--format", type=str, default="torch_export", help="member of the room export ('frugalmtl list export')"
    )
    made.add_argument("--out", type=str | None, default=None, help="file to write (default: deployed/ in the run)")
    return made


def run(arguments: Namespace) -> None:
    """Deploy, write, and say how large the difference to the training model's outputs is."""
    from frugalmtl.export import EXPORTERS

    known("export format", arguments.format, EXPORTERS.names())
    from frugalmtl.experiment.runs.run import Run

    opened = Run.open(arguments.run)
    written = opened.export(arguments.format, Path(arguments.out) if arguments.out else None)
    size, difference = written.bytes / 1e6, written.max_abs_difference
    print(f"{written.path}: {size:.2f} MB, largest difference to the deployed module {difference:.1e}")
