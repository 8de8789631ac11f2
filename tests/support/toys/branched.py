"""A toy encoder of another kind: the tasks share the first stages of a backbone, then run arms of their own."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from copy import deepcopy

from torch import Tensor, nn

from frugalmtl.backbones import Backbone, State, state_of, tensors_of
from frugalmtl.core.types import Features, Pyramid
from frugalmtl.encoders import Encoder
from frugalmtl.encoders.base import wanted_of


class Branched(Encoder):
    """One trunk of ``shared`` stages, then an arm per task; the arms of tasks that are not wanted do not run.

    The cut holds what the trunk's stages gave.

    Args:
        backbone: its first stages are the trunk, copies of the others the arms.
        tasks: names of the tasks.
        shared: number of stages of the trunk.
    """

    def __init__(self, backbone: Backbone, tasks: Sequence[str], *, shared: int = 2) -> None:
        super().__init__()
        self.task_names = tuple(tasks)
        self.channels, self.strides = list(backbone.channels), list(backbone.strides)
        self.trunk = nn.ModuleList(deepcopy(backbone.stages[:shared]))
        self.arms = nn.ModuleDict({task: nn.ModuleList(deepcopy(backbone.stages[shared:])) for task in tasks})
        self.sizes = [len(widths) for widths in backbone.stage_channels[:shared]]
        self.levels = backbone.pyramid_stages

    def encode(self, image: Tensor, tasks: Collection[str] | None = None) -> list[Tensor]:
        if not wanted_of(self.task_names, tasks):
            return []
        return [tensor for state in run_stages(self.trunk, image) for tensor in tensors_of(state)]

    def branch(self, shared: list[Tensor], tasks: Collection[str] | None = None) -> Features:
        wanted, rest = wanted_of(self.task_names, tasks), list(shared)
        states = [state_of([rest.pop(0) for _ in range(size)]) for size in (self.sizes if wanted else ())]
        return Features({task: pyramid_of(states, self.arms[task], self.levels) for task in wanted})

    def deploy(self) -> nn.Module:
        return DeployedBranches(self)


class DeployedBranches(nn.Module):
    """The trunk and the arms of the tasks that are read."""

    def __init__(self, trained: Branched) -> None:
        super().__init__()
        self.trunk, self.levels = trained.trunk, trained.levels
        self.arms = nn.ModuleDict({task: trained.arms[task] for task in trained.read_tasks()})

    def forward(self, image: Tensor) -> dict[str, Pyramid]:
        states = run_stages(self.trunk, image)
        return {task: pyramid_of(states, arm, self.levels) for task, arm in self.arms.items()}


def run_stages(stages: nn.Module, state: State) -> list[State]:
    states = []
    for stage in stages.children():
        state = stage(state)
        states.append(state)
    return states


def pyramid_of(states: Sequence[State], arm: nn.Module, levels: Sequence[int]) -> Pyramid:
    every = [*states, *run_stages(arm, states[-1])]
    return [tensors_of(every[level])[0] for level in levels]
