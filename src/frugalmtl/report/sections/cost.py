"""Cost of an image, as trained and as deployed, and cost of a training step."""

from __future__ import annotations

import math

from markupsafe import Markup

from frugalmtl.report.columns import (
    Column,
    Entry,
    cost_range,
    cost_spread,
    cost_value,
    counted_images,
    ratio,
    step_baseline,
)
from frugalmtl.report.costs import Cost, Latency, StepCost
from frugalmtl.report.formatting import decimals_for, finite, percent, scale_for
from frugalmtl.report.page import Page
from frugalmtl.report.results import Results, Row
from frugalmtl.report.sections.base import Section

_TITLES = {
    "macs": "MACs",
    "flops": "FLOPs",
    "params": "parameters",
    "bytes": "stored",
    "peak_memory": "peak memory",
    "latency_ms": "eager latency",
    "batch_latency_ms": "eager latency in a batch",
    "onnxruntime_latency_ms": "onnxruntime latency",
    "onnxruntime_batch_latency_ms": "onnxruntime latency in a batch",
}


class CostTables(Section):
    """A table of images and, where it was measured, one of training steps: their unit is a batch."""

    title = "Cost"
    order = 80

    def render(self, page: Page) -> Markup:
        """Always there."""
        columns = cost_columns(page.results)
        return page.render(
            "cost.html",
            columns=columns,
            costs=[(row, _cost_lines(page.results, row, columns)) for row in page.results.rows],
            step_columns=step_columns(page.results) if any(row.cost.step for row in page.results.rows) else [],
            baseline=step_baseline(page.results),
            images=counted_images(page.results),
        )


def cost_columns(results: Results) -> list[Column]:
    """A column, still empty, for each figure that any model has, in the unit in which it reads best."""
    costs = [cost for row in results.rows for cost in (row.cost.training, row.cost.deployed)]
    columns = []
    for key, title in _TITLES.items():
        if values := finite(cost_value(cost, key) for cost in costs):
            scale, unit = scale_for(values, binary=key in ("bytes", "peak_memory"))
            if key.endswith("latency_ms"):
                scale, unit = 1.0, "ms, median (p95)"
                batch = max(getattr(cost, key).batch for cost in costs)
                title += f" of {batch}" if batch > 1 else ""
            places = decimals_for(value / scale for value in values)
            columns.append(Column(key, title, unit, False, places, scale=scale))
    return columns


def _cost_lines(results: Results, row: Row, columns: list[Column]) -> list[tuple[str, list[Entry]]]:
    """A row's lines: as trained, deployed, what deploying saved (if anything), share of the reference."""
    trained, deployed, lines = row.cost.training, row.cost.deployed, []
    lines.append(("as trained", [_entry(trained, column) for column in columns]))
    lines.append(("deployed", [_entry(deployed, column, cost_spread(row, column.key)) for column in columns]))
    saved = [1 - cost_value(deployed, column.key) / (cost_value(trained, column.key) or math.nan) for column in columns]
    if any(abs(part) > 0.005 for part in finite(saved)):
        lines.append(("saved by deploying", [Entry(part, percent(part)) for part in saved]))
    shares = [ratio(results, row, column.key) for column in columns]
    bars = [min(max(share, 0.0), 1.0) if math.isfinite(share) else None for share in shares]
    entries = [Entry(share, percent(share), bar=bar) for share, bar in zip(shares, bars, strict=True)]
    return [*lines, ("of the reference", entries)]


def _entry(cost: Cost, column: Column, deviation: float = math.nan) -> Entry:
    value, beside = cost_value(cost, column.key), column.beside(deviation, cost_range(cost, column.key))
    figure = getattr(cost, column.key)
    if isinstance(figure, Latency) and math.isfinite(figure.p95):
        beside = f"({column.text(figure.p95)})"
    return Entry(value, column.text(value), beside)


def step_columns(results: Results) -> list[Column]:
    """Time and memory of every row's training step, with their share of the baseline's."""
    columns, baseline = [], step_baseline(results)
    for key, title in (("median_ms", "time"), ("memory", "peak memory")):
        values = {row.name: float(getattr(row.cost.step or StepCost(), key)) for row in results.rows}
        scale, unit = (1.0, "ms, median") if key == "median_ms" else scale_for(values.values(), binary=True)
        column = Column(key, title, unit, False, decimals_for(value / scale for value in values.values()), scale=scale)
        for name, value in values.items():
            whole = values[baseline.name] if baseline and baseline.name != name else math.nan
            beside = percent(value / whole) if whole > 0 and math.isfinite(value) else ""
            missing = "not measured" if math.isnan(value) else ""
            column.entries[name] = Entry(value, column.text(value), beside, missing=missing)
        columns.append(column)
    return columns
