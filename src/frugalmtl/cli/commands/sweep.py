"""``frugalmtl sweep --config FILE --out FOLDER``."""

from __future__ import annotations

import argparse
from pathlib import Path

from frugalmtl.cli._arguments import ConfigParser, interactive
from frugalmtl.experiment.config.sweep import Sweep


def parser() -> ConfigParser:
    """Arguments of the command."""
    parser = ConfigParser("sweep", Sweep)
    parser.add_argument("--out", default=None, help="folder of the sweep (default: runs/NAME)")
    parser.add_argument("--workers", type=int, default=1, help="processes that train")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Train the fixed rows and every point (continuing where an earlier call stopped), then report them together."""
    from frugalmtl.experiment.comparison.sweep import sweep

    config = arguments.settings
    folder = Path(arguments.out) if arguments.out else Path("runs") / config.name
    sweep(config, folder, workers=arguments.workers, progress=interactive())
