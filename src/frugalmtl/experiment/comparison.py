"""Several experiments side by side: train, evaluate, deploy, measure, report."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from frugalmtl.core.checks import UserError, positive
from frugalmtl.data import Dataset
from frugalmtl.deploy import DeployedModel
from frugalmtl.experiment import processes
from frugalmtl.experiment.build import Built, build, build_dataset
from frugalmtl.experiment.config import Comparison, Experiment, row_experiments
from frugalmtl.experiment.gallery import photo_panels, test_panels
from frugalmtl.experiment.photographs import read_photo
from frugalmtl.experiment.profiling import measure
from frugalmtl.experiment.results import collect, published_row, rank_rows
from frugalmtl.experiment.runs import Predictor, Run
from frugalmtl.experiment.training import check_training, evaluate_run, start_weights, train_run
from frugalmtl.report import Results, load_results, print_table, write_report


def compare(comparison: Comparison, folder: Path, *, progress: bool = True, console: Console | None = None) -> Results:
    """Train every row and seed, continuing where an earlier call stopped; then evaluate, deploy, measure and report.

    Everything is checked, and every model built once, before the first file is written. Scores are those of the
    deployed models. Latencies of all rows are measured against each other in one interleaved run. With several training
    processes the first one reports; all return the same results.

    Args:
        comparison: the rows.
        folder: gets ``runs/ROW-seedN/``, ``results.json``, ``report.html``, ``figures/`` and ``predictions/``.
        progress: show progress bars.
        console: where the table is printed.

    Raises:
        UserError: a config does not fit, or the folder cannot be used.
    """
    console = console or Console()
    plans = {seed: row_experiments(comparison, seed) for seed in _seeds(comparison)}
    dataset = _dataset(plans)
    _check(comparison, plans, dataset, folder)
    first = next(iter(plans[comparison.seeds[0]].values()))
    if processes.first():
        dataset.prepare(list(dict.fromkeys(["train", first.evaluate_split, first.test_split])))
    runs: dict[str, list[Run]] = {row: [] for row in comparison.rows}
    for seed, experiments in plans.items():
        for row, experiment in experiments.items():
            path, title = _path(folder, row, seed), _title(comparison, row)
            start = _start(experiment, comparison, folder)
            run = train_run(experiment, path, dataset=dataset, start=start, progress=progress, title=title)
            evaluate_run(run, experiment.test_split, dataset=dataset, progress=progress, quiet=True, reuse=True)
            runs[row].append(run)
    if not processes.first():
        processes.wait()
        return load_results(folder / "results.json")
    results = _report(comparison, runs, dataset, folder)
    processes.wait()
    print_table(results, console)
    best = results.row(rank_rows(results)[0])
    if math.isfinite(best.delta_mtl_mean):
        console.print(f"best Delta_MTL: {best.label} ({best.delta_mtl_mean:+.2f} %)")
    console.print(f"report: {folder / 'report.html'}", soft_wrap=True)
    return results


def _seeds(comparison: Comparison) -> list[int]:
    if not comparison.seeds or len(set(comparison.seeds)) != len(comparison.seeds):
        raise UserError(f"seeds must be one or more different numbers, but got {comparison.seeds!r}")
    return comparison.seeds


def _dataset(plans: Mapping[int, Mapping[str, Experiment]]) -> Dataset:
    """The one dataset of all rows; rows on different data cannot be compared."""
    experiments = next(iter(plans.values()))
    (first_name, first), *others = experiments.items()
    for name, other in others:
        for key in ("data", "image_size", "fit", "test_split"):
            if getattr(other, key) != getattr(first, key):
                raise UserError(f"rows of a comparison must agree in {key!r}, but {name!r} differs from {first_name!r}")
    return build_dataset(first)


def _check(
    comparison: Comparison, plans: Mapping[int, Mapping[str, Experiment]], dataset: Dataset, folder: Path
) -> None:
    """Refuse what would otherwise come up after rows were trained, or at the very end.

    Raises:
        UserError: the first thing that does not fit.
    """
    positive("latency_rounds", comparison.latency_rounds)
    for row in comparison.published:
        published_row(row)
    for photo in comparison.photos:
        read_photo(photo)
    scored: dict[str, dict[str, tuple[str, bool]]] = {}
    for name, experiment in plans[comparison.seeds[0]].items():
        built = build(experiment, dataset)
        check_training(experiment, built, dataset)
        if experiment.init_from not in comparison.rows:
            start_weights(experiment)
        scored[name] = {task.name: (task.primary, task.higher_is_better) for task in built.tasks if not task.auxiliary}
    for name, tasks in scored.items():
        if tasks != scored[comparison.reference]:
            raise UserError(
                f"rows of a comparison must agree in what is scored, but {name!r} has {', '.join(tasks)} and the "
                f"reference {', '.join(scored[comparison.reference])}: give them the same 'tasks', or mark helpers "
                "as auxiliary"
            )
    for seed, experiments in plans.items():
        for name, experiment in experiments.items():
            Run.check(_path(folder, name, seed), experiment)


def _path(folder: Path, row: str, seed: int) -> Path:
    return folder / "runs" / f"{row}-seed{seed}"


def _start(experiment: Experiment, comparison: Comparison, folder: Path) -> Path | None:
    """Where ``init_from`` names an earlier row: the folder of that row's run of the same seed."""
    if experiment.init_from is None or experiment.init_from not in comparison.rows:
        return None
    return _path(folder, experiment.init_from, experiment.seed)


def _title(comparison: Comparison, row: str) -> str:
    return str((comparison.rows[row] or {}).get("title", row))


def _report(comparison: Comparison, runs: Mapping[str, list[Run]], dataset: Dataset, folder: Path) -> Results:
    loaded: dict[str, tuple[Built, DeployedModel]] = {row: own[0].deployed() for row, own in runs.items()}
    size = next(iter(loaded.values()))[0].image_size
    modules = {
        f"{row} training": built.model.to(memory_format=runs[row][0].config.train.memory_format)
        for row, (built, _) in loaded.items()
    }
    costs = measure(
        {**modules, **{f"{row} deployed": deployed for row, (_, deployed) in loaded.items()}},
        size,
        comparison.latency_rounds,
    )
    results = collect(
        comparison, runs, dataset, loaded, costs, datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    )
    predictors = {row: Predictor(*pair) for row, pair in loaded.items()}
    results.panels = test_panels(predictors, dataset, runs, comparison.panels, folder)
    best = rank_rows(results)[0]
    results.photos = photo_panels(best, predictors[best], comparison.photos, size, folder)
    write_report(results, folder)
    return results
