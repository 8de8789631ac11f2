"""``frugalmtl compare --config FILE --out FOLDER``."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import Namespace

from frugalmtl.cli._arguments import ConfigParser, interactive
from frugalmtl.experiment.config.experiment import Comparison


def parser() -> ConfigParser:
    """Arguments of the command."""
    made = ConfigParser("compare", Comparison)
    made.add_argument("--out", type=str | None, default=None, help="folder of the comparison (default: runs/NAME)")
    return made


def run(arguments: Namespace) -> None:
    """Train every row and seed (continuing where an earlier call stopped), then evaluate, deploy, measure and
    report."""
    from frugalmtl.experiment.comparison.compare import compare

    config = arguments.made
    compare(config, Path(arguments.out) if arguments.out else Path("runs") / config.name, progress=interactive())
