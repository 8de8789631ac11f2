"""Steps of tiny models by plain SGD of rate 1, which moves every parameter by its gradient."""

from __future__ import annotations

from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision.amp import MixedPrecision

from frugalmtl.core.recipe import Stage
from frugalmtl.engine.settings import TrainSettings
from frugalmtl.engine.step import StepSetup
from frugalmtl.model import MultiTaskModel
from tests.support.tiny_training import build_balancer


def setup_of(
    model: MultiTaskModel,
    balancer: Any = "fixed",
    *,
    clip: float | None = None,
    precision: Any = "32-true",
    **stage: Any,
) -> StepSetup:
    weights = build_balancer(balancer)
    optimizer = torch.optim.SGD([*model.parameters(), *weights.parameters()], lr=1.0)
    # A plugin of its own, because Fabric itself does not scale losses on a CPU.
    plugins: Any = [] if precision == "32-true" else [MixedPrecision(precision, "cpu")]
    fabric = Fabric(accelerator="cpu", devices=1, plugins=plugins)
    settings = TrainSettings(clip_norm=clip, channels_last=False)
    return StepSetup(fabric, model, weights, Stage(**stage), settings, optimizer)
