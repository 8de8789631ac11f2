"""``frugalmtl predict RUN photo.jpg ...``."""

from __future__ import annotations

import argparse
from pathlib import Path

from frugalmtl.cli._arguments import CommandParser, command_parser
from frugalmtl.core.terminal import visible


def parser() -> CommandParser:
    """Arguments of the command."""
    parser = command_parser("predict")
    parser.add_argument("run", help="folder of a trained run")
    parser.add_argument("photos", nargs="+", help="photographs of any size, or skimage:coffee")
    parser.add_argument("--out", default=None, help="folder of the pictures (default: predictions/ in the run)")
    parser.add_argument(
        "--longest",
        type=int,
        default=None,
        help="shrink photographs to this longer side first (default: as they are)",
    )
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Write overlays of every task."""
    from frugalmtl.experiment.predict.photographs import predict_photos

    folder = Path(arguments.out) if arguments.out else None
    for path in predict_photos(arguments.run, arguments.photos, folder, arguments.longest):
        print(visible(path))
