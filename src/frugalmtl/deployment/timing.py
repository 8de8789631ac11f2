"""Latency of a model in its deployed form, for methods that keep a budget of time."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from frugalmtl.deployment.deployed import deploy
from frugalmtl.evaluation.cost import batches_of, decides, fitting_rounds, latency, noise_images
from frugalmtl.model import MultiTaskModel

SECONDS = 4.0
"""Time that the rounds of one measurement may take."""
MOST_IMAGES = 20
"""Images that a model that chooses by the image is measured on, evenly spread."""


def stopwatch(
    model: MultiTaskModel,
    image_size: tuple[int, int],
    images: Sequence[Tensor] | None = None,
    prepare: Callable[[nn.Module], nn.Module] | None = None,
) -> Callable[[], float]:
    """A function that measures the model as it would be deployed now: median milliseconds per image, batch 1.

    It runs on the CPU with the threads that a report measures with, wherever the model is trained. Of a model that
    chooses for each image what it runs it gives the mean over images.

    Args:
        model: trained, or in training.
        image_size: height and width.
        images: those that a model that chooses is measured on, ``[3, H, W]`` each; the function refuses to measure one
            without them.
        prepare: makes what is timed of the deployed model, such as its file in another runtime.
    """

    def milliseconds() -> float:
        deployed = deploy(copy.deepcopy(model).cpu())
        chooses, modules = decides(deployed), {"deployed": prepare(deployed) if prepare else deployed}
        on_noise = not (chooses and images)
        batches = [noise_images([deployed], image_size)] if on_noise else batches_of(images or (), 1, MOST_IMAGES)
        rounds = fitting_rounds(modules, batches[:1], SECONDS)
        figures = latency(modules, batches[:rounds], rounds=rounds, warmup=1)["deployed"]
        return figures.mean_ms if chooses else figures.median_ms

    return milliseconds
