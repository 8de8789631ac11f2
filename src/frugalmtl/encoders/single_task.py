"""Single-task networks: one network per task, the reference of every comparison."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from copy import deepcopy

from torch import Tensor, nn

from frugalmtl.backbones import Backbone
from frugalmtl.core.types import Features
from frugalmtl.encoders.base import Encoder, SeparateNetworks, consecutive_pyramids, wanted_of


class SingleTask(Encoder):
    """One network per task, nothing shared.

    The cut lies at the pyramids of the wanted tasks' networks, and no other network runs. Each pyramid is read by one
    task alone, so gradients of different tasks never meet there and never conflict.

    Args:
        backbone: copied once per task.
        tasks: names of the tasks.
    """

    shares = False

    def __init__(self, backbone: Backbone, tasks: Sequence[str]) -> None:
        super().__init__()
        self.task_names = tuple(tasks)
        self.channels, self.strides = list(backbone.channels), list(backbone.strides)
        self.networks = nn.ModuleDict({task: deepcopy(backbone) for task in self.task_names})

    def encode(self, image: Tensor, tasks: Collection[str] | None = None) -> list[Tensor]:
        """Image ``[B, 3, H, W]`` -> the levels of the first wanted task's pyramid, then the second's, ..."""
        return [level for task in wanted_of(self.task_names, tasks) for level in self.networks[task](image)]

    def branch(self, shared: list[Tensor], tasks: Collection[str] | None = None) -> Features:
        """The pyramids as they are."""
        return Features(consecutive_pyramids(shared, wanted_of(self.task_names, tasks), len(self.channels)))

    def deploy(self) -> nn.Module:
        """The networks side by side."""
        return SeparateNetworks(self.networks, self.read_tasks())
