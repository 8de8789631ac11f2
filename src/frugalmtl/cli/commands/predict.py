"""``frugalmtl predict RUN photo.jpg ...``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from frugalmtl.cli._arguments import CommandParser, add_budget, command_parser, interactive
from frugalmtl.core.terminal import visible


class PredictParser:
    """Options between the photographs, and after ``--`` nothing but photographs, whatever their names begin with."""

    def __init__(self) -> None:
        self.parser: CommandParser = command_parser("predict")
        self.parser.add_argument("run", help="folder of a trained run")
        self.parser.add_argument(
            "photos",
            nargs="*",
            help="photographs of any size, folders, patterns ('frames/*.jpg'), skimage:coffee, or - for a list on "
            "standard input",
        )
        self.parser.add_argument("--out", default=None, help="folder of the files (default: predictions/ in the run)")
        self.parser.add_argument(
            "--save",
            default="overlay",
            metavar="FORMATS",
            help="some of overlay (pictures), ids (indices of classes, PNG), depth_mm (16-bit PNG), npy (decoded "
            "values), json (classes, shares, statistics), with commas between them (default: overlay)",
        )
        add_budget(self.parser)
        self.parser.add_argument(
            "--native",
            action="store_true",
            help="predict photographs at their own size (default: at the size of the training, and resized back)",
        )
        self.parser.add_argument(
            "--longest",
            type=int,
            default=None,
            help="shrink photographs to this longer side first (default: as they are)",
        )
        self.parser.add_argument(
            "--device", default="auto", help="where the network runs: auto (a GPU where there is one), cpu, cuda"
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
    """Write predictions of every task."""
    from frugalmtl.experiment.predict.photographs import PredictSettings, predict_photos

    def complain(error: Any) -> None:
        print(f"frugalmtl: {visible(' '.join(str(error).split()))}", file=sys.stderr)

    settings = PredictSettings(
        saved=tuple(name.strip() for name in arguments.save.split(",") if name.strip()),
        native=arguments.native,
        longest=arguments.longest,
        device=arguments.device,
        point=arguments.budget,
        progress=interactive(),
    )
    folder = Path(arguments.out) if arguments.out else None
    output = sys.stdout  # the bar puts another one in its place
    held: list[Path] | None = [] if interactive() and output.isatty() else None
    try:
        for path in predict_photos(arguments.run, arguments.photos, folder, settings, complain, sys.stdin):
            if held is None:
                print(visible(path), file=output)
            else:
                held.append(path)  # lines would run into the bar
    finally:
        for path in held or []:
            print(visible(path), file=output)
