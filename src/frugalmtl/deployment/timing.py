"""Latency of a model in its deployed form, for methods that keep a budget of time."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch

from frugalmtl.deployment.deployed import deploy
from frugalmtl.evaluation.cost import fitting_rounds, latency
from frugalmtl.model import MultiTaskModel

SECONDS = 4.0
"""Time that the rounds of one measurement may take."""


def stopwatch(model: MultiTaskModel, image_size: tuple[int, int]) -> Callable[[], float]:
    """A function that measures the model as it would be deployed now: median milliseconds per image, batch 1.

    It runs on the CPU with the threads that a report measures with, wherever the model is trained.
    """
    image = torch.rand(1, 3, *image_size, generator=torch.Generator().manual_seed(0))

    def milliseconds() -> float:
        modules = {"deployed": deploy(copy.deepcopy(model).cpu())}
        rounds = fitting_rounds(modules, image, SECONDS)
        return latency(modules, image, rounds=rounds, warmup=1)["deployed"].median_ms

    return milliseconds
