"""``frugalmtl deploy RUN``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from frugalmtl.cli._arguments import CommandParser, command_parser
from frugalmtl.core.checks import UserError


def parser() -> CommandParser:
    """Arguments of the command."""
    parser = command_parser("deploy")
    parser.add_argument("run", help="folder of a trained run")
    parser.add_argument("--format", default="torch_export", help="member of the room export ('frugalmtl list export')")
    parser.add_argument("--out", default=None, help="file to write (default: deployed/ in the run)")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an option of the format, as often as wanted ('frugalmtl list export FORMAT' shows them)",
    )
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Deploy, write, and say how large the difference to the training model's outputs is."""
    from frugalmtl.export import EXPORTERS

    section = _options(arguments.option) | {"name": arguments.format}
    EXPORTERS.check(section)
    from frugalmtl.experiment.runs.run import Run

    opened = Run.open(arguments.run)
    written = opened.export(section, Path(arguments.out) if arguments.out else None)
    size, difference = written.bytes / 1e6, written.max_abs_difference
    print(f"{written.path}: {size:.2f} MB, largest difference to the deployed module {difference:.1e}")


def _options(pairs: Sequence[str]) -> dict[str, Any]:
    """``["key=value"]`` as a mapping; values are read as YAML."""
    options: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        try:
            options[key] = yaml.safe_load(text)
        except yaml.YAMLError:
            equals = ""
        if not key or not equals:
            raise UserError(f"--option takes KEY=VALUE, but got {pair!r}")
    return options
