"""Launching: processes, devices and kernels."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision.amp import MixedPrecision
from lightning_fabric.strategies.single_device import SingleDeviceStrategy

from frugalmtl.core.checks import UserError
from frugalmtl.engine.settings import Precision, TrainSettings


def make_fabric(settings: TrainSettings) -> Fabric:
    """Launch the processes that the settings ask for.

    Raises:
        UserError: no such accelerator, device or strategy here.
    """
    on_cpu = settings.accelerator == "cpu" or (settings.accelerator == "auto" and not torch.accelerator.is_available())
    if on_cpu and settings.precision == "16-mixed":  # Fabric would take another precision
        raise UserError("precision 16-mixed needs a GPU: take 'bf16-mixed' or '32-true' on a CPU")
    try:
        fabric = Fabric(
            accelerator=settings.accelerator,
            devices=settings.devices,
            strategy=_strategy(settings),
            precision=settings.precision,
        )
        fabric.launch()
    except (RuntimeError, ValueError, TypeError) as error:
        raise UserError(f"cannot train with accelerator {settings.accelerator!r}: {error}") from error
    return fabric


def local_fabric(device: torch.device, precision: Precision = "32-true") -> Fabric:
    """This process alone on a device, whatever processes there are: for steps that are tried or timed.

    Args:
        device: of the model.
        precision: see :class:`~frugalmtl.engine.settings.TrainSettings`.
    """
    # A plugin of its own, because Fabric would replace float16 on a CPU.
    plugin = None if precision == "32-true" else MixedPrecision(precision, device.type)
    return Fabric(strategy=SingleDeviceStrategy(device), plugins=plugin)


def _strategy(settings: TrainSettings) -> str:
    """Several processes share gradients of what they use: heads may leave parts of a backbone unread."""
    several = settings.devices > 1 or int(os.environ.get("WORLD_SIZE", "1")) > 1
    return "ddp_find_unused_parameters_true" if settings.strategy == "auto" and several else settings.strategy


@contextlib.contextmanager
def kernels(deterministic: bool) -> Iterator[None]:
    """Kernels that torch chooses while training; the caller's choice comes back afterwards."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(deterministic or before[0], warn_only=True)
    torch.backends.cudnn.benchmark = not deterministic
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.benchmark = benchmark
