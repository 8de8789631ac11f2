"""Steps of tiny models by plain SGD of rate 1, which moves every parameter by its gradient."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision.amp import MixedPrecision

from frugalmtl.core.recipe import Stage
from frugalmtl.engine import loop
from frugalmtl.engine.settings import TrainSettings
from frugalmtl.engine.step import StepSetup
from frugalmtl.model import MultiTaskModel
from tests.support.tiny_training import build_balancer


@contextmanager
def interrupted_at(number: int) -> Iterator[None]:
    """Expect that the block trains, and interrupt it when it is about to take its step of that number."""
    take_step, taken = loop.take_step, []

    def interrupted(*arguments: Any, **options: Any) -> Any:
        taken.append(0)
        if len(taken) == number:
            raise KeyboardInterrupt
        return take_step(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "take_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            yield


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
