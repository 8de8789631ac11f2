"""Small gated networks with branches that differ, random gates, and models to train them in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from frugalmtl.core.budget import Decision
from frugalmtl.core.seeding import derive_seed, seed_everything
from frugalmtl.decoders import DECODERS
from frugalmtl.deployment import deploy
from frugalmtl.encoders import ENCODERS
from frugalmtl.encoders.interrogate.encoder import InterroGate
from frugalmtl.evaluation.cost import count
from frugalmtl.model import MultiTaskModel
from frugalmtl.tasks import TASKS, Task
from tests.support.channels import CIFAR, backbone, scramble

SIDE = (16, 16)
NAMES = ("near", "far", "edge", "word")


def gated(kind: str, tasks: int = 2, *, seed: int = 0, **settings: Any) -> InterroGate:
    """An encoder in eval mode whose branches differ; all gates as they start."""
    seed_everything(seed)
    encoder: InterroGate = ENCODERS.build({"name": "interrogate", **settings}, backbone(kind), NAMES[:tasks])
    scramble(encoder, seed)
    with torch.no_grad():
        encoder.gates.beta.normal_(generator=torch.Generator().manual_seed(seed))
    return encoder.eval()


def set_gates(encoder: InterroGate, open_gates: Tensor) -> None:
    """Gates ``[T, U]`` of booleans."""
    with torch.no_grad():
        encoder.gates.alpha.copy_(torch.where(open_gates, 0.5, -0.5))


def draw_gates(encoder: InterroGate, seed: int) -> None:
    """Every task opens all, none, few, half or most gates of a site."""
    generator = torch.Generator().manual_seed(seed)
    places = encoder.gates.places
    edges = [0]
    for width in places.widths:
        edges.append(edges[-1] + width)
    columns = torch.tensor(places.columns)
    result = torch.zeros(encoder.gates.alpha.shape, dtype=torch.bool)
    densities = torch.tensor([0.0, 0.0, 0.1, 0.5, 0.9, 1.0])
    for start, stop in pairwise(edges):
        gates = columns[start:stop].unique()
        for row in result:
            density = densities[torch.randint(len(densities), (), generator=generator)]
            row[gates] = torch.rand(len(gates), generator=generator) < density
        if torch.rand((), generator=generator) < 0.2:  # a layer that nobody owns, or everybody
            result[:, gates] = bool(torch.rand((), generator=generator) < 0.5)
    set_gates(encoder, result)


def deployed(encoder: InterroGate) -> nn.Module:
    """The deployed form of a copy."""
    return deepcopy(encoder).eval().deploy().eval()


def budgeted(budget: str, tasks: int = 2, kind: str = CIFAR, **settings: Any) -> InterroGate:
    """With alphas as after some training, and a price that is set in every step."""
    common = {"frozen_share": 0.25, "pretrain_share": 0.0, "price_every": 1}
    encoder = gated(kind, tasks, budget=budget, **common, **settings)
    with torch.no_grad():
        encoder.gates.alpha.add_(0.05 * torch.randn(encoder.gates.alpha.shape))
        encoder.gates.alpha.clamp_(min=0.001)
    return encoder.train()


def toy_tasks() -> tuple[Task, ...]:
    """Segmentation and depth."""
    return (TASKS.build({"name": "segmentation", "classes": ["a", "b", "c"]}), TASKS.build("depth"))


def toy_model(name: str = "interrogate", **settings: Any) -> MultiTaskModel:
    """A small model for :func:`toy_tasks`, from one seed."""
    seed_everything(derive_seed(7, "weights"))
    tasks = toy_tasks()
    encoder = ENCODERS.build({"name": name, **settings}, backbone(CIFAR), [task.name for task in tasks])
    decoder = DECODERS.build({"name": "independent", "head": "linear"}, encoder.channels, encoder.strides, tasks)
    return MultiTaskModel(encoder, decoder, tasks)


def measured(model: MultiTaskModel) -> int:
    """Multiply-adds of the deployed model."""
    return count(deploy(model, example=torch.randn(1, 3, *SIDE)), SIDE).macs


def milliseconds(model: MultiTaskModel) -> float:
    """Time as a bent function of the operations of the deployed model."""
    return float((measured(model) / 1e6) ** 1.5)


@dataclass
class ClockBy:
    """A clock that takes the time of each decision from a function."""

    time: Callable[[], float]
    place: str = "this machine in a dream"
    between: int = 0

    def __call__(self, decisions: Sequence[Decision] = ()) -> list[float]:
        times = []
        for decide in decisions or (lambda: None,):
            decide()
            times.append(self.time())
        return times
