"""Results of a comparison, collected from finished runs for the report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from frugalmtl.core.checks import UserError
from frugalmtl.core.types import Scores
from frugalmtl.data import Dataset
from frugalmtl.deployment import DeployedModel
from frugalmtl.evaluation.aggregate import spread
from frugalmtl.evaluation.confusion import Confusion
from frugalmtl.evaluation.cost import CONVENTION
from frugalmtl.evaluation.delta import delta_mtl, mean_rank
from frugalmtl.evaluation.evaluator import build_metrics
from frugalmtl.experiment.comparison.notes import cost_notes, elsewhere_notes, gaps, protocol_notes, remark_notes
from frugalmtl.experiment.config.comparison import Comparison, one_per_training, row_text
from frugalmtl.experiment.config.files import as_plain
from frugalmtl.experiment.measure.profiling import LATENCIES
from frugalmtl.experiment.measure.targets import target_macs
from frugalmtl.experiment.measure.training_cost import StepFigures
from frugalmtl.experiment.runs.build import Built
from frugalmtl.experiment.runs.environment import environment, hardware
from frugalmtl.experiment.runs.folder import RunFolder
from frugalmtl.experiment.runs.run import Run
from frugalmtl.experiment.runs.streams.clock import time_elsewhere
from frugalmtl.report import (
    Cost,
    Epoch,
    Latency,
    Protocol,
    Results,
    Row,
    RowCost,
    SeedResult,
    StepCost,
    TaskInfo,
    summarise_seeds,
)
from frugalmtl.tasks import Task


def collect(
    comparison: Comparison,
    runs: Mapping[str, Sequence[Run]],
    dataset: Dataset,
    loaded: Mapping[str, tuple[Built, DeployedModel]],
    costs: Mapping[str, dict[str, Any]],
    counts: Mapping[str, Sequence[Mapping[str, Any]]],
    created: str,
    steps: Mapping[str, StepFigures] | None = None,
) -> Results:
    """Scores, Delta_MTL, mean rank and cost of every row.

    Args:
        comparison: the comparison's config.
        runs: finished and evaluated runs of every row, one per seed, in the order of the seeds.
        dataset: gives the split's size.
        loaded: objects and deployed model of each row's first run.
        costs: ``{"ROW training" | "ROW deployed": figures}`` of :func:`frugalmtl.experiment.measure.profiling.measure`.
        counts: ``macs``, ``flops`` and ``params`` of the deployed model of each row's runs.
        created: date and time.
        steps: cost of a training step of the rows in which it was measured.
    """
    tasks = [task for task in loaded[comparison.reference][0].tasks if not task.auxiliary]
    first = runs[comparison.reference][0].config
    facts = environment()
    primary = {
        row: [primary_scores(run, first.test_split, tasks) for run in row_runs] for row, row_runs in runs.items()
    }
    directions = {task.name: task.higher_is_better for task in tasks}
    undefined = [task.name for task in tasks if any(scores[task.name] == 0 for scores in primary[comparison.reference])]
    rows = []
    for name, row_runs in runs.items():
        seeds = [
            SeedResult(
                seed=run.config.seed,
                scores=run.scores(first.test_split),
                train_seconds=run.train_seconds(),
                epochs=len(run.epochs()),
                kept_epoch=run.kept_epoch() + 1,
                history_file=str(run.history),
                macs=float(counted["macs"]),
                params=float(counted["params"]),
            )
            for run, counted in zip(row_runs, counts[name], strict=True)
        ]
        mean, std = summarise_seeds(seeds)
        pairs = zip(primary[name], primary[comparison.reference], strict=True)
        gain = spread([math.nan if undefined else delta_mtl(scores, single, directions) for scores, single in pairs])
        config, encoder = row_runs[0].config, loaded[name][0].model.encoder
        there = time_elsewhere(loaded[name][0], float(costs[f"{name} deployed"]["macs"]))
        rows.append(
            Row(
                name=name,
                title=row_text(comparison, name, "title", name),
                curve=row_text(comparison, name, "curve", ""),
                encoder=config.encoder["name"],
                decoder=config.decoder["name"],
                balancer=config.balancer["name"],
                backbone=str(config.backbone.get("model", config.backbone["name"])),
                seeds=seeds,
                scores_mean=mean,
                scores_std=std,
                delta_mtl_mean=gain.mean,
                delta_mtl_std=gain.std,
                cost=RowCost(
                    _cost(costs[f"{name} training"]),
                    _cost(costs[f"{name} deployed"] | _means(counts[name])),
                    _step(steps[name]) if steps and name in steps else None,
                ),
                budget=row_runs[0].point or encoder.budget,
                target_macs=_or_nan(target_macs(row_runs[0], loaded[name][0])),
                target_latency_ms=_or_nan(encoder.target_latency_ms),
                target_runtime=encoder.target_runtime,
                target_place="" if there is None else there.place,
                milliseconds_there=math.nan if there is None else there.milliseconds,
                pictures=encoder.pictures(),
                affinity=mean_affinity([run.epochs() for run in row_runs]),
                confusions=summed_confusions([run.confusions(first.test_split) for run in row_runs]),
                config=as_plain(config),
                environment=row_runs[0].environment(),
                run_dirs=[str(run.folder) for run in row_runs],
            )
        )
    means = {row.name: _primary(row.scores_mean, tasks) for row in rows}
    unscored = [task.name for task in tasks if any(math.isnan(values[task.name]) for values in means.values())]
    ranks = dict.fromkeys(means, math.nan) if unscored else mean_rank(means, directions)
    for row in rows:
        row.mean_rank = ranks[row.name]
    split = dataset.split(first.test_split)
    size = loaded[comparison.reference][0].image_size
    return Results(
        name=comparison.name,
        created=created,
        protocol=Protocol(
            dataset=str((first.data or {}).get("name", "")),
            split=first.test_split,
            split_size=len(split),
            image_size=list(size),
            epochs=first.train.epochs,
            seeds=list(comparison.seeds),
            hardware=hardware(facts),
            versions=facts["versions"],
            flop_convention=CONVENTION,
            notes=[
                *protocol_notes(comparison, {name: row_runs[0] for name, row_runs in runs.items()}),
                *cost_notes({row.name: row.cost.deployed for row in rows}, first.test_split),
                *elsewhere_notes({row.title or row.name: row.target_place for row in rows if row.target_place}),
                *gaps(undefined, unscored),
                *remark_notes({name: [run.remarks(first.test_split) for run in each] for name, each in runs.items()}),
            ],
        ),
        tasks=[_task_info(task) for task in tasks],
        reference=comparison.reference,
        rows=rows,
        published=[row.row() for row in comparison.published],
        colour_by=comparison.colour_by or "",
        curves={name: [_epoch(record, tasks) for record in runs[name][0].epochs()] for name in one_per_training(runs)},
    )


def mean_affinity(seeds: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, dict[str, float]]:
    """Inter-task affinity ``{task that steps: {task that feels it: mean}}`` from the epoch records of every seed.

    Mean over the epochs in which it was measured, then over the seeds with any; empty if it never was.

    >>> mean_affinity([[{"affinity": {"a>b": 0.25}}, {}, {"affinity": {"a>b": 0.75}}], [{}]])
    {'a': {'b': 0.5}}
    """
    measured = [[record["affinity"] for record in records if record.get("affinity")] for records in seeds]
    result: dict[str, dict[str, float]] = {}
    for pair in dict.fromkeys(key for epochs in measured for epoch in epochs for key in epoch):
        each = [[epoch[pair] for epoch in epochs if math.isfinite(epoch.get(pair, math.nan))] for epochs in measured]
        means = [spread(values).mean for values in each if values]
        stepping, _, feeling = pair.partition(">")
        if means:
            result.setdefault(stepping, {})[feeling] = spread(means).mean
    return result


def summed_confusions(seeds: Sequence[Mapping[str, Confusion]]) -> dict[str, list[list[int]]]:
    """The confusion matrices of every task, summed over seeds; left out where a seed has none."""
    result = {}
    for task in seeds[0]:
        if all(task in seed for seed in seeds):
            matrices = [seed[task].counts for seed in seeds]
            result[task] = [[sum(cells) for cells in zip(*rows, strict=True)] for rows in zip(*matrices, strict=True)]
    return result


def primary_scores(run: RunFolder, split: str, tasks: Sequence[Task]) -> dict[str, float]:
    """The score that counts of each task, from a run's kept scores of a split.

    Raises:
        UserError: the split was not evaluated, or the file is damaged or lacks one of them.
    """
    scores = run.scores(split)
    for task in tasks:
        if task.primary not in scores.get(task.name, {}):
            raise UserError(
                f"{run.scores_file(split)} has no {task.primary} of task {task.name!r}: delete it; the "
                "next evaluation writes it again"
            )
    return _primary(scores, tasks)


def rank_rows(results: Results) -> list[str]:
    """Rows by Delta_MTL, best first; rows without one last."""

    def key(row: Row) -> float:
        return row.delta_mtl_mean if math.isfinite(row.delta_mtl_mean) else -math.inf

    return [row.name for row in sorted(results.rows, key=key, reverse=True)]


def _primary(scores: Scores, tasks: Sequence[Task]) -> dict[str, float]:
    return {task.name: scores[task.name][task.primary] for task in tasks}


def _task_info(task: Task) -> TaskInfo:
    units = {key: unit for metric in build_metrics(task) for key, unit in metric.units.items()}
    return TaskInfo(
        name=task.name,
        primary=task.primary,
        higher_is_better=task.higher_is_better,
        kind=task.kind,
        unit=units.get(task.primary, ""),
        weight=float(task.weight),
        legend=dict(task.legend),
        reads=task.reads,
        classes=list(task.classes),
    )


def _epoch(record: Mapping[str, Any], tasks: Sequence[Task]) -> Epoch:
    scores = record.get("scores", {})
    return Epoch(
        epoch=record["epoch"] + 1,
        # The loss of the final prediction alone: with deep supervision the sum would not compare between rows.
        loss={task.name: record["parts"][task.name] for task in tasks if task.name in record["parts"]},
        metric={task.name: scores[task.name][task.primary] for task in tasks if task.name in scores},
        # Of auxiliary tasks too: they pull at what is shared like any other.
        **{key: dict(record.get(key, {})) for key in ("weights", "norms", "cosines", "conflicts", "statistics")},
    )


def _means(counts: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """What was counted on the model of every seed, as the mean over seeds."""
    keys = ("macs", "macs_p5", "macs_p95", "flops", "params")
    return {key: spread([float(counted[key]) for counted in counts]).mean for key in keys}


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _cost(figures: Mapping[str, Any]) -> Cost:
    keys = ("macs", "flops", "params", "bytes", "peak_memory", "macs_p5", "macs_p95")
    plain: dict[str, Any] = {key: float(figures[key]) for key in keys}
    times: dict[str, Any] = {
        name: Latency(**{key: figures[name][key] for key in ("median", "p95", "typical", "images", "batch", "runtime")})
        for name in LATENCIES
        if name in figures
    }
    return Cost(**plain, images=figures["images"], **times)


def _step(figures: StepFigures) -> StepCost:
    return StepCost(float(figures.median_ms), float(figures.memory))
