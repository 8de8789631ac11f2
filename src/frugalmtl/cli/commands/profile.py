"""``frugalmtl profile RUN``, ``frugalmtl profile --config FILE`` and ``frugalmtl profile --config FILE --row NAME``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
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
        self.add_argument("--onnxruntime", action="store_true", help="time their ONNX files in onnxruntime as well")
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
        asked = parsed.flags or parsed.graph or parsed.onnxruntime
        if asked or parsed.rounds is not None or parsed.device != "cpu":
            raise UserError("the rows of a comparison are counted as they stand, and not timed: name one with --row")
        return comparison


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
