"""Launching: processes, devices and kernels."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any, cast

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
    if settings.accelerator in ("cuda", "gpu") and not torch.cuda.is_available():
        raise UserError(
            f"accelerator {settings.accelerator} needs a GPU, but torch sees none: take cpu, or leave it out"
        )
    on_cpu = trains_on_cpu(settings)
    if on_cpu and settings.precision in ("16-mixed", "tf32"):  # Fabric would take another precision
        raise UserError(f"precision {settings.precision} needs a GPU: take 'bf16-mixed' or '32-true' on a CPU")
    if on_cpu and settings.compile == "reduce-overhead":
        raise UserError("compile: reduce-overhead captures CUDA graphs and needs a GPU: take compile: true on a CPU")
    try:
        fabric = Fabric(
            accelerator=settings.accelerator,
            devices=settings.devices,
            strategy=_strategy(settings),
            precision="32-true" if settings.precision == "tf32" else settings.precision,
        )
        fabric.launch()
    except (RuntimeError, ValueError, TypeError) as error:
        raise UserError(f"cannot train with accelerator {settings.accelerator!r}: {error}") from error
    return fabric


def trains_on_cpu(settings: TrainSettings) -> bool:
    """Whether the settings, on this machine, lead to a training on the CPU."""
    return settings.accelerator == "cpu" or (settings.accelerator == "auto" and not torch.accelerator.is_available())


def local_fabric(device: torch.device, precision: Precision = "32-true") -> Fabric:
    """This process alone on a device, whatever processes there are: for steps that are tried or timed.

    Args:
        device: of the model.
        precision: see :class:`~frugalmtl.engine.settings.TrainSettings`.
    """
    # A plugin of its own, because Fabric would replace float16 on a CPU.
    plugin = None if precision in ("32-true", "tf32") else MixedPrecision(cast(Any, precision), device.type)
    return Fabric(strategy=SingleDeviceStrategy(device), plugins=plugin)


def _strategy(settings: TrainSettings) -> str:
    """Several processes share gradients of what they use: heads may leave parts of a backbone unread."""
    several = settings.devices > 1 or int(os.environ.get("WORLD_SIZE", "1")) > 1
    return "ddp_find_unused_parameters_true" if settings.strategy == "auto" and several else settings.strategy


@contextlib.contextmanager
def kernels(settings: TrainSettings) -> Iterator[None]:
    """Kernels that torch chooses while training; the caller's choice comes back afterwards.

    Args:
        settings: ``deterministic``, and ``precision``: ``"tf32"`` lets a GPU round the factors of products and
            convolutions to ten bits of mantissa; the others leave that to torch and its caller.
    """
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark, products = torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision()
    cudnn: Any = torch.backends.cudnn  # torch states no types
    convolutions = cudnn.conv.fp32_precision
    torch.use_deterministic_algorithms(settings.deterministic or before[0], warn_only=True)
    torch.backends.cudnn.benchmark = not settings.deterministic
    if settings.precision == "tf32":
        torch.set_float32_matmul_precision("high")
        cudnn.conv.fp32_precision = "tf32"
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.benchmark = benchmark
        if settings.precision == "tf32":
            torch.set_float32_matmul_precision(products)
            cudnn.conv.fp32_precision = convolutions
