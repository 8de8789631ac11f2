"""Comparisons: several experiments trained, evaluated, deployed, measured and reported side by side."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from frugalmtl.core.disk.locks import hold, refuse_held
from frugalmtl.core.terminal import output_console, tracked, without_markup
from frugalmtl.data import Dataset
from frugalmtl.deployment import DeployedModel
from frugalmtl.experiment.comparison.announcement import announce
from frugalmtl.experiment.comparison.gallery import add_image_pictures, photo_panels, test_panels
from frugalmtl.experiment.comparison.results import collect, rank_rows
from frugalmtl.experiment.comparison.run_grid import RunGrid
from frugalmtl.experiment.comparison.turns import measuring
from frugalmtl.experiment.config.comparison import Comparison, row_text, trained_row
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.measure.profiling import measure
from frugalmtl.experiment.measure.training_cost import StepFigures, step_figures
from frugalmtl.experiment.runs import processes
from frugalmtl.experiment.runs.build import Built
from frugalmtl.experiment.runs.predictor import Predictor
from frugalmtl.experiment.runs.run import Run
from frugalmtl.experiment.runs.streams.images import SplitImages
from frugalmtl.export import OnnxSession, sessions_where_possible
from frugalmtl.report import Results, load_results, print_table, write_report


def compare(
    comparison: Comparison,
    folder: Path,
    *,
    progress: bool = True,
    console: Console | None = None,
    estimate: bool = False,
    checked: Sequence[Experiment] = (),
) -> Results:
    """Train every row and seed, continuing where an earlier call stopped; then evaluate, deploy, measure and report.

    Everything is checked, and every model built once, before the first file is written. Scores are those of the
    deployed models. Latencies of all rows are measured against each other in one interleaved run, while no process of
    a sweep in the same folder trains. With several training processes the first one reports; all return the same
    results.

    Args:
        comparison: the rows.
        folder: gets ``runs/ROW-seedN/``, ``results.json``, ``report.html``, ``figures/`` and ``predictions/``.
        progress: show progress bars.
        console: where the table is printed.
        estimate: say first how long the trainings will take on this machine.
        checked: see :meth:`~frugalmtl.experiment.comparison.run_grid.RunGrid.of`.

    Raises:
        UserError: a config does not fit, the folder cannot be used, or another process uses it.
    """
    console = console or output_console()
    alone = processes.launched_first()
    if alone:
        refuse_held(folder)
    grid = RunGrid.of(comparison, folder, checked)
    with hold(folder) if alone else nullcontext():
        return _compare(grid, progress=progress, console=console, estimate=estimate)


def _compare(grid: RunGrid, *, progress: bool, console: Console, estimate: bool) -> Results:
    comparison, folder = grid.comparison, grid.folder
    if estimate and processes.first():
        with measuring(folder):
            announce(grid, output_console(stderr=True))
    grid.prepare()
    for seed, row in grid.cells():
        grid.train(row, seed, progress=progress)
    if not processes.first():
        processes.wait()
        return load_results(folder / "results.json")
    with measuring(folder):
        results = _report(comparison, grid.reported(), grid.dataset, folder, progress=progress)
    processes.wait()
    print_table(results, console)
    best = results.row(rank_rows(results)[0])
    if best.name == results.reference:
        console.print(f"no row is above the reference, {without_markup(best.label)}, in Delta_MTL", highlight=False)
    elif math.isfinite(best.delta_mtl_mean):
        console.print(f"best Delta_MTL: {without_markup(best.label)} ({best.delta_mtl_mean:+.2f} %)", highlight=False)
    console.print(f"report: {without_markup(folder / 'report.html')}")
    return results


def _report(
    comparison: Comparison, runs: Mapping[str, list[Run]], dataset: Dataset, folder: Path, *, progress: bool
) -> Results:
    first = [(row, seeds[0]) for row, seeds in runs.items()]
    loaded = {row: pair for row, _, pair in _deployed(tracked(first, "deploying", shown=progress))}
    size = next(iter(loaded.values()))[0].image_size
    modules = {  # one for all points of a training
        f"{trained_row(row)} training": built.model.to(memory_format=runs[row][0].config.train.memory_format)
        for row, (built, _) in loaded.items()
    }
    images = SplitImages(dataset, runs[comparison.reference][0].config.test_split)
    seen = {row: images.seen_by(built, runs[row][0].config) for row, (built, _) in loaded.items()}
    files, not_timed = _files(comparison, loaded, progress=progress)
    costs = measure(
        {**modules, **{f"{row} deployed": deployed for row, (_, deployed) in loaded.items()}},
        size,
        comparison.latency_rounds,
        {name: each for row, each in seen.items() for name in (f"{trained_row(row)} training", f"{row} deployed")},
        progress=progress,
        files={f"{row} deployed": session for row, session in files.items()},
    )
    costs |= {f"{row} training": costs[f"{trained_row(row)} training"] for row in runs}
    # A method that prunes gives another network per seed: each is counted, only the first is timed.
    counts: dict[str, list[Mapping[str, Any]]] = {row: [costs[f"{row} deployed"]] for row in runs}
    others = [(row, seeds[number]) for number in range(1, len(comparison.seeds)) for row, seeds in runs.items()]
    for row, run, pair in _deployed(tracked(others, "counting operations of the other seeds", shown=progress)):
        counts[row].append(run.cost(images=images, deployed=pair).as_dict())
    steps = _steps(comparison, runs, loaded) if comparison.step_rounds else {}
    created = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    results = collect(comparison, runs, dataset, loaded, costs, counts, created, steps)
    results.protocol.notes += not_timed
    add_image_pictures(results, loaded, dataset, runs, folder)
    predictors = {row: Predictor(*pair, runs[row][0].config) for row, pair in loaded.items()}
    results.panels = test_panels(predictors, dataset, runs, comparison.panels, folder)
    best = rank_rows(results)[0]
    results.photos = photo_panels(best, predictors[best], comparison.photos, size, folder)
    write_report(results, folder)
    return results


def _deployed(runs: Iterable[tuple[str, Run]]) -> Iterator[tuple[str, Run, tuple[Built, DeployedModel]]]:
    """Runs of rows, deployed; points of one training that follow each other are those of one deployed model."""
    folder, pair = None, None
    for row, run in runs:
        if pair is None or run.folder != folder:
            folder, pair = run.folder, replace(run, point=None).deployed()
        yield row, run, pair if run.point is None else (pair[0], pair[1].at(run.point))


def _files(
    comparison: Comparison, loaded: Mapping[str, tuple[Built, DeployedModel]], *, progress: bool
) -> tuple[dict[str, OnnxSession], list[str]]:
    """The ONNX files of rows in onnxruntime, where those times are asked for, and why rows have none."""
    asked = {row: built.model.encoder.target_runtime == "onnxruntime" for row, (built, _) in loaded.items()}
    rows = [row for row in loaded if asked[row] or "onnxruntime" in comparison.runtimes]
    size = next(iter(loaded.values()))[0].image_size
    files, reasons = sessions_where_possible({row: loaded[row][1] for row in rows}, size, progress=progress)
    return files, [
        f"{row_text(comparison, row, 'title', row)} was not timed in onnxruntime: {reason}."
        for row, reason in reasons.items()
    ]


def _steps(
    comparison: Comparison, runs: Mapping[str, list[Run]], loaded: Mapping[str, tuple[Built, DeployedModel]]
) -> dict[str, StepFigures]:
    """What a training step of each row costs, at the reference's batch size; one for all points of a training."""
    figures = step_figures(
        {trained_row(row): built for row, (built, _) in loaded.items()},
        batch_size=runs[comparison.reference][0].config.train.batch_size,
        rounds=comparison.step_rounds,
        settings={trained_row(row): seeds[0].config.train for row, seeds in runs.items()},
    )
    return {row: figures[trained_row(row)] for row in runs}
