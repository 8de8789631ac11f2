"""Latency of a forward pass, by interleaved rounds: comparable on a machine that is not quiet."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from frugalmtl.core.checks import UserError, positive
from frugalmtl.core.counting import device_of, evaluating


@dataclass(frozen=True)
class LatencyStats:
    """Milliseconds of one forward pass of the batch.

    Attributes:
        median_ms: median over the rounds.
        p95_ms: 95th percentile.
        iqr_ms: distance between the quartiles: differences between modules below it are not resolved.
        rounds: measurements.
        batch: images in the batch.
        threads: CPU threads of torch.
        device: where it ran.
    """

    median_ms: float
    p95_ms: float
    iqr_ms: float
    rounds: int
    batch: int
    threads: int
    device: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def latency(
    modules: Mapping[str, nn.Module], image: Tensor, *, rounds: int = 20, warmup: int = 3, threads: int | None = None
) -> dict[str, LatencyStats]:
    """Time modules against each other: every round runs each of them once, and who begins rotates.

    Slow drifts of the machine (frequency, neighbours) so fall on all modules alike; timing one after the other would
    book them on whoever was running. Compare only figures of one call.

    Args:
        modules: ``{name: module}``, on one device.
        image: ``[B, 3, H, W]``; moved to that device.
        rounds: measured rounds.
        warmup: rounds before them that are not measured.
        threads: CPU threads; torch's setting if not given. Restored afterwards.

    Raises:
        UserError: no module, modules on several devices, a number of rounds or threads that is not positive.
    """
    if not modules:
        raise UserError("latency needs at least one module, but got none")
    positive("rounds", rounds)
    if warmup < 0:
        raise UserError(f"warmup must be 0 or more, but got {warmup!r}")
    devices = {device_of(module) for module in modules.values()}
    if len(devices) > 1:
        raise UserError(f"modules timed together must be on one device, but are on {sorted(map(str, devices))}")
    device = devices.pop()
    image = image.to(device)
    times: dict[str, list[float]] = {name: [] for name in modules}
    with evaluating(*modules.values()), torch.inference_mode(), _threads(threads) as used:
        for number in range(-warmup, rounds):
            for name in rotation(list(modules), number):
                elapsed = _time(modules[name], image)
                if number >= 0:
                    times[name].append(elapsed)
    return {name: _summary(values, len(image), used, device) for name, values in times.items()}


def fitting_rounds(modules: Mapping[str, nn.Module], image: Tensor, seconds: float) -> int:
    """As many rounds of :func:`latency` as fit into ``seconds``, but at least 3 and at most 20."""
    once = sum(item.median_ms for item in latency(modules, image, rounds=1, warmup=1).values()) / 1000
    return max(3, min(20, int(seconds / max(once, 1e-6))))


def rotation(names: list[str], number: int) -> list[str]:
    """The order of round ``number``.

    >>> [rotation(["a", "b", "c"], number) for number in range(3)]
    [['a', 'b', 'c'], ['b', 'c', 'a'], ['c', 'a', 'b']]
    """
    start = number % len(names)
    return names[start:] + names[:start]


def _time(module: nn.Module, image: Tensor) -> float:
    """Milliseconds of one pass; CUDA work is timed between events in its own stream."""
    if image.device.type == "cuda":
        begin = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        torch.cuda.synchronize(image.device)
        begin.record()
        module(image)
        end.record()
        torch.cuda.synchronize(image.device)
        return float(begin.elapsed_time(end))
    started = time.perf_counter()
    module(image)
    return (time.perf_counter() - started) * 1000.0


@contextlib.contextmanager
def _threads(threads: int | None) -> Iterator[int]:
    before = torch.get_num_threads()
    if threads is not None:
        positive("threads", threads)
        torch.set_num_threads(threads)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


def _summary(values: list[float], batch: int, threads: int, device: torch.device) -> LatencyStats:
    q25, median, q75, p95 = (float(value) for value in np.percentile(values, [25, 50, 75, 95]))
    return LatencyStats(median, p95, q75 - q25, len(values), batch, threads, str(device))
