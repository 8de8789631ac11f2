"""``frugalmtl profile RUN``, ``frugalmtl profile --config FILE`` and ``frugalmtl profile --config FILE --row NAME``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from frugalmtl.cli._arguments import ConfigParser, add_budget, open_run
from frugalmtl.cli._cost_tables import print_comparison, print_experiment
from frugalmtl.core.checks import UserError, known
from frugalmtl.core.documents.json_values import json_text
from frugalmtl.core.terminal import visible
from frugalmtl.experiment.config.comparison import Comparison, row_experiments
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.config.files import as_plain, parse
from frugalmtl.experiment.config.kinds import kind_of
from frugalmtl.experiment.config.sweep import Sweep, expand


class ProfileParser(ConfigParser):
    """``--config`` and its flags, or the folder of a run; the config is an experiment, or a comparison or sweep."""

    def __init__(self) -> None:
        super().__init__("profile", Experiment)
        self.add_argument("run", nargs="?", default=None, help="folder of a trained run, instead of --config")
        add_budget(self)
        self.add_argument("--row", default=None, help="measure this row of a comparison (default: count all rows)")
        self.add_argument("--device", default="cpu", help="where networks are timed: cpu or cuda")
        self.add_argument("--graph", action="store_true", help="time deployed networks as captured CUDA graphs")
        self.add_argument(
            "--onnxruntime",
            action=argparse.BooleanOptionalAction,
            default=None,
            help="time their ONNX files in onnxruntime as well (default: on the CPU, where it is installed)",
        )
        self.add_argument(
            "--calibration-kit",
            metavar="DIR",
            default=None,
            help="instead: write ONNX files, and a script that times them elsewhere for a budget of time there",
        )
        self.add_argument(
            "--calibrate",
            metavar="FILE",
            default=None,
            help="instead: time these files here, in onnxruntime, and write the latency file for a config's 'latency'",
        )
        self.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
        self.add_argument(
            "--rounds",
            type=int,
            default=None,
            help="rounds of the latency measurement (default: what a minute allows)",
        )

    def parse_args(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse; exactly one of a run and a config has to be given."""
        parsed = super().parse_args(arguments)
        if (parsed.run is None) == (not parsed.config):
            raise UserError("profile needs a run folder or --config FILE, and not both")
        if parsed.budget is not None and parsed.run is None:
            raise UserError(f"--budget {parsed.budget}: only a trained run keeps a budget; name its folder")
        if parsed.calibration_kit is not None or parsed.calibrate is not None:
            _check_calibration(parsed)
        return parsed

    def read(self, content: dict[str, Any], parsed: argparse.Namespace) -> Experiment | Comparison:
        """The experiment or the comparison of the content; of a comparison whose row is named, the row's experiment.

        Raises:
            UserError: an unknown row, or a flag that only one experiment can have.
        """
        if kind_of(content) is Experiment:
            if parsed.row is not None:
                raise UserError(f"--row {parsed.row}: only the config of a comparison has rows")
            return super().read(content, parsed)  # type: ignore[no-any-return]  # an experiment, the parser's kind
        comparison = _comparison(content, parsed.config[-1])
        if parsed.row is not None:
            experiments = row_experiments(comparison, seed=comparison.seeds[0])
            row = as_plain(experiments[known("row", parsed.row, experiments)])
            return super().read(row, parsed)  # type: ignore[no-any-return]  # as above
        asked = parsed.flags or parsed.graph or parsed.onnxruntime is not None
        if asked or parsed.rounds is not None or parsed.device != "cpu":
            raise UserError("the rows of a comparison are counted as they stand, and not timed: name one with --row")
        return comparison


def _check_calibration(parsed: argparse.Namespace) -> None:
    """Refuse two of the flags for latency files, or one with what belongs to a profile."""
    if parsed.calibration_kit is not None and parsed.calibrate is not None:
        raise UserError("--calibration-kit is for another machine and --calibrate for this one: give one of them")
    if isinstance(parsed.settings, Comparison):
        raise UserError("a latency file is of one experiment: name a row of the comparison with --row")
    if parsed.graph or parsed.rounds is not None or parsed.device != "cpu" or parsed.budget is not None or parsed.json:
        raise UserError("networks of a latency file are timed in onnxruntime on the CPU: leave the other flags out")


def _comparison(content: dict[str, Any], source: str) -> Comparison:
    if kind_of(content) is Comparison:
        return parse(Comparison, content, source)
    sweep = parse(Sweep, content, source)
    return expand(sweep, sweep.sweep.places or [])


def parser() -> ProfileParser:
    """Arguments of the command."""
    return ProfileParser()


def run(arguments: argparse.Namespace) -> None:
    """Print what an experiment or a run costs; of a comparison, what its rows cost beside the published figures."""
    if arguments.calibration_kit is not None or arguments.calibrate is not None:
        _calibrate(arguments)
        return
    from frugalmtl.experiment.measure.profiling import TimedOn, profile_config, profile_run
    from frugalmtl.experiment.measure.published import count_rows

    show, place = print_experiment, TimedOn(arguments.device, arguments.graph, arguments.onnxruntime)
    if arguments.run is not None:
        result = profile_run(open_run(arguments), arguments.rounds, place)
    elif isinstance(arguments.settings, Comparison):
        result = count_rows(arguments.settings, lambda line: print(visible(line), file=sys.stderr))
        show = print_comparison
    else:
        result = profile_config(arguments.settings, arguments.rounds, place)
    if arguments.json:
        print(json_text(result))
    else:
        show(result)


def _calibrate(arguments: argparse.Namespace) -> None:
    """Write a calibration kit, or time its networks here."""
    from frugalmtl.experiment.measure.calibration import calibrate_here, write_calibration_kit
    from frugalmtl.export._calibrate import lines

    source = arguments.settings if arguments.run is None else open_run(arguments)
    if arguments.calibrate is not None:
        result = calibrate_here(source, Path(arguments.calibrate))
        print("\n".join(map(visible, lines(result))))
        print(visible(f"{arguments.calibrate}: name it in the config as 'latency'"))
        return
    folder = Path(arguments.calibration_kit)
    files = write_calibration_kit(source, folder)
    print(visible(f"{folder}: {', '.join(path.name for path in files)}"))
    print("copy the folder to the other machine and run there: python calibrate.py (needs onnxruntime and numpy alone)")
