"""``frugalmtl evaluate RUN``."""

from __future__ import annotations

import argparse

from frugalmtl.cli._arguments import CommandParser, add_budget, command_parser, interactive, open_run


def parser() -> CommandParser:
    """Arguments of the command."""
    parser = command_parser("evaluate")
    parser.add_argument("run", help="folder of a trained run")
    parser.add_argument("--split", default=None, help="split of the dataset (default: the config's test_split)")
    add_budget(parser)
    parser.add_argument(
        "--training_model", action="store_true", help="score the training model instead of the deployed one"
    )
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Print and write the scores."""
    from frugalmtl.experiment.runs.training import evaluate_run

    opened = open_run(arguments)
    split = arguments.split or opened.config.test_split
    evaluate_run(opened, split, deployed=not arguments.training_model, progress=interactive())
