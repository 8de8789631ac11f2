"""Published figures beside measured ones: of one experiment, and of a comparison as its paper's table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from time import perf_counter
from typing import Any

import torch

from frugalmtl.evaluation.cost import CONVENTION, count, in_convention
from frugalmtl.experiment.config.comparison import Comparison, row_experiments, row_text, shown_rows
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.runs.build import build, build_dataset, check, without_weights


def published_beside_measured(config: Experiment, measured: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Published figures of the config, each with what was measured in the same convention and their ratio.

    Args:
        config: the experiment.
        measured: ``macs``, ``products`` and ``params`` of the model that the papers count; None for a method that
            decides the cost while it trains, before it has: the published figures then stand alone.
    """
    result = []
    for row in config.published_rows():
        compared = row.as_dict()
        if measured is not None and row.flops is not None and row.convention:
            flops = in_convention(measured["macs"], row.convention, measured["products"])
            compared |= {"measured_flops": flops, "flops_ratio": flops / row.flops}
        if measured is not None and row.params is not None:
            compared |= {"measured_params": measured["params"], "params_ratio": measured["params"] / row.params}
        result.append(compared)
    return result


def count_rows(comparison: Comparison, progress: Callable[[str], None]) -> dict[str, Any]:
    """The training model of every row counted beside its published figures, as one JSON-ready mapping.

    Networks are built and counted on the meta device: nothing is loaded, trained or timed.

    Args:
        comparison: the rows.
        progress: gets a line after each row.

    Returns:
        ``{name, reference, image_size, batch, convention, rows: {row: {title, macs, flops, products, params,
        learns_cost, published}}, published}``; the last are the comparison's lines, as they stand in the config.

    Raises:
        UserError: a row does not fit.
    """
    experiments = row_experiments(comparison, seed=0)
    for experiment in experiments.values():
        check(experiment)
    experiments = {name: experiments[name] for name in shown_rows(comparison)}
    rows: dict[str, dict[str, Any]] = {}
    size: tuple[int, int] = (0, 0)
    for number, (name, experiment) in enumerate(experiments.items(), start=1):
        start = perf_counter()
        rows[name], size = _count(experiment)
        rows[name]["title"] = row_text(comparison, name, "title", name)
        progress(f"counted {name}, row {number} of {len(experiments)}, {perf_counter() - start:.1f} s")
    return {
        "name": comparison.name,
        "reference": comparison.reference,
        "image_size": list(size),
        "batch": 1,
        "convention": CONVENTION,
        "rows": rows,
        "published": [line.as_dict() for line in comparison.published],
    }


def _count(experiment: Experiment) -> tuple[dict[str, Any], tuple[int, int]]:
    # Balancers cost nothing in a forward pass, and some compute with values, which the meta device has not.
    counted = replace(without_weights(experiment), balancer={"name": "uniform"})
    with torch.device("meta"):
        built = build(counted, build_dataset(experiment) if experiment.data is not None else None)
    counts = count(built.model, built.image_size)
    figures = {key: getattr(counts, key) for key in ("macs", "flops", "products", "params")}
    learns_cost = built.model.encoder.learns_cost
    published = published_beside_measured(experiment, None if learns_cost else figures)
    return {**figures, "learns_cost": learns_cost, "published": published}, built.image_size
