"""``frugalmtl deploy RUN``."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from frugalmtl.cli._arguments import ConfigParser, add_budget, open_run
from frugalmtl.core.terminal import visible, waiting
from frugalmtl.export import EXPORTERS


@dataclass
class Request:
    """A file to write.

    Attributes:
        format: the format of the file and its options ('frugalmtl list export'), e.g. --format onnx
            --format.dynamic_size true.
    """

    format: Annotated[dict[str, Any], EXPORTERS] = field(default_factory=lambda: {"name": "torch_export"})


def parser() -> ConfigParser:
    """Arguments of the command."""
    parser = ConfigParser("deploy", Request, files=False)
    parser.add_argument("run", help="folder of a trained run")
    parser.add_argument("--tasks", default=None, help="deploy these alone, with commas between them (default: all)")
    add_budget(parser)
    parser.add_argument("--out", default=None, help="file to write (default: deployed/ in the run)")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Deploy, write, and say how large the difference to the training model's outputs is."""
    section = arguments.settings.format
    EXPORTERS.check(section)
    from frugalmtl.deployment import deployable

    opened = open_run(arguments)
    tasks = None if arguments.tasks is None else [name.strip() for name in arguments.tasks.split(",") if name.strip()]
    with waiting("deploying, writing and comparing"):
        written = opened.export(section, Path(arguments.out) if arguments.out else None, tasks)
    size, difference = written.bytes / 1e6, written.max_abs_difference
    budget = "" if opened.point is None else f" at a budget of {opened.point}"
    if budget and tasks is not None and set(tasks) < set(deployable(opened.network().tasks, None)):
        alone = visible(", ".join(tasks))
        words = f"note: the budget {opened.point} was calibrated for all tasks together; for {alone} alone less is run"
        print(words, file=sys.stderr)
    print(f"{visible(written.path)}{budget}: {size:.2f} MB, largest difference to the deployed module {difference:.1e}")
