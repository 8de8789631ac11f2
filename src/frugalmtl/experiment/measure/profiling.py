"""Cost of an experiment: the training model and the deployed one, beside the single-task networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from frugalmtl.core.registry import Registry
from frugalmtl.decoders import DECODERS
from frugalmtl.deployment import deploy
from frugalmtl.encoders import ENCODERS
from frugalmtl.evaluation.cost import CONVENTION, count, fitting_rounds, latency, peak_memory
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.measure.published import published_beside_measured
from frugalmtl.experiment.runs.build import Built, build, without_weights

SECONDS = 60.0
"""Time that the rounds of a latency measurement may take where their number is not set."""
RATIOS = ("macs", "params", "bytes", "peak_memory")


def single_task_sibling(config: Experiment) -> Experiment:
    """The single-task networks that an experiment is held against: same tasks, backbone and heads.

    A decoder in which tasks interact has no single-task form: its sibling takes the first separable decoder, with its
    defaults.
    """
    encoder = next(name for name in ENCODERS.names() if not _fact(ENCODERS, name, "shares", default=True))
    decoder = config.decoder
    if not _fact(DECODERS, decoder["name"], "separable", default=False):
        decoder = {"name": next(name for name in DECODERS.names() if _fact(DECODERS, name, "separable", default=False))}
    return replace(config, encoder={"name": encoder}, decoder=decoder, balancer=Experiment().balancer)


def _fact(registry: Registry, name: str, fact: str, *, default: bool) -> bool:
    """A class attribute of a member; a member that is a function states none."""
    return bool(getattr(registry.get(name), fact, default))


def measure(
    modules: Mapping[str, nn.Module], image_size: tuple[int, int], rounds: int | None = None
) -> dict[str, dict[str, Any]]:
    """Operations, bytes, memory and interleaved latency of several modules, batch 1.

    Args:
        modules: ``{name: module}``, timed against each other.
        image_size: height and width.
        rounds: rounds of latency; ``None`` takes as many as a minute allows, within limits.

    Returns:
        ``{name: {macs, flops, products, params, bytes, peak_memory, latency_ms: {median, p95, rounds}}}``.
    """
    image = torch.rand(1, 3, *image_size, generator=torch.Generator().manual_seed(0))
    times = latency(modules, image, rounds=rounds or fitting_rounds(modules, image, SECONDS), warmup=1)
    result: dict[str, dict[str, Any]] = {}
    for name, module in modules.items():
        counts = count(module, image_size)
        result[name] = {
            "macs": counts.macs,
            "flops": counts.flops,
            "products": counts.products,
            "params": counts.params,
            "bytes": counts.bytes,
            "peak_memory": peak_memory(module, image),
            "latency_ms": {
                "median": times[name].median_ms,
                "p95": times[name].p95_ms,
                "rounds": times[name].rounds,
            },
        }
    return result


def ratios(cost: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, float]:
    """Every figure of ``cost`` divided by the reference's; latency by the medians."""
    result = {key: cost[key] / reference[key] for key in RATIOS}
    result["latency_ms"] = cost["latency_ms"]["median"] / reference["latency_ms"]["median"]
    return result


def profile(config: Experiment, built: Built, rounds: int | None = None, *, trained: bool = False) -> dict[str, Any]:
    """The cost of an experiment as one JSON-ready mapping.

    Args:
        config: the experiment; its single-task sibling is built from it with random weights (they do not matter here).
        built: its model, trained or not.
        rounds: see :func:`measure`.
        trained: the model has been trained. The published figures of a method that decides its cost while it trains are
            held against the deployed model then, against nothing before; those of others against the training model.
    """
    layout = config.train.memory_format  # the training models in the layout they are trained in: deploying adds none
    sibling_config = replace(single_task_sibling(config), image_size=built.image_size)
    sibling = build(without_weights(sibling_config), tasks=built.tasks)
    modules: dict[str, nn.Module] = {
        "training": built.model.to(memory_format=layout),
        "deployed": deploy(built.model),
        "single_task": sibling.model.to(memory_format=layout),
        "single_task_deployed": deploy(sibling.model),
    }
    measured = measure(modules, built.image_size, rounds)
    learns_cost = built.model.encoder.learns_cost
    comparable = None if learns_cost and not trained else measured["deployed" if learns_cost else "training"]
    return {
        "name": config.name,
        "image_size": list(built.image_size),
        "batch": 1,
        "convention": CONVENTION,
        "single_task_decoder": sibling_config.decoder,
        **measured,
        "ratio_to_single_task": {
            "training": ratios(measured["training"], measured["single_task"]),
            "deployed": ratios(measured["deployed"], measured["single_task_deployed"]),
        },
        "published": published_beside_measured(config, comparable),
    }
