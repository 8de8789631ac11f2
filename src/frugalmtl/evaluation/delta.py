"""Scores over tasks: Delta_MTL and mean rank."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Literal

from scipy.stats import rankdata

from frugalmtl.core.checks import UserError, known

_Scores = Mapping[str, float] | Mapping[str, Mapping[str, float]]
_Directions = Mapping[str, bool] | Mapping[str, Mapping[str, bool]]


def delta_mtl(
    scores: _Scores,
    baseline: _Scores,
    directions: _Directions,
    *,
    per_task: Literal["primary", "average"] = "primary",
) -> float:
    """Mean relative gain over single-task models, in per cent; above 0 means better than they.

    ``Delta = 100 / T * sum_i (-1)^(l_i) (M_i - B_i) / B_i`` with ``l_i = 1`` where lower is better (Vandenhende et al.
    2021, sec. 4.1; Maninis et al. 2019). NaN scores give NaN.

    Args:
        scores: ``{task: value of its primary metric}``; with ``per_task="average"``, ``{task: {metric: value}}``.
        baseline: the same of the single-task models; its tasks are the ones that count.
        directions: the same keys: is higher better? More keys than the baseline's may be given.
        per_task: ``"primary"``: one metric a task; ``"average"``: relative gains are averaged over the metrics of a
            task first, then over tasks (LibMTL, Lin & Zhang 2023).

    Raises:
        UserError: a task or metric is missing somewhere, scored but not in the baseline, zero in the baseline, or
            values do not have the form that ``per_task`` asks for.

    Example:
        >>> scores, single = {"a": 44.4, "b": 0.587}, {"a": 43.9, "b": 0.585}
        >>> round(delta_mtl(scores, single, {"a": True, "b": False}), 2)
        0.4
    """
    known("per_task", per_task, ("primary", "average"))
    _same_keys("task", scores, baseline, directions)
    gains = []
    for task in baseline:
        value, single, higher = scores[task], baseline[task], directions[task]
        if per_task == "primary":
            gains.append(_gain(task, value, single, higher))
            continue
        if not (isinstance(value, Mapping) and isinstance(single, Mapping) and isinstance(higher, Mapping)):
            raise UserError(f"per_task='average' needs {{metric: value}} for task {task!r}, but got {value!r}")
        _same_keys(f"metric of task {task!r}", value, single, higher)
        within = [_gain(f"{task}/{metric}", value[metric], single[metric], higher[metric]) for metric in single]
        gains.append(math.fsum(within) / len(within))
    return 100 * math.fsum(gains) / len(gains)


def mean_rank(
    rows: Mapping[str, Mapping[str, float]],
    directions: Mapping[str, bool],
    *,
    ties: Literal["average", "min"] = "average",
) -> dict[str, float]:
    """Rank every row per task among all rows, 1 = best, and average over tasks (Bejnordi et al. 2024, "MR").

    Every row counts, single-task models included, so adding or removing one changes the ranks of the others. Tie
    handling is not stated there; ``"min"`` reproduces its Table 9. ``"average"`` (default) keeps the sum of ranks
    whatever the ties.

    Args:
        rows: ``{method: {task: value}}``.
        directions: ``{task: is higher better?}``; its tasks are the ones that count.
        ties: rank of equal values: the mean of the ranks they take up, or the lowest of them.

    Raises:
        UserError: no row or task, a row lacks a task, or a value is not a number.

    Example:
        >>> mean_rank({"one": {"a": 1.0, "b": 5.0}, "two": {"a": 2.0, "b": 5.0}}, {"a": True, "b": False})
        {'one': 1.75, 'two': 1.25}
    """
    known("ties", ties, ("average", "min"))
    if not rows or not directions:
        raise UserError("mean_rank needs at least one row and one task")
    totals = dict.fromkeys(rows, 0.0)
    for task, higher in directions.items():
        values = []
        for name, row in rows.items():
            if task not in row or math.isnan(row[task]):
                raise UserError(
                    f"mean_rank needs a number for task {task!r} in row {name!r}, but got {row.get(task)!r}"
                )
            values.append(-row[task] if higher else row[task])
        for name, rank in zip(rows, rankdata(values, method=ties), strict=True):
            totals[name] += float(rank)
    return {name: total / len(directions) for name, total in totals.items()}


def _gain(what: str, value: object, single: object, higher: object) -> float:
    """Relative gain of one metric, positive where ``value`` is better."""
    if isinstance(value, Mapping) or isinstance(single, Mapping) or isinstance(higher, Mapping):
        raise UserError(f"Delta needs one number for {what!r}: pick the primary metric or ask for per_task='average'")
    reference = float(single)  # type: ignore[arg-type]  # numbers of any kind, 0-d tensors included
    if reference == 0:
        raise UserError(f"the baseline of {what!r} is 0, so a relative gain is not defined: leave it out of Delta")
    gain = (float(value) - reference) / reference  # type: ignore[arg-type]
    return gain if higher else -gain


def _same_keys(what: str, scores: Iterable[str], baseline: Iterable[str], directions: Iterable[str]) -> None:
    wanted, scored, directed = set(baseline), set(scores), set(directions)
    if not wanted:
        raise UserError(f"Delta needs at least one {what} in the baseline")
    for where, missing in (
        ("the scores", wanted - scored),
        ("the baseline", scored - wanted),
        ("the directions", wanted - directed),
    ):
        if missing:
            raise UserError(
                f"Delta compares the same keys everywhere: {where} lack {what} {', '.join(sorted(missing))}"
            )
