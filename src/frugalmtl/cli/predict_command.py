"""``frugalmtl predict RUN photo.jpg ...``."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from frugalmtl.cli._arguments import command_parser


def parser() -> ArgumentParser:
    """Arguments of the command."""
    made = command_parser("predict")
    made.add_argument("run", type=str, help="folder of a trained run")
    made.add_argument("photos", type=str, nargs="+", help="photographs of any size, or skimage:coffee")
    made.add_argument(
        "--out", type=str | None, default=None, help="folder of the pictures (default: predictions/ in the run)"
    )
    made.add_argument(
        "--longest",
        type=int | None,
        default=None,
        help="shrink photographs to this longer side first (default: as they are)",
    )
    return made


def run(arguments: Namespace) -> None:
    """Write overlays of every task."""
    from frugalmtl.experiment.predict.photographs import predict_photos

    folder = Path(arguments.out) if arguments.out else None
    for path in predict_photos(arguments.run, arguments.photos, folder, arguments.longest):
        print(path)
