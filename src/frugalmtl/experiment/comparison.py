"""Several experiments side by side: train, evaluate, deploy, measure, report."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from frugalmtl.core.checks import UserError
from frugalmtl.data import Dataset
from frugalmtl.deploy import DeployedModel
from frugalmtl.experiment.build import Built, build, build_dataset
from frugalmtl.experiment.config import Comparison, Experiment, row_experiments
from frugalmtl.experiment.gallery import photo_panels, test_panels
from frugalmtl.experiment.profiling import measure
from frugalmtl.experiment.results import collect, rank_rows
from frugalmtl.experiment.runs import Predictor, Run
from frugalmtl.experiment.training import evaluate_run, train_run
from frugalmtl.report import Results, print_table, write_report


def compare(comparison: Comparison, folder: Path, *, progress: bool = True, console: Console | None = None) -> Results:
    """Train every row and seed, continuing where an earlier call stopped; then evaluate, deploy, measure and report.

    Everything is checked, and every model built once, before the first file is written. Scores are those of the
    deployed
    models. Latencies of all rows are measured against each other in one interleaved run.

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
    for experiment in plans[comparison.seeds[0]].values():
        build(experiment, dataset)
    first = next(iter(plans[comparison.seeds[0]].values()))
    dataset.prepare(list(dict.fromkeys(["train", first.evaluate_split, first.test_split])))
    runs: dict[str, list[Run]] = {row: [] for row in comparison.rows}
    for seed, experiments in plans.items():
        for row, experiment in experiments.items():
            path = folder / "runs" / f"{row}-seed{seed}"
            run = train_run(
                _with_start(experiment, runs), path, dataset=dataset, progress=progress, title=_title(comparison, row)
            )
            evaluate_run(run, experiment.test_split, dataset=dataset, progress=progress, quiet=True, reuse=True)
            runs[row].append(run)
    results = _report(comparison, runs, dataset, folder)
    print_table(results, console)
    best = rank_rows(results)[0]
    console.print(f"best Delta_MTL: {results.row(best).label} ({results.row(best).delta_mtl_mean:+.2f} %)")
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
        for key in ("data", "image_size", "test_split"):
            if getattr(other, key) != getattr(first, key):
                raise UserError(f"rows of a comparison must agree in {key!r}, but {name!r} differs from {first_name!r}")
    return build_dataset(first)


def _with_start(experiment: Experiment, runs: Mapping[str, list[Run]]) -> Experiment:
    """``init_from`` as a path where it names an earlier row: that row's run of the same seed."""
    if experiment.init_from is None or experiment.init_from not in runs:
        return experiment
    source = next(run for run in runs[experiment.init_from] if run.config.seed == experiment.seed)
    return replace(experiment, init_from=str(source.folder))


def _title(comparison: Comparison, row: str) -> str:
    return str(comparison.rows[row].get("title", row))


def _report(comparison: Comparison, runs: Mapping[str, list[Run]], dataset: Dataset, folder: Path) -> Results:
    loaded: dict[str, tuple[Built, DeployedModel]] = {row: own[0].deployed() for row, own in runs.items()}
    size = next(iter(loaded.values()))[0].image_size
    modules = {f"{row} training": built.model for row, (built, _) in loaded.items()}
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
