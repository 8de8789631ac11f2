"""Single-task networks: one network per task, the reference of every comparison."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

from torch import Tensor, nn

from frugalmtl.backbones import Backbone
from frugalmtl.core.types import Features
from frugalmtl.encoders.base import Encoder, SeparateNetworks


class SingleTask(Encoder):
    """One network per task, nothing shared.

    The cut lies at the pyramids of all networks. Each is read by one task alone, so gradients of different tasks never
    meet there and never conflict.

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

    def encode(self, image: Tensor) -> list[Tensor]:
        """Image ``[B, 3, H, W]`` -> the levels of the first task's pyramid, then the second's, ..."""
        return [level for network in self.networks.values() for level in network(image)]

    def branch(self, shared: list[Tensor]) -> Features:
        """The pyramids as they are."""
        levels = len(self.channels)
        starts = range(0, len(shared), levels)
        return Features({task: shared[at : at + levels] for task, at in zip(self.task_names, starts, strict=True)})

    def deploy(self) -> nn.Module:
        """The networks side by side."""
        return SeparateNetworks(self.networks)
