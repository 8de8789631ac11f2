"""The clock that an experiment's budget of time is held against: this machine, or the file of another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from frugalmtl.core.budget import Clock
from frugalmtl.core.checks import UserError
from frugalmtl.deployment.elsewhere import FileClock
from frugalmtl.experiment.runs.build import Built
from frugalmtl.export import stopwatch_of
from frugalmtl.model import MultiTaskModel


@dataclass(frozen=True)
class TimeElsewhere:
    """A time on another machine, read off its latency file and not measured there.

    Attributes:
        place: machine and runtime.
        milliseconds: per image.
    """

    place: str
    milliseconds: float


def clock_of(built: Built, model: MultiTaskModel | None = None, images: Sequence[Tensor] | None = None) -> Clock:
    """The clock of an experiment.

    Args:
        built: its objects.
        model: whose time is told; that of ``built`` if not given.
        images: see :class:`~frugalmtl.deployment.Stopwatch`.

    Raises:
        UserError: see :func:`check_latency_file`; or no such file, a damaged one, or one of another network.
    """
    model = model or built.model
    if built.latency is None:
        return stopwatch_of(model, built.image_size, images)
    check_latency_file(built)
    return FileClock(model, built.latency, built.latency.times())


def time_elsewhere(built: Built, macs: float) -> TimeElsewhere | None:
    """The time of a deployed network on the machine of its latency file, by its multiply-adds; None without a file.

    Args:
        built: the network's objects.
        macs: its multiply-adds per image.

    Raises:
        UserError: see :func:`clock_of`.
    """
    if built.latency is None:
        return None
    clock = FileClock(built.model, built.latency, built.latency.times())
    return TimeElsewhere(clock.place, clock.times.at(macs))


def check_latency_file(built: Built) -> None:
    """Refuse a latency file where there is no budget of time, or one in another runtime.

    Raises:
        UserError: it is so.
    """
    encoder = built.model.encoder
    if built.latency is None or (encoder.target_latency_ms is not None and encoder.target_runtime == "onnxruntime"):
        return
    if encoder.target_latency_ms is None:
        raise UserError(
            f"latency: {built.latency.path} is what a budget of time is held against, but the encoder's budget is "
            f"{encoder.budget or 'none'}: leave it out, or give a budget such as 35ms@onnxruntime"
        )
    raise UserError(
        f"latency: {built.latency.path} holds milliseconds of onnxruntime, but the budget {encoder.budget} is of "
        f"{encoder.target_runtime} PyTorch: write {encoder.target_latency_ms:g}ms@onnxruntime"
    )
