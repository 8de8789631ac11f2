"""``frugalmtl schema``."""

from __future__ import annotations

import argparse
import json

from frugalmtl.cli._arguments import CommandParser, command_parser


def parser() -> CommandParser:
    """Arguments of the command."""
    return command_parser("schema")


def run(_: argparse.Namespace) -> None:
    """Print the JSON Schema of config files."""
    from frugalmtl.core.schema.json_schema import json_schema
    from frugalmtl.experiment.config.comparison import Comparison
    from frugalmtl.experiment.config.experiment import Experiment
    from frugalmtl.experiment.config.sweep import Sweep

    print(json.dumps(json_schema("Config of frugalmtl", (Experiment, Comparison, Sweep)), indent=1))
