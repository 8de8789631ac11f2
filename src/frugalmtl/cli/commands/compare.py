"""``frugalmtl compare --config FILE --out FOLDER``."""

from __future__ import annotations

import argparse
from pathlib import Path

from frugalmtl.cli._arguments import ConfigParser, interactive
from frugalmtl.experiment.config.comparison import Comparison


def parser() -> ConfigParser:
    """Arguments of the command."""
    parser = ConfigParser("compare", Comparison)
    parser.add_argument("--out", default=None, help="folder of the comparison (default: runs/NAME)")
    parser.add_argument("--estimate", action="store_true", help="say first how long it will take on this machine")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Train every row and seed (continuing where an earlier call stopped), then evaluate, deploy, measure and
    report."""
    from frugalmtl.experiment.comparison.compare import compare

    config = arguments.settings
    folder = Path(arguments.out) if arguments.out else Path("runs") / config.name
    compare(config, folder, progress=interactive(), estimate=arguments.estimate)
