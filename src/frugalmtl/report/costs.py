"""Costs of models, as ``results.json`` keeps them; NaN where nothing was measured."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass
class Latency:
    """Milliseconds per image, over interleaved rounds that go through images of the split.

    Attributes:
        median: median over the rounds.
        p95: 95th percentile over the rounds.
        typical: what tables and figures show: the median, or, where images cost differently, the mean over them.
        images: how many different ones it was measured on; 0 in files of earlier versions.
        runtime: who ran the model: ``"eager"`` PyTorch, or ``"onnxruntime"`` its ONNX file; empty where nothing was
            measured, and in files of earlier versions.
        batch: images in a batch.
    """

    median: float = math.nan
    p95: float = math.nan
    typical: float = math.nan
    images: int = 0
    batch: int = 1
    runtime: str = ""

    @property
    def milliseconds(self) -> float:
        """``typical``; in files of earlier versions the median."""
        return self.median if math.isnan(self.typical) else self.typical


@dataclass
class Cost:
    """Cost of one model for one image.

    Attributes:
        macs: multiply-adds; the mean over images where they differ.
        flops: operations.
        params: parameters.
        bytes: bytes on disk.
        peak_memory: bytes in memory at the worst moment.
        latency_ms: milliseconds, batch 1.
        macs_p5: 5th percentile of the multiply-adds over images.
        macs_p95: 95th percentile.
        images: how many images were counted on; 0 for a model that costs the same for every image.
        batch_latency_ms: milliseconds per image in a batch.
        onnxruntime_latency_ms: those of the model's ONNX file in onnxruntime, batch 1; the others are eager PyTorch's.
        onnxruntime_batch_latency_ms: the same in a batch.
    """

    macs: float = math.nan
    flops: float = math.nan
    params: float = math.nan
    bytes: float = math.nan
    peak_memory: float = math.nan
    latency_ms: Latency = field(default_factory=Latency)
    macs_p5: float = math.nan
    macs_p95: float = math.nan
    images: int = 0
    batch_latency_ms: Latency = field(default_factory=Latency)
    onnxruntime_latency_ms: Latency = field(default_factory=Latency)
    onnxruntime_batch_latency_ms: Latency = field(default_factory=Latency)

    @property
    def varies(self) -> bool:
        """Whether images cost differently."""
        return self.macs_p5 < self.macs_p95


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
