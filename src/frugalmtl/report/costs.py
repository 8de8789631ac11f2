"""Costs of models, as ``results.json`` keeps them; NaN where nothing was measured."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass
class Latency:
    """Milliseconds per image: median and 95th percentile of interleaved runs."""

    median: float = math.nan
    p95: float = math.nan


@dataclass
class Cost:
    """Cost of one model for one image: operations, parameters, bytes on disk, peak bytes in memory, milliseconds."""

    macs: float = math.nan
    flops: float = math.nan
    params: float = math.nan
    bytes: float = math.nan
    peak_memory: float = math.nan
    latency_ms: Latency = field(default_factory=Latency)


@dataclass
class StepCost:
    """Cost of one step of the training: forward, losses, and all that the balancer does.

    Attributes:
        median_ms: median milliseconds; neither loading data nor the optimiser's update are in it.
        memory: peak bytes beyond the weights; the gradients count.
    """

    median_ms: float = math.nan
    memory: float = math.nan


@dataclass
class RowCost:
    """The same model as it is trained and as it is deployed, and a step of its training.

    Operations and parameters of the deployed form are means over seeds; all else is that of the first seed.
    """

    training: Cost = field(default_factory=Cost)
    deployed: Cost = field(default_factory=Cost)
    step: StepCost | None = None
