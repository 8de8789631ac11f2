"""``frugalmtl predict RUN photo.jpg ...``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from frugalmtl.cli._arguments import CommandParser, add_budget, command_parser
from frugalmtl.core.terminal import visible


class PredictParser:
    """Options between the photographs, and after ``--`` nothing but photographs, whatever their names begin with."""

    def __init__(self) -> None:
        self.parser: CommandParser = command_parser("predict")
        self.parser.add_argument("run", help="folder of a trained run")
        self.parser.add_argument("photos", nargs="*", help="photographs of any size, or skimage:coffee")
        self.parser.add_argument(
            "--out", default=None, help="folder of the pictures (default: predictions/ in the run)"
        )
        add_budget(self.parser)
        self.parser.add_argument(
            "--longest",
            type=int,
            default=None,
            help="shrink photographs to this longer side first (default: as they are)",
        )

    def parse_args(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse.

        Raises:
            UserError: an unknown option, or no photograph.
        """
        end = arguments.index("--") if "--" in arguments else len(arguments)
        parsed = self.parser.parse_intermixed_args(list(arguments[:end]))
        parsed.photos = [*parsed.photos, *arguments[end + 1 :]]
        if not parsed.photos:
            self.parser.error("the following arguments are required: photos")
        return parsed


def parser() -> PredictParser:
    """Arguments of the command."""
    return PredictParser()


def run(arguments: argparse.Namespace) -> None:
    """Write overlays of every task."""
    from frugalmtl.experiment.predict.photographs import predict_photos

    def complain(error: Any) -> None:
        print(f"frugalmtl: {visible(' '.join(str(error).split()))}", file=sys.stderr)

    folder = Path(arguments.out) if arguments.out else None
    photos, longest, point = arguments.photos, arguments.longest, arguments.budget
    for path in predict_photos(arguments.run, photos, folder, longest, on_failure=complain, point=point):
        print(visible(path))
