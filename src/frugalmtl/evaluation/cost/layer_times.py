"""Times of single layers with all and with some of their output channels, measured on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import lcm

import torch
from torch import Tensor, nn

from frugalmtl.channels.times import LayerTimes, Machine, SizedLayer, Timing, good_multiple
from frugalmtl.core.checks import positive
from frugalmtl.evaluation.cost.latency import fitting_rounds, latency

Prepare = Callable[[nn.Module, Tensor], nn.Module]
"""A layer and its input -> the layer as another runtime runs it."""

SHARES = (0.25, 0.5, 0.75, 1.0)
"""Widths at which a layer is timed, over its own."""
SECONDS = 10.0
"""Time that the rounds may take."""
MOST_ROUNDS = 40


def measure_layers(
    layers: Iterable[SizedLayer],
    machine: Machine,
    *,
    batch: int = 1,
    prepare: Prepare | None = None,
    seconds: float = SECONDS,
) -> LayerTimes:
    """Time layers at a few widths: medians of rounds in which every layer runs once at every width.

    So weights and activations of one layer have left the caches before it runs again, as in a network. Convolutions run
    in torch in the channels-last layout, as deployed networks do.

    Args:
        layers: each is timed once, however often it comes.
        machine: this one; its device, number format and threads are those that are timed.
        batch: images at a time.
        prepare: puts a layer into the machine's runtime; needed where that is not eager.
        seconds: that the rounds may take, of which there are never fewer than three.

    Raises:
        ValueError: the runtime is not eager, and nothing puts layers into it.
    """
    positive("batch", batch)
    if machine.runtime != "eager" and prepare is None:
        raise ValueError(f"nothing puts layers into the runtime {machine.runtime}")
    dtype, multiple = getattr(torch, machine.dtype), good_multiple(machine)
    widths = {layer: widths_of(layer, multiple) for layer in layers}
    modules: dict[str, nn.Module] = {}
    images: dict[str, Tensor] = {}
    for number, (layer, several) in enumerate(widths.items()):
        for width in several:
            module = layer.build(width).eval().requires_grad_(False).to(machine.device, dtype)
            image = layer.example(width, batch).to(machine.device, dtype)
            if image.ndim == 4 and machine.runtime != "onnxruntime":
                image = image.contiguous(memory_format=torch.channels_last)
                module = module.to(memory_format=torch.channels_last)
            name = _name(number, width)
            images[name] = image
            modules[name] = module if prepare is None else prepare(module, image)
    rounds = fitting_rounds(modules, images, seconds, MOST_ROUNDS)
    timed = latency(modules, images, rounds=rounds, warmup=1, threads=machine.threads)
    timings = [
        Timing(layer, several, [timed[_name(number, width)].median_ms for width in several])
        for number, (layer, several) in enumerate(widths.items())
    ]
    return LayerTimes(machine, batch, timings)


def widths_of(layer: SizedLayer, multiple: int) -> list[int]:
    """Widths at which a layer is timed, rising to its own: shares of it in multiples that the machine likes.

    Narrow layers are timed in smaller steps, since a slope needs a few widths that lie apart.

    >>> widths_of(SizedLayer("convolution", 3, 100, (8, 8)), 16)
    [32, 48, 80, 96, 100]
    >>> widths_of(SizedLayer("convolution", 3, 18, (8, 8)), 16)
    [4, 8, 12, 16, 18]
    """
    while multiple > 1 and multiple * len(SHARES) > layer.outputs:
        multiple //= 2
    step = lcm(layer.unit, multiple)
    inner = {round(layer.outputs * share / step) * step for share in SHARES}
    return sorted({*(width for width in inner if 0 < width < layer.outputs), layer.outputs})


def _name(number: int, width: int) -> str:
    return f"{number} {width}"
