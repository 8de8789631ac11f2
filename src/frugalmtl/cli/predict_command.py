"""``frugalmtl predict RUN photo.jpg ...``."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from frugalmtl.cli._arguments import command_parser
from frugalmtl.core.checks import UserError


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
    from frugalmtl.experiment.predict.photographs import distinct, read_photo, save_legend, save_predictions, shrink
    from frugalmtl.experiment.runs.run import Run

    photos = [read_photo(source) for source in arguments.photos]
    if arguments.longest is not None and arguments.longest < 1:
        raise UserError(f"--longest must be at least 1 pixel, but got {arguments.longest}")
    opened = Run.open(arguments.run)
    predictor = opened.predictor()
    folder = Path(arguments.out) if arguments.out else opened.folder / "predictions"
    for name, (_, photo) in zip(distinct([name for name, _ in photos]), photos, strict=True):
        small = photo if arguments.longest is None else shrink(photo, arguments.longest)
        for path in save_predictions(small, predictor(small), predictor.tasks, folder, name):
            print(path)
    print(save_legend(predictor.tasks, folder / "legend.png") or "")
