"""Hard sharing: one network for all tasks (Caruana, 1997)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from copy import deepcopy

from torch import Tensor, nn

from frugalmtl.backbones import Backbone
from frugalmtl.core.types import Features
from frugalmtl.encoders.base import Encoder, SharedPyramid, wanted_of


class HardSharing(Encoder):
    """One network whose features all tasks read (Caruana, "Multitask Learning", 1997); the tasks part at the pyramid.

    Args:
        backbone: the network (copied).
        tasks: names of the tasks.
    """

    def __init__(self, backbone: Backbone, tasks: Sequence[str]) -> None:
        super().__init__()
        self.task_names = tuple(tasks)
        self.channels, self.strides = list(backbone.channels), list(backbone.strides)
        self.network = deepcopy(backbone)

    def encode(self, image: Tensor, tasks: Collection[str] | None = None) -> list[Tensor]:
        """Image ``[B, 3, H, W]`` -> the levels of the pyramid; none where no task is wanted."""
        return list(self.network(image)) if wanted_of(self.task_names, tasks) else []

    def branch(self, shared: list[Tensor], tasks: Collection[str] | None = None) -> Features:
        """The same pyramid for every wanted task."""
        return Features({task: list(shared) for task in wanted_of(self.task_names, tasks)})

    def deploy(self) -> nn.Module:
        """The network, its pyramid handed to each task."""
        return SharedPyramid(self.network, self.read_tasks())
