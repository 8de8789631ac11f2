"""The page's tables: results, all metrics, cost, configurations, conditions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import yaml

from frugalmtl.report._html import Markup, join, prose, tag
from frugalmtl.report._reading import write_value
from frugalmtl.report.columns import COST_FIELDS, Column, columns, cost_spread, cost_value, ratio, score, step_baseline
from frugalmtl.report.costs import Cost
from frugalmtl.report.formatting import NOT_MEASURED, decimals_for, duration, finite, number, percent, scale_for, spread
from frugalmtl.report.palette import RowStyle, row_styles
from frugalmtl.report.results import PublishedRow, Results, Row

_COST_TITLES = {
    "macs": "MACs",
    "flops": "FLOPs",
    "params": "parameters",
    "bytes": "stored",
    "peak_memory": "peak memory",
    "latency_ms": "latency",
}
_BUDGET = (
    "What the whole deployed model was asked to cost, and by how much its measured cost is off: counted operations of "
    "the seed farthest from the budget, or the median latency of the first seed where the budget is a time."
)


def row_name(results: Results, row: Row) -> Markup:
    """A row's marker, title and, for the reference, the word."""
    styles = row_styles(results)
    place = list(styles).index(row.name)
    style: RowStyle = styles[row.name]
    badge = join([" ", tag("span", "reference", class_="badge")]) if row.name == results.reference else None
    mark = tag("span", style.glyph, class_=f"mark r{place}", aria_hidden="true")
    return tag("span", mark, tag("span", row.label), badge, class_="row")


def results_table(results: Results) -> Markup:
    """Measured rows, then published ones apart from them."""
    measured = columns(results)
    tasks = {task.name for task in results.tasks}
    head = [tag("th", "Model", scope="col", class_="name")]
    for column in measured:
        unit = f" [{column.unit}]" if column.unit else ""
        words = "higher is better" if column.higher_is_better else "lower is better"
        arrow = tag("span", column.arrow, class_="arrow", title=words, aria_label=words, role="img")
        if not column.arrow:
            arrow = tag("span", "asked, off by")
        main, _, rest = column.title.partition(" ") if column.key in tasks else (column.title, "", "")
        sub = tag("span", f"{rest}{unit} ".lstrip(), arrow, class_="sub")
        head.append(tag("th", prose(main), sub, scope="col", class_="num" if column.key in tasks else "num figure"))
    bodies = [tag("tbody", *(_measured_row(results, row, measured) for row in results.rows))]
    if results.published:
        words = tag("span", "Published figures, copied from papers and not measured here", class_="stay")
        title = tag("tr", tag("th", words, colspan=len(measured) + 1, class_="divider", scope="rowgroup"))
        bodies.append(
            tag("tbody", title, *(_published_row(row, measured) for row in results.published), class_="published")
        )
    table = tag("table", tag("thead", tag("tr", *head)), *bodies, class_="results")
    return tag("div", table, class_="scroll", tabindex="0", role="region", aria_label="Results table")


def _measured_row(results: Results, row: Row, measured: list[Column]) -> Markup:
    parts = [part for part in (row.encoder, row.decoder, row.balancer, row.backbone) if part]
    made = tag("span", " · ".join(parts), class_="sub") if parts else None
    cells = [tag("th", row_name(results, row), made, scope="row", class_="name")]
    for column in measured:
        entry = column.entries[row.name]
        value = tag("strong", entry.text) if entry.best else tag("span", entry.text)
        deviation = tag("span", entry.spread, class_="spread") if entry.spread else None
        missing = column.missing if math.isnan(entry.value) else None
        cells.append(tag("td", value, deviation, class_="num best" if entry.best else "num", title=missing))
    return tag("tr", *cells, class_="reference" if row.name == results.reference else None)


def _published_row(row: PublishedRow, measured: list[Column]) -> Markup:
    known = {column.key for column in measured}
    rest = [f"{key} {value:g}" for key, value in row.values.items() if key not in known]
    notes = [row.source, row.convention, ", ".join(rest)]
    name = join([tag("span", "published", class_="badge"), tag("span", row.title)])
    cells = [
        tag(
            "th",
            name,
            tag("span", " · ".join(note for note in notes if note), class_="sub"),
            scope="row",
            class_="name",
        )
    ]
    for column in measured:
        value = row.values.get(column.key, math.nan)
        cells.append(tag("td", column.text(value) if math.isfinite(value) else "", class_="num"))
    return tag("tr", *cells)


def metrics_table(results: Results) -> Markup | None:
    """Every metric of every task, also those that Delta_MTL does not read; None if there are no others."""
    heads = {
        (task.name, metric): (task, metric)
        for task in results.tasks
        for row in results.rows
        for metric in row.scores_mean.get(task.name, {})
    }
    if all(metric == task.primary for task, metric in heads.values()):
        return None
    titles = [
        tag("th", task.name, tag("span", metric, class_="sub"), scope="col", class_="num")
        for task, metric in heads.values()
    ]
    places = [decimals_for(score(row, task, metric)[0] for row in results.rows) for task, metric in heads.values()]
    lines = []
    for row in results.rows:
        cells = []
        for (task, metric), digits in zip(heads.values(), places, strict=True):
            mean, deviation = score(row, task, metric)
            cells.append(
                tag("td", number(mean, digits), tag("span", spread(deviation, digits), class_="spread"), class_="num")
            )
        lines.append(tag("tr", tag("th", row_name(results, row), scope="row", class_="name"), *cells))
    table = tag(
        "table", tag("thead", tag("tr", tag("th", "Model", scope="col", class_="name"), *titles)), tag("tbody", *lines)
    )
    return tag("div", table, class_="scroll", tabindex="0", role="region", aria_label="All metrics")


def cost_table(results: Results) -> Markup:
    """Cost of one image as trained and as deployed, and the deployed model's share of the reference's cost."""
    costs = [cost for row in results.rows for cost in (row.cost.training, row.cost.deployed)]
    known = [key for key in COST_FIELDS if any(math.isfinite(cost_value(cost, key)) for cost in costs)]
    scales = {key: _unit(key, costs) for key in known}
    titles = [
        tag("th", _COST_TITLES[key], tag("span", scales[key][1], class_="sub"), scope="col", class_="num")
        for key in known
    ]
    bodies = [_cost_rows(results, row, known, scales) for row in results.rows]
    head = tag(
        "tr", tag("th", "Model", scope="col", class_="name"), tag("th", "State", scope="col", class_="state"), *titles
    )
    table = tag("table", tag("thead", head), *bodies, class_="cost")
    return tag("div", table, class_="scroll", tabindex="0", role="region", aria_label="Cost table")


def _cost_rows(results: Results, row: Row, known: list[str], scales: dict[str, tuple[float, str, int]]) -> Markup:
    """A row's lines: as trained, deployed, what deploying saved (if anything), share of the reference."""
    trained, deployed = row.cost.training, row.cost.deployed
    saved = [1 - cost_value(deployed, key) / (cost_value(trained, key) or math.nan) for key in known]
    spreads = {key: cost_spread(row, key) for key in known}
    lines = [("as trained", _costs(trained, known, scales)), ("deployed", _costs(deployed, known, scales, spreads))]
    if any(abs(part) > 0.005 for part in finite(saved)):
        lines.append(("saved by deploying", [tag("td", percent(part), class_="num") for part in saved]))
    lines.append(("of the reference", [_share(ratio(results, row, key)) for key in known]))
    name = tag("th", row_name(results, row), scope="rowgroup", rowspan=len(lines), class_="name")
    return tag(
        "tbody",
        *(
            tag(
                "tr",
                None if index else name,
                tag("th", state, scope="row", class_="state"),
                *cells,
                class_="share" if index > 1 else None,
            )
            for index, (state, cells) in enumerate(lines)
        ),
    )


def _unit(key: str, costs: list[Cost]) -> tuple[float, str, int]:
    values = [cost_value(cost, key) for cost in costs]
    if key == "latency_ms":
        return 1.0, "ms, median (p95)", decimals_for(values)
    scale, name = scale_for(values, binary=key in ("bytes", "peak_memory"))
    return scale, name, decimals_for(value / scale for value in values)


def _costs(
    cost: Cost,
    known: list[str],
    scales: dict[str, tuple[float, str, int]],
    spreads: Mapping[str, float] | None = None,
) -> list[Markup]:
    cells = []
    for key in known:
        scale, _, digits = scales[key]
        tail = None
        if key == "latency_ms" and math.isfinite(cost.latency_ms.p95):
            tail = tag("span", f"({number(cost.latency_ms.p95, digits)})", class_="spread")
        elif spreads and math.isfinite(spreads[key]):
            tail = tag("span", spread(spreads[key] / scale, digits), class_="spread")
        cells.append(tag("td", number(cost_value(cost, key) / scale, digits), tail, class_="num"))
    return cells


def _share(share: float) -> Markup:
    if not math.isfinite(share):
        return tag("td", NOT_MEASURED, class_="num")
    bar = tag(
        "span", tag("span", style=f"width:{min(max(share, 0.0), 1.0) * 100:.1f}%"), class_="bar", aria_hidden="true"
    )
    return tag("td", percent(share), bar, class_="num")


def step_table(results: Results) -> Markup | None:
    """Time and memory of a training step, and both as a share of the baseline's; None if no row has them.

    Apart from the cost of images: its unit is a batch, and it is held against another row.
    """
    steps = {row.name: row.cost.step for row in results.rows if row.cost.step}
    if not steps:
        return None
    baseline = step_baseline(results)
    times, sizes = ([getattr(step, key) for step in steps.values()] for key in ("median_ms", "memory"))
    scale, unit = scale_for(sizes, binary=True)
    fields = (
        ("median_ms", "time", "ms, median", 1.0, decimals_for(times)),
        ("memory", "peak memory", unit, scale, decimals_for(size / scale for size in sizes)),
    )
    titles = [
        tag("th", title, tag("span", words, class_="sub"), scope="col", class_="num")
        for _, title, words, _, _ in fields
    ]
    lines = []
    for row in results.rows:
        cells = []
        for key, _, _, divisor, digits in fields:
            value = float(getattr(steps[row.name], key)) if row.name in steps else math.nan
            whole = float(getattr(steps[baseline.name], key)) if baseline else math.nan
            share = percent(value / whole) if whole > 0 and math.isfinite(value) else ""
            tail = tag("span", share, class_="spread") if share and baseline is not row else None
            missing = "not measured" if math.isnan(value) else None
            cells.append(tag("td", number(value / divisor, digits), tail, class_="num", title=missing))
        lines.append(tag("tr", tag("th", row_name(results, row), scope="row", class_="name"), *cells))
    head = tag("thead", tag("tr", tag("th", "Model", scope="col", class_="name"), *titles))
    table = tag("table", head, tag("tbody", *lines))
    return tag("div", table, class_="scroll", tabindex="0", role="region", aria_label="Cost of a training step")


def configurations(results: Results) -> Markup:
    """Seeds, configuration and environment of every row, folded."""
    return join(_configuration(results, row) for row in results.rows)


def _configuration(results: Results, row: Row) -> Markup:
    parts = [tag("summary", row_name(results, row))]
    if row.seeds:
        lines = []
        for seed in row.seeds:
            scores = [score(Row("", scores_mean=seed.scores), task)[0] for task in results.tasks]
            values = [tag("td", number(value, decimals_for([value])), class_="num") for value in scores]
            took = tag("td", duration(seed.train_seconds), class_="num")
            lines.append(tag("tr", tag("th", seed.seed, scope="row"), *values, took, tag("td", seed.history_file)))
        titles = [tag("th", f"{task.name} {task.primary}", scope="col", class_="num") for task in results.tasks]
        after = [tag("th", "training took", scope="col", class_="num"), tag("th", "history", scope="col")]
        head = tag("thead", tag("tr", tag("th", "seed", scope="col"), *titles, *after))
        table = tag("table", head, tag("tbody", *lines))
        parts += [
            tag("h3", "Seeds"),
            tag("div", table, class_="scroll", tabindex="0", role="region", aria_label="Seeds"),
        ]
    if row.run_dirs:
        parts += [tag("h3", "Runs"), tag("ul", *(tag("li", tag("code", path)) for path in row.run_dirs))]
    for title, content in (("Configuration", row.config), ("Environment", row.environment)):
        if content:
            parts += [tag("h3", title), tag("pre", _plain(content), tabindex="0")]
    return tag("details", *parts)


def _plain(content: dict[str, Any]) -> str:
    return yaml.safe_dump(
        write_value(content), sort_keys=False, allow_unicode=True, default_flow_style=False, width=110
    )


def conditions(results: Results) -> Markup:
    """How the numbers were measured: the protocol, then the conventions."""
    given = results.protocol
    size = " × ".join(map(str, given.image_size))
    facts = [
        ("Dataset", f"{given.dataset}, split “{given.split}” with {given.split_size:,} images"),
        ("Image size", f"{size} pixels"),
        ("Training", f"{given.epochs:g} epochs; seeds {', '.join(map(str, given.seeds)) or NOT_MEASURED}"),
        ("Hardware", given.hardware),
        ("Versions", ", ".join(f"{name} {version}" for name, version in given.versions.items()) or NOT_MEASURED),
        ("Operations", given.flop_convention),
        ("Deployed cost", "Counted on the operations that run in the deployed model, one image at the size above."),
        ("Latency", "Median of interleaved runs on the hardware above, with the 95th percentile in brackets."),
        (
            "Spread",
            "± is the sample standard deviation over seeds; none is given for a single seed, nor where every seed's "
            "model costs the same.",
        ),
        *((("Budget", _BUDGET),) if any(row.budget for row in results.rows) else ()),
        ("Δ_MTL", _delta_words(results)),
        (
            "Mean rank",
            "Rank per task among the measured rows of this table, averaged over tasks; it changes when rows do.",
        ),
        *(("Note", note) for note in given.notes),
    ]
    return tag("dl", *(join([tag("dt", prose(name)), tag("dd", text)]) for name, text in facts), class_="facts")


def _delta_words(results: Results) -> str:
    parts = [
        f"{task.name} {task.primary} ({'higher' if task.higher_is_better else 'lower'} is better)"
        for task in results.tasks
    ]
    reference = results.row(results.reference).label
    return (
        f"Mean over tasks of the relative gain in the primary metric against “{reference}”, in percent, signed so that "
        f"positive is better. Tasks: {', '.join(parts)}."
    )
