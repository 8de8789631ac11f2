"""Tables of measured cost for a terminal: one experiment, and a comparison beside its paper's figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from frugalmtl.core.terminal import output_console, without_markup

NETWORKS = ("training", "deployed", "single_task", "single_task_deployed")
COLUMNS = ("GFLOP", "params M", "MB stored", "MB peak")
Figures = Mapping[str, Any]
_FIGURES = {
    "latency_ms": "eager latency",
    "batch_latency_ms": "eager latency in a batch",
    "onnxruntime_latency_ms": "onnxruntime latency",
    "onnxruntime_batch_latency_ms": "onnxruntime latency in a batch",
}


def print_experiment(result: Figures) -> None:
    """Print what :func:`frugalmtl.experiment.measure.profiling.profile` measured."""
    console = output_console()
    table = _table(result, "" if result["device"] == "cpu" else f", {result['device']}")
    varying = [name for name in NETWORKS if result[name]["macs_p5"] < result[name]["macs_p95"]]
    for column in ("", "GMAC", *(["p5 to p95"] if varying else []), *COLUMNS):
        table.add_column(column, justify="left" if not column else "right", no_wrap=bool(column))
    for name in NETWORKS:
        cost = result[name]
        between = f"{cost['macs_p5'] / 1e9:.3f} to {cost['macs_p95'] / 1e9:.3f}" if name in varying else ""
        table.add_row(
            name.replace("_", " "),
            f"{cost['macs'] / 1e9:.3f}",
            *([between] if varying else []),
            f"{cost['flops'] / 1e9:.3f}",
            f"{cost['params'] / 1e6:.3f}",
            f"{cost['bytes'] / 1e6:.1f}",
            f"{cost['peak_memory'] / 1e6:.1f}",
        )
    console.print(table)
    console.print(_latencies(result, varying=bool(varying)))
    if varying:
        names, images = ", ".join(name.replace("_", " ") for name in varying), result[varying[0]]["images"]
        words = f"{names}: MACs and ms are means over images of the split {result['split']!r}, MACs over {images}"
        console.print(without_markup(words), highlight=False)
    if not result["cost_decided"]:
        console.print("deployed: this encoder decides its cost while it trains, and here has not been trained")
    shares = result["ratio_to_single_task"]["deployed"]
    words = ", ".join(f"{_FIGURES.get(key, key.replace('_', ' '))} {value:.3f} x" for key, value in shares.items())
    console.print(f"deployed, relative to deployed single-task networks: {words}")
    decoder = ", ".join(f"{key} {value}" for key, value in result["single_task_decoder"].items())
    console.print(without_markup(f"decoder of the single-task networks: {decoder}"), highlight=False)
    for line in (*_elsewhere(result), *result["notes"], *(f"published: {row}" for row in result["published"])):
        console.print(without_markup(line), highlight=False)


def _latencies(result: Figures, *, varying: bool) -> Table:
    """The latencies of an experiment by runtime: typical of one image and 95th percentile, and typical in a batch."""
    batch, rounds = (result["deployed"]["batch_latency_ms"]["batch"], result["deployed"]["latency_ms"]["rounds"])
    captured = result["deployed"]["latency_ms"]["runtime"] != "eager"
    table = Table(
        title=f"milliseconds per image, {'means or ' if varying else ''}medians of {rounds} interleaved rounds",
        title_justify="left",
        caption="ms: deployed networks as captured CUDA graphs, the others in eager PyTorch" if captured else None,
        caption_justify="left",
        box=SIMPLE,
    )
    table.add_column("", justify="left")
    runtimes = {"": "ms" if captured else "ms eager", "onnxruntime_": "ms onnxruntime"}
    timed = [key for key in runtimes if any(f"{key}latency_ms" in result[name] for name in NETWORKS)]
    for key in timed:
        for head in (runtimes[key], "p95", f"in a batch of {batch}"):
            table.add_column(head, justify="right")
    for name in NETWORKS:
        cells = []
        for key in timed:
            if f"{key}latency_ms" in result[name]:
                single, batched = result[name][f"{key}latency_ms"], result[name][f"{key}batch_latency_ms"]
                cells += [f"{single['typical']:.2f}", f"{single['p95']:.2f}", f"{batched['typical']:.2f}"]
        table.add_row(name.replace("_", " "), *cells)
    return table


def _elsewhere(result: Figures) -> list[str]:
    """The time of the deployed network on the machine that its budget is for, where that is another one."""
    there = result["elsewhere"]
    if there is None:
        return []
    time = f"{there['milliseconds']:.4g} ms on {there['place']}"
    return [f"deployed: {time}, by its multiply-adds, not measured; the budget is {there['budget']}"]


def print_comparison(result: Figures) -> None:
    """Print what :func:`frugalmtl.experiment.measure.published.count_rows` counted, beside what the paper prints."""
    console = output_console()
    counted = [(row, record) for row in result["rows"].values() for record in row["published"] or [{}]]
    lines: list[tuple[Figures, Figures]] = [({}, record) for record in result["published"] if _has_cells(record)]
    columns = {head: cells for head, cells in _columns([*counted, *lines]).items() if any(cells)}
    table = _table(result)
    for head in columns:
        # Two columns may bear one head: the dots that tell them apart here are not printed.
        table.add_column(without_markup(head.strip(".")), justify="right" if head else "left", no_wrap=not head)
    for index, cells in enumerate(zip(*columns.values(), strict=True)):
        if index == len(counted):
            table.add_section()
        table.add_row(*map(without_markup, cells), style="italic" if index >= len(counted) else None)
    console.print(table)
    if any(row["learns_cost"] for row, _ in counted):
        console.print("* decides its cost while it trains: counted is the whole network, before")
    records = [{"title": row["title"], **record} for row, record in counted if record]
    for remark in _remarks([*records, *result["published"]]):
        console.print(without_markup(remark), highlight=False)


def _table(result: Figures, place: str = "") -> Table:
    height, width = result["image_size"]
    title = f"{without_markup(result['name'])} at {height} x {width}, batch 1{place}"
    return Table(
        title=title,
        title_justify="left",
        caption=without_markup(result["convention"]),
        caption_justify="left",
        box=SIMPLE,
    )


def _columns(pairs: Sequence[tuple[Figures, Figures]]) -> dict[str, list[str]]:
    """Head and cells of every column, from pairs of a counted row and a published record; either may be empty."""
    scale, unit = (1e9, "G") if max(row.get("macs", 0.0) for row, _ in pairs) >= 1e9 else (1e6, "M")
    tasks = dict.fromkeys(task for _, record in pairs for task in record.get("scores", {}))

    def counted(key: str, scale: float, form: str) -> list[str]:
        return [_cell(row.get(key), scale, form) for row, _ in pairs]

    def published(key: str, scale: float, form: str) -> list[str]:
        return [_cell(record.get(key), scale, form) for _, record in pairs]

    titles = [row["title"] + " *" * row["learns_cost"] if row else record["title"] for row, record in pairs]
    return {
        "": titles,
        f"{unit}MAC": counted("macs", scale, ".2f"),
        f"counted {unit}": published("measured_flops", scale, ".2f"),
        f"published {unit}": published("flops", scale, "g"),
        "ratio": published("flops_ratio", 1.0, ".3f"),
        "params M": counted("params", 1e6, ".2f"),
        "published M.": published("params", 1e6, "g"),
        "ratio.": published("params_ratio", 1.0, ".3f"),
        **{
            task.replace("_", " "): [_cell(record.get("scores", {}).get(task), 1.0, "g") for _, record in pairs]
            for task in tasks
        },
        "Delta %": published("delta_mtl", 1.0, "+.2f"),
    }


def _cell(value: float | None, scale: float, form: str) -> str:
    return "" if value is None else f"{value / scale:{form}}"


def _has_cells(record: Figures) -> bool:
    """Whether a published record has a figure that a column of the table holds."""
    return any(key in record for key in ("flops", "params", "scores", "delta_mtl"))


def _remarks(records: Sequence[Figures]) -> list[str]:
    """What published columns mean, their sources, and published values that no column holds."""
    if not records:
        return []
    conventions = dict.fromkeys(record["convention"] for record in records if record.keys() >= {"convention", "flops"})
    counted = [f"counted: in the paper's convention, {' or '.join(conventions)}"] if conventions else []
    sources = dict.fromkeys(str(record["source"]) for record in records)
    remarks = [*counted, "ratio: counted by published; scores and Delta: as published, not measured here"]
    values = (_values(record) for record in records if "values" in record)
    return [*remarks, *(f"published: {source}" for source in sources), *values]


def _values(record: Figures) -> str:
    """Title and values of a published record, with their convention."""
    texts = ", ".join(f"{key} {value:g}" for key, value in record["values"].items())
    convention = f" ({record['convention']})" if "convention" in record and "flops" not in record else ""
    return f"published of {record.get('title', record['source'])}: {texts}{convention}"
