"""The results table as data, read by the page and by the terminal alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from frugalmtl.evaluation.aggregate import spread as spread_over_seeds
from frugalmtl.report.costs import Cost, Latency
from frugalmtl.report.formatting import NOT_MEASURED, decimals_for, finite, number, off_by, percent, scale_for, spread
from frugalmtl.report.results import Results, Row, TaskInfo

IN_FILE = "onnxruntime_latency_ms"


@dataclass(frozen=True)
class Entry:
    """One number of a table.

    Attributes:
        value: as it is stored; NaN where there is none.
        text: as it is written.
        spread: what stands beside it.
        best: no row of the column is better by more than the spread over seeds.
        missing: meaning of a number that is not there.
        bar: share of a bar that is filled, in [0, 1]; None for no bar.
        deviation: standard deviation over seeds, as it is stored; NaN where there is none.
    """

    value: float
    text: str
    spread: str = ""
    best: bool = False
    missing: str = ""
    bar: float | None = None
    deviation: float = math.nan


@dataclass(frozen=True)
class Column:
    """One measured column.

    Attributes:
        key: task name, or the name of the figure; published values use the same keys.
        name: heading.
        unit: of the written values.
        higher_is_better: direction, shown as an arrow; None where there is none.
        decimals: with which numbers are written.
        metric: of a task's column, the metric.
        scale: divisor of the stored values.
        signed: write a plus before positive values.
        entries: ``{row: entry}``.
    """

    key: str
    name: str
    unit: str
    higher_is_better: bool | None
    decimals: int
    metric: str = ""
    scale: float = 1.0
    signed: bool = False
    entries: dict[str, Entry] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Name and metric."""
        return f"{self.name} {self.metric}".rstrip()

    @property
    def arrow(self) -> str:
        """The better direction."""
        if self.higher_is_better is None:
            return ""
        return "↑" if self.higher_is_better else "↓"

    def text(self, value: float) -> str:
        """``value`` as this column writes it."""
        return number(value / self.scale, self.decimals, signed=self.signed)

    def beside(self, deviation: float, percentiles: tuple[float, float] | None = None) -> str:
        """``± deviation [low, high]``, as far as there are any."""
        parts = [spread(deviation / self.scale, self.decimals)]
        if percentiles is not None and all(map(math.isfinite, percentiles)):
            parts.append("[{},\u00a0{}]".format(*map(self.text, percentiles)))
        return " ".join(filter(None, parts))


def cost_value(cost: Cost, key: str) -> float:
    """One figure of a cost; of a latency what is typical."""
    value = getattr(cost, key)
    return value.milliseconds if isinstance(value, Latency) else float(value)


def cost_range(cost: Cost, key: str) -> tuple[float, float]:
    """5th and 95th percentile of a count over images; NaN where every image costs the same."""
    factor = {"macs": 1.0, "flops": 2.0}.get(key, math.nan) if cost.varies else math.nan
    return factor * cost.macs_p5, factor * cost.macs_p95


def counted_images(results: Results) -> int:
    """How many images of the split the multiply-adds that differ between them were counted on; 0 where none do."""
    costs = [cost for row in results.rows for cost in (row.cost.training, row.cost.deployed)]
    return max((cost.images for cost in costs if cost.varies), default=0)


def timed_in_file(results: Results) -> bool:
    """Whether any row's deployed model was timed as an ONNX file in onnxruntime."""
    return any(math.isfinite(cost_value(row.cost.deployed, IN_FILE)) for row in results.rows)


def cost_spread(row: Row, key: str) -> float:
    """Standard deviation of a deployed count over seeds; NaN where there is none, or where all seeds cost the same."""
    factor, counted = (2.0, "macs") if key == "flops" else (1.0, key)
    if counted not in ("macs", "params") or len(row.seeds) < 2:
        return math.nan
    std = factor * spread_over_seeds([float(getattr(seed, counted)) for seed in row.seeds]).std
    return std if std > 0 else math.nan


def off_budget(row: Row) -> float:
    """Measured cost divided by the budget, minus one: of the seed farthest from it; NaN without a budget in numbers.

    A budget of time is compared with the latency, which is measured on the first seed's model; one of another machine
    with the time that its latency file holds for such a model.
    """
    if row.target_place:
        return row.milliseconds_there / row.target_latency_ms - 1
    if row.target_latency_ms > 0:
        key = "onnxruntime_latency_ms" if row.target_runtime == "onnxruntime" else "latency_ms"
        return cost_value(row.cost.deployed, key) / row.target_latency_ms - 1
    if not row.target_macs > 0:
        return math.nan
    counted = [seed.macs for seed in row.seeds if math.isfinite(seed.macs)] or [row.cost.deployed.macs]
    return max((macs / row.target_macs - 1 for macs in counted), key=abs)


def ratio(results: Results, row: Row, key: str) -> float:
    """A figure of the deployed ``row`` divided by the reference's; NaN if either was not measured."""
    if key in row.ratio_to_reference:
        return row.ratio_to_reference[key]
    reference = cost_value(results.row(results.reference).cost.deployed, key)
    return cost_value(row.cost.deployed, key) / reference if reference > 0 else math.nan


def step_baseline(results: Results) -> Row | None:
    """The row that steps of training are held against: the first one within 5 % of the fastest step.

    Not the report's reference, whose networks may take a step each. None if no row has a measured step.
    """
    times = [(row, row.cost.step.median_ms) for row in results.rows if row.cost.step]
    fastest = min(finite(time for _, time in times), default=math.nan)
    return next((row for row, time in times if time <= 1.05 * fastest), None)


def score(row: Row, task: TaskInfo, metric: str = "") -> tuple[float, float]:
    """Mean and standard deviation of a metric (the primary one if none is named); NaN where there is none."""
    key = metric or task.primary
    return (
        row.scores_mean.get(task.name, {}).get(key, math.nan),
        row.scores_std.get(task.name, {}).get(key, math.nan),
    )


def columns(results: Results) -> list[Column]:
    """The measured columns: every task's primary metric, Delta_MTL, mean rank, and the deployed model's cost.

    Where a row has a budget, one more: what was asked and how far from it the measured cost is.
    """
    delta = {row.name: (row.delta_mtl_mean, row.delta_mtl_std) for row in results.rows}
    rank = {row.name: (row.mean_rank, math.nan) for row in results.rows}
    return [
        *(metric_column(results, task, task.primary) for task in results.tasks),
        _fill(Column("delta_mtl", "Δ_MTL", "%", True, 2, signed=True), delta),
        _fill(Column("mean_rank", "mean rank", "", False, 2), rank),
        _cost_column(results, "macs", "MACs", ""),
        _cost_column(results, "params", "params", ""),
        _cost_column(results, "latency_ms", "eager latency", "ms"),
        *([_cost_column(results, IN_FILE, "onnxruntime latency", "ms")] if timed_in_file(results) else []),
        *([_budget_column(results)] if any(row.budget for row in results.rows) else []),
    ]


def metric_columns(results: Results) -> list[Column]:
    """Every metric of every task; empty if there are none besides those of :func:`columns`."""
    metrics = dict.fromkeys(
        (place, metric)
        for place, task in enumerate(results.tasks)
        for row in results.rows
        for metric in row.scores_mean.get(task.name, {})
    )
    if all(metric == results.tasks[place].primary for place, metric in metrics):
        return []
    return [metric_column(results, results.tasks[place], metric) for place, metric in metrics]


def metric_column(results: Results, task: TaskInfo, metric: str) -> Column:
    """One metric of one task; unit and direction are known of the primary one."""
    scores = {row.name: score(row, task, metric) for row in results.rows}
    places = decimals_for(mean for mean, _ in scores.values())
    return _fill(Column(task.name, task.name, task.unit, task.higher_is_better, places, metric), scores)


def _budget_column(results: Results) -> Column:
    column = Column("budget", "budget", "", None, 2)
    for row in results.rows:
        off = off_budget(row) if row.budget else math.nan
        words = f"off by {off_by(off)}" if math.isfinite(off) else ""
        missing = "no budget, or none in numbers" if math.isnan(off) else ""
        column.entries[row.name] = Entry(off, row.budget or NOT_MEASURED, words, missing=missing)
    return column


def _cost_column(results: Results, key: str, title: str, unit: str) -> Column:
    values = {row.name: (cost_value(row.cost.deployed, key), cost_spread(row, key)) for row in results.rows}
    means = [mean for mean, _ in values.values()]
    scale, prefix = (1.0, "") if unit else scale_for(means)
    places = decimals_for([mean / scale for mean in means])
    ranges = {row.name: cost_range(row.cost.deployed, key) for row in results.rows}
    return _fill(Column(key, title, unit or prefix, False, places, scale=scale), values, ranges)


def _fill(
    column: Column, values: dict[str, tuple[float, float]], ranges: dict[str, tuple[float, float]] | None = None
) -> Column:
    """Write the entries; the best row is marked best, and so is every other that seeds do not tell from it.

    That is one that reads the same, or whose mean lies within the larger of the two standard deviations.

    Args:
        column: still empty.
        values: mean and standard deviation of each row.
        ranges: 5th and 95th percentile of each row.
    """
    better: Callable[[list[float]], float] = max if column.higher_is_better else min
    measured = [mean for mean, _ in values.values() if math.isfinite(mean)]
    texts = {column.text(mean) for mean in measured}
    best = better(measured) if len(texts) > 1 else math.nan
    noise = max((deviation for mean, deviation in values.values() if mean == best), default=math.nan)
    for name, (mean, deviation) in values.items():
        text, beside = column.text(mean), column.beside(deviation, (ranges or {}).get(name))
        within = abs(mean - best) <= max(finite([noise, deviation]), default=0.0)
        marked = math.isfinite(best) and (within or text == column.text(best))
        missing = "not measured" if math.isnan(mean) else ""
        column.entries[name] = Entry(mean, text, beside, marked, missing, deviation=deviation)
    return column


def pareto_front(points: dict[str, tuple[float, float]]) -> list[str]:
    """Names of the points ``(cost, gain)`` that no other beats in both, cheapest first; NaN takes no part.

    >>> pareto_front({"a": (1, 0.0), "b": (2, 3.0), "c": (3, 2.0)})
    ['a', 'b']
    """
    known = {name: point for name, point in points.items() if all(map(math.isfinite, point))}
    front: list[str] = []
    highest = -math.inf
    for name in sorted(known, key=lambda name: (known[name][0], -known[name][1])):
        if known[name][1] > highest:
            front.append(name)
            highest = known[name][1]
    return front


def answer(results: Results) -> str:
    """One or two sentences: the best Delta_MTL, the cheapest row, and whether the lead is larger than the spread."""
    reference = results.row(results.reference)
    rivals = [row for row in results.rows if row.name != reference.name and math.isfinite(row.delta_mtl_mean)]
    if not rivals:
        return "No row besides the reference has a Δ_MTL yet, so there is nothing to compare."
    ranked = sorted(rivals, key=lambda row: -row.delta_mtl_mean)
    best = ranked[0]
    verdict = (
        "is the most accurate" if best.delta_mtl_mean > 0 else "comes closest to the reference without reaching it"
    )
    share = _share(results, best)
    against = f" with {share} of the multiply-adds of {reference.label}" if share else f" against {reference.label}"
    first = f"{best.label} {verdict}: Δ_MTL {_delta(best)}{against}"
    priced = [row for row in rivals if _share(results, row)]
    if not priced:
        return f"{first}.{_caution(ranked)}"
    cheapest = min(priced, key=lambda row: (ratio(results, row, "macs"), -row.delta_mtl_mean))
    if ratio(results, cheapest, "macs") >= 1:
        return f"{first}; no row is cheaper than {reference.label}.{_caution(ranked)}"
    if cheapest is best:
        return f"{first}, the lowest cost as well.{_caution(ranked)}"
    last = f"{cheapest.label} is the cheapest: Δ_MTL {_delta(cheapest)} with {_share(results, cheapest)}"
    return f"{first}; {last}.{_caution(ranked)}"


def _delta(row: Row) -> str:
    deviation = spread(row.delta_mtl_std, 2)
    return "\u00a0".join(part for part in (number(row.delta_mtl_mean, 2, signed=True), deviation, "%") if part)


def _share(results: Results, row: Row) -> str:
    share = ratio(results, row, "macs")
    return percent(share) if math.isfinite(share) else ""


def _caution(ranked: list[Row]) -> str:
    """A reason not to trust the first place too much; empty if there is none."""
    if not math.isfinite(ranked[0].delta_mtl_std):
        return " One seed only: the spread between runs is not known."
    if len(ranked) > 1:
        lead = ranked[0].delta_mtl_mean - ranked[1].delta_mtl_mean
        deviations = [row.delta_mtl_std for row in ranked[:2] if math.isfinite(row.delta_mtl_std)]
        if lead < max(deviations):
            return f" The lead over {ranked[1].label} is smaller than the spread between seeds."
    return ""
