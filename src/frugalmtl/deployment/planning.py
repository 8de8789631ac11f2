"""Planning of an encoder: the cost of the model around it, before a training begins."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import lru_cache, partial

from torch import Tensor, nn

from frugalmtl.channels.times import LayerTimes, Machine, SizedLayer
from frugalmtl.core.budget import Clock
from frugalmtl.core.types import Pyramid
from frugalmtl.encoders.base import ModelContext
from frugalmtl.evaluation.cost import count
from frugalmtl.evaluation.cost.layer_times import measure_layers
from frugalmtl.model import MultiTaskModel


def plan_encoder(
    model: MultiTaskModel,
    image_size: tuple[int, int],
    latency: Clock | None = None,
    *,
    machine: Machine | None = None,
    processes: int = 1,
    layer_times: Callable[[Sequence[SizedLayer]], LayerTimes] | None = None,
) -> None:
    """Set which levels of an encoder are read, and plan it with the cost of the deployed decoder.

    Args:
        model: its encoder is planned.
        image_size: height and width that the network sees.
        latency: see :class:`~frugalmtl.encoders.base.ModelContext`.
        machine: that the model trains on; this machine's CPU if not given.
        processes: that train together; of several none measures layers, since each would measure other times.
        layer_times: measures layers instead.

    Raises:
        UserError: the encoder has a budget that cannot be kept.
    """
    model.encoder.read_levels = model.read_levels()
    decoder = _FromImage(model, copy.deepcopy(model.decoder).eval().deploy())
    place = machine or Machine.here()
    timed = layer_times or (partial(measured_layers, place) if processes == 1 else None)
    macs = float(count(decoder, image_size).macs)
    model.encoder.plan(ModelContext(image_size, macs, latency, place, timed))


@lru_cache(maxsize=8)
def measured_layers(machine: Machine, layers: tuple[SizedLayer, ...]) -> LayerTimes:
    """Times of layers, measured once in a process: a training is planned before its dry run and again after it."""
    return measure_layers(layers, machine)


class _FromImage(nn.Module):
    """A deployed decoder fed with features of the right sizes, so that it can be counted like a network."""

    def __init__(self, model: MultiTaskModel, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder
        self.tasks = model.encoder.task_names
        self.levels = list(zip(model.encoder.channels, model.encoder.strides, strict=True))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Image ``[B, 3, H, W]`` -> predictions of features that hold nothing."""
        batch, _, height, width = image.shape
        sizes = [(batch, channels, height // stride, width // stride) for channels, stride in self.levels]
        features: dict[str, Pyramid] = {task: [image.new_empty(size) for size in sizes] for task in self.tasks}
        predictions: dict[str, Tensor] = self.decoder(features, (height, width))
        return predictions
