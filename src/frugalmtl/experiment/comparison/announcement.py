"""Announcement of how long a comparison will take, before it begins."""

from __future__ import annotations

import datetime

from rich.console import Console

from frugalmtl.core.recipe import TRAIN
from frugalmtl.experiment.comparison.run_grid import RunGrid
from frugalmtl.experiment.measure.duration import duration_text, expected_seconds
from frugalmtl.experiment.runs.build import build
from frugalmtl.experiment.runs.start import start_of
from frugalmtl.experiment.runs.streams.parts import stream_parts

REPORT_SECONDS = 40.0
"""Time for measuring, drawing and writing after the trainings: that of the demo's report on two cores."""


def announce(grid: RunGrid, console: Console) -> None:
    """Print how long the trainings that are not finished yet will take on this machine, if there are any.

    A step of every row and stage is timed for it, which takes some seconds for small networks.
    """
    pending = [(seed, row) for seed, row in grid.cells() if not grid.run(row, seed).finished]
    if not pending:
        return
    console.print("measuring how long this will take ...")
    durations = {row: row_seconds(grid, row) for row in dict.fromkeys(row for _, row in pending)}
    seconds = sum(durations[row] for _, row in pending) + REPORT_SECONDS
    end = datetime.datetime.now().astimezone() + datetime.timedelta(seconds=seconds)
    trainings = "1 training" if len(pending) == 1 else f"{len(pending)} trainings"
    console.print(
        f"{trainings} and the report: about {duration_text(seconds)} on this machine, until about {end:%H:%M}"
    )


def row_seconds(grid: RunGrid, row: str) -> float:
    """Seconds that a run of a row will take: its steps, its evaluations and, where it is reported, its final one."""
    seed = grid.comparison.seeds[0]
    config, source = grid.experiments[seed][row], grid.source(row, seed)
    evaluations = config.train.epochs // config.train.evaluate_every if config.train.evaluate_every else 0
    images = {split: len(grid.dataset.split(split)) for split in (config.evaluate_split, config.test_split)}
    evaluated = evaluations * images[config.evaluate_split]
    evaluated += images[config.test_split] * len(grid.results(row, seed))
    built = build(config, grid.dataset)
    if source is None or source.finished:  # else it is timed in the shape that it has before it takes a structure
        start = start_of(config, None if source is None else source.folder)
        if start is not None:
            start.restructure(built.model)
    trained = len(stream_parts(built, grid.dataset)[TRAIN].samples)
    return expected_seconds(config, built, trained, evaluated)
