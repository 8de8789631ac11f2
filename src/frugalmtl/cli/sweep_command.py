"""``frugalmtl sweep --config FILE --out FOLDER``."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import Namespace

from frugalmtl.cli._arguments import ConfigParser, interactive
from frugalmtl.experiment.config.sweep import Sweep


def parser() -> ConfigParser:
    """Arguments of the command."""
    made = ConfigParser("sweep", Sweep)
    made.add_argument("--out", type=str | None, default=None, help="folder of the sweep (default: runs/NAME)")
    made.add_argument("--workers", type=int, default=1, help="processes that train")
    return made


def run(arguments: Namespace) -> None:
    """Train the fixed rows and every point (continuing where an earlier call stopped), then report them together."""
    from frugalmtl.experiment.comparison.sweep import sweep

    config = arguments.made
    folder = Path(arguments.out) if arguments.out else Path("runs") / config.name
    sweep(config, folder, workers=arguments.workers, progress=interactive())
