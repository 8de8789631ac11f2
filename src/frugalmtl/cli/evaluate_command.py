"""``frugalmtl evaluate RUN``."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace

from frugalmtl.cli._arguments import command_parser, interactive


def parser() -> ArgumentParser:
    """Arguments of the command."""
    made = command_parser("evaluate")
    made.add_argument("run", type=str, help="folder of a trained run")
    made.add_argument(
        "--split", type=str | None, default=None, help="split of the dataset (default: the config's test_split)"
    )
    made.add_argument(
        "--training_model", action="store_true", help="score the training model instead of the deployed one"
    )
    return made


def run(arguments: Namespace) -> None:
    """Print and write the scores."""
    from frugalmtl.experiment.runs.run import Run
    from frugalmtl.experiment.runs.training import evaluate_run

    opened = Run.open(arguments.run)
    split = arguments.split or opened.config.test_split
    evaluate_run(opened, split, deployed=not arguments.training_model, progress=interactive())
