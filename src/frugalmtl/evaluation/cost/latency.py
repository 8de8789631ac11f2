"""Latency of a forward pass, by interleaved rounds: comparable on a machine that is not quiet."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
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
        mean_ms: mean over the batches of the median of each batch's rounds: the time of a module that takes longer for
            some images than for others.
        p95_ms: 95th percentile over the rounds.
        iqr_ms: distance between the quartiles: differences between modules below it are not resolved.
        rounds: measurements.
        batches: different batches that they went through.
        batch: images in the batch.
        threads: CPU threads of torch.
        device: where it ran.
    """

    median_ms: float
    mean_ms: float
    p95_ms: float
    iqr_ms: float
    rounds: int
    batches: int
    batch: int
    threads: int
    device: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


Batches = Tensor | Sequence[Tensor]
"""One batch of images ``[B, 3, H, W]``, or several of one size."""


def latency(
    modules: Mapping[str, nn.Module],
    images: Batches | Mapping[str, Batches],
    *,
    rounds: int = 20,
    warmup: int = 3,
    threads: int | None = None,
) -> dict[str, LatencyStats]:
    """Time modules against each other in interleaved rounds, see :func:`timed_rounds`; compare figures of one call.

    Args:
        modules: ``{name: module}``, on one device.
        images: see :func:`timed_rounds`.
        rounds: measured rounds.
        warmup: rounds before them that are not measured.
        threads: CPU threads; torch's setting if not given. Restored afterwards.

    Raises:
        UserError: see :func:`timed_rounds`.
    """
    with _threads(threads) as used:
        times = timed_rounds(modules, images, rounds=rounds, warmup=warmup)
    device = device_of(next(iter(modules.values())))
    batches = _as_list(images[next(iter(modules))] if isinstance(images, Mapping) else images)
    return {name: _summary(values, len(batches), len(batches[0]), used, device) for name, values in times.items()}


def timed_rounds(
    modules: Mapping[str, nn.Module], images: Batches | Mapping[str, Batches], *, rounds: int = 20, warmup: int = 3
) -> dict[str, list[float]]:
    """Milliseconds of each module's pass in every round; each round runs each module once, and who begins rotates.

    Slow drifts of the machine (frequency, neighbours) so fall on all modules alike; timing one after the other would
    book them on whoever was running. Every round takes the next batch, and after the last the first again: all modules
    see the same images equally often.

    Args:
        modules: ``{name: module}``, on one device.
        images: a batch for all rounds, or several; or those of every module by its name, where modules expect the same
            images normalised in different ways. Moved to the modules' device.
        rounds: measured rounds.
        warmup: rounds before them that are not measured.

    Raises:
        UserError: no module or image, modules on several devices or with different numbers of images, a number of
            rounds that is not positive.
    """
    if not modules:
        raise UserError("latency needs at least one module, but got none")
    positive("rounds", rounds)
    if warmup < 0:
        raise UserError(f"warmup must be 0 or more, but got {warmup!r}")
    devices = {device_of(module) for module in modules.values()}
    if len(devices) > 1:
        raise UserError(f"modules timed together must be on one device, but are on {sorted(map(str, devices))}")
    batches = _batches_of(modules, images, devices.pop())
    count = len(next(iter(batches.values())))
    times: dict[str, list[float]] = {name: [] for name in modules}
    with evaluating(*modules.values()), torch.inference_mode():
        for number in range(-warmup, rounds):
            for name in rotation(list(modules), number):
                elapsed = _time(modules[name], batches[name][number % count])
                if number >= 0:
                    times[name].append(elapsed)
    return times


def fitting_rounds(
    modules: Mapping[str, nn.Module], images: Batches | Mapping[str, Batches], seconds: float, most: int = 20
) -> int:
    """As many rounds of :func:`latency` as fit into ``seconds``, but at least 3 and at most ``most``."""
    once = sum(item.median_ms for item in latency(modules, images, rounds=1, warmup=1).values()) / 1000
    return max(3, min(most, int(seconds / max(once, 1e-6))))


def _batches_of(
    modules: Mapping[str, nn.Module], images: Batches | Mapping[str, Batches], device: torch.device
) -> dict[str, list[Tensor]]:
    """The batches that each module goes through, on its device; as many for all, of one size.

    Raises:
        UserError: there are none, or not as many for all.
    """
    chosen = images if isinstance(images, Mapping) else dict.fromkeys(modules, images)
    batches: dict[str, list[Tensor]] = {}
    for name in modules:
        batches[name] = [batch.to(device) for batch in _as_list(chosen[name])]
    if len({tuple(len(batch) for batch in each) for each in batches.values()}) > 1:
        raise UserError("modules timed together must go through as many images, but each came with its own number")
    sizes = {len(batch) for each in batches.values() for batch in each}
    if len(sizes) != 1:
        raise UserError(f"latency needs at least one batch, all of one size, but got sizes {sorted(sizes)}")
    return batches


def _as_list(batches: Batches) -> Sequence[Tensor]:
    return (batches,) if isinstance(batches, Tensor) else batches


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


def _summary(values: list[float], batches: int, size: int, threads: int, device: torch.device) -> LatencyStats:
    q25, median, q75, p95 = (float(value) for value in np.percentile(values, [25, 50, 75, 95]))
    mean = float(np.mean([np.median(values[first::batches]) for first in range(min(batches, len(values)))]))
    used = min(batches, len(values))
    return LatencyStats(median, mean, p95, q75 - q25, len(values), used, size, threads, str(device))
