"""Latency of a model in its deployed form, for methods that keep a budget of time."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from frugalmtl.core.budget import HERE, Decision
from frugalmtl.deployment.deployed import deploy
from frugalmtl.deployment.model import DeployedModel
from frugalmtl.evaluation.cost import batches_of, decides, fitting_rounds, latency, noise_images
from frugalmtl.model import MultiTaskModel

SECONDS = 4.0
"""Time that the rounds of one measurement may take, for each network in it."""
MOST_ROUNDS = 100
"""Rounds of a measurement, so that it outlasts what else a machine does for a moment."""
MOST_IMAGES = 20
"""Images that a model that chooses by the image is measured on, evenly spread."""


@dataclass
class Stopwatch:
    """A clock that measures a model as it would be deployed: medians of milliseconds per image, batch 1.

    Several decisions are measured against each other, in rounds in which each runs once, so that what else the machine
    does falls on all alike. It runs on the CPU with the threads that a report measures with, wherever the model is
    trained. Of a model that chooses for each image what it runs it gives the mean over images.

    Attributes:
        model: trained, or in training.
        image_size: height and width.
        images: those that a model that chooses is measured on, ``[3, H, W]`` each; such a model is refused without.
        prepare: makes what is timed of the deployed model, such as its file in another runtime.
        place: see :class:`~frugalmtl.core.budget.Clock`.
        between: the same; none, since each takes its time before every training.
    """

    model: MultiTaskModel
    image_size: tuple[int, int]
    images: Sequence[Tensor] | None = None
    prepare: Callable[[nn.Module], nn.Module] | None = None
    place: str = HERE["eager"]
    between: int = 0

    def __call__(self, decisions: Sequence[Decision] = ()) -> list[float]:
        """See :class:`~frugalmtl.core.budget.Clock`."""
        networks = deployed_with(self.model, decisions)
        chooses = any(map(decides, networks))
        modules = {str(place): self.prepare(each) if self.prepare else each for place, each in enumerate(networks)}
        on_noise = not (chooses and self.images)
        batches = (
            [noise_images(networks, self.image_size)] if on_noise else batches_of(self.images or (), 1, MOST_IMAGES)
        )
        rounds = fitting_rounds(modules, batches[:1], SECONDS * len(modules), MOST_ROUNDS)
        figures = latency(modules, batches[:rounds], rounds=rounds, warmup=1).values()
        return [each.mean_ms if chooses else each.median_ms for each in figures]


def deployed_with(model: MultiTaskModel, decisions: Sequence[Decision] = ()) -> list[DeployedModel]:
    """The model deployed with each decision, on the CPU; with none, as it is. It is left in the last state.

    Args:
        model: copied.
        decisions: see :data:`~frugalmtl.core.budget.Decision`.
    """
    networks = []
    for decide in decisions or (_as_it_is,):
        decide()
        networks.append(deploy(copy.deepcopy(model).cpu()))
    return networks


def _as_it_is() -> None:
    """Decide nothing."""
