"""``frugalmtl profile RUN`` or ``frugalmtl profile --config FILE``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from frugalmtl.cli._arguments import ConfigParser
from frugalmtl.core.checks import UserError
from frugalmtl.experiment.config.experiment import Experiment

ROWS = ("training", "deployed", "single_task", "single_task_deployed")


class ProfileParser(ConfigParser):
    """``--config`` and its flags, or the folder of a run."""

    def __init__(self) -> None:
        super().__init__("profile", Experiment)
        self.add_argument("run", nargs="?", default=None, help="folder of a trained run, instead of --config")
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
        return parsed


def parser() -> ProfileParser:
    """Arguments of the command."""
    return ProfileParser()


def run(arguments: argparse.Namespace) -> None:
    """Print what the experiment costs."""
    from frugalmtl.experiment.measure.profiling import profile
    from frugalmtl.experiment.runs.build import build, build_dataset
    from frugalmtl.experiment.runs.run import Run

    if arguments.run is not None:
        opened = Run.open(arguments.run)
        config, built = opened.config, opened.load()
    else:
        config = arguments.settings
        dataset = build_dataset(config) if config.data is not None else None
        built = build(config, dataset)
    result = profile(config, built, arguments.rounds)
    if arguments.json:
        print(json.dumps(result, indent=1))
        return
    _print(result)


def _print(result: dict[str, Any]) -> None:
    console = Console()
    height, width = result["image_size"]
    table = Table(
        title=f"{result['name']} at {height} x {width}, batch 1", title_justify="left", caption=result["convention"]
    )
    for column in ("", "GMAC", "GFLOP", "params M", "MB stored", "MB peak", "ms median", "ms p95"):
        table.add_column(column, justify="left" if not column else "right")
    for name in ROWS:
        cost = result[name]
        table.add_row(
            name.replace("_", " "),
            f"{cost['macs'] / 1e9:.3f}",
            f"{cost['flops'] / 1e9:.3f}",
            f"{cost['params'] / 1e6:.3f}",
            f"{cost['bytes'] / 1e6:.1f}",
            f"{cost['peak_memory'] / 1e6:.1f}",
            f"{cost['latency_ms']['median']:.1f}",
            f"{cost['latency_ms']['p95']:.1f}",
        )
    console.print(table)
    shares = result["ratio_to_single_task"]["deployed"]
    words = ", ".join(f"{key.replace('_', ' ')} {value:.3f} x" for key, value in shares.items())
    console.print(f"deployed, relative to deployed single-task networks: {words}")
    decoder = ", ".join(f"{key} {value}" for key, value in result["single_task_decoder"].items())
    console.print(f"decoder of the single-task networks: {decoder}", highlight=False)
    for row in result["published"]:
        console.print(f"published: {row}", highlight=False)
