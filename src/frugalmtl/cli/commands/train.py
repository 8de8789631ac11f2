"""``frugalmtl train --config FILE --out RUN``."""

from __future__ import annotations

import argparse
from pathlib import Path

from frugalmtl.cli._arguments import ConfigParser, interactive
from frugalmtl.core.terminal import visible
from frugalmtl.experiment.config.experiment import Experiment


def parser() -> ConfigParser:
    """Arguments of the command."""
    parser = ConfigParser("train", Experiment)
    parser.add_argument("--out", default=None, help="folder of the run (default: runs/NAME)")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Train, or continue a run that was interrupted; evaluate at the end."""
    from frugalmtl.experiment.runs import processes
    from frugalmtl.experiment.runs.training import evaluate_run, train_run

    config = arguments.settings
    folder = Path(arguments.out) if arguments.out else Path("runs") / config.name
    finished = train_run(config, folder, progress=interactive())
    evaluate_run(finished, config.test_split, progress=interactive())
    if processes.first():
        print(f"run: {visible(folder)}")
