"""Toy: a shared network that parts into arms, by what it saw of the data at the end of its first stage."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from frugalmtl.backbones import Backbone, State
from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import HOLDOUT, Share, Stage, Turn
from frugalmtl.core.types import Features, Pyramid
from frugalmtl.encoders import Encoder, StageView


class ToyBranches(Encoder):
    """All tasks share a network; then tasks whose learned scales disagree on the data get a last stage of their own.

    Args:
        backbone: the network.
        tasks: names of the tasks.
        threshold: tasks share an arm if the cosine of their scaled features, summed over the probe, is at least this.
    """

    learns_cost = True

    def __init__(self, backbone: Backbone, tasks: Sequence[str], *, threshold: float = 2.0) -> None:
        super().__init__()
        self.task_names, self.channels, self.strides = tuple(tasks), list(backbone.channels), list(backbone.strides)
        self.network, self.threshold = deepcopy(backbone), threshold
        self.arms = nn.ModuleList()
        self.groups = [self.task_names]
        self.scales = nn.ParameterDict({task: torch.randn(self.channels[-1]) for task in self.task_names})

    def encode(self, image: Tensor, tasks: Collection[str] | None = None) -> list[Tensor]:
        states: list[State] = [image]
        for stage in self._trunk():
            states.append(stage(states[-1]))
        return [state for state in states[1:] if isinstance(state, Tensor)]

    def branch(self, shared: list[Tensor], tasks: Collection[str] | None = None) -> Features:
        wanted = [task for task in self.task_names if tasks is None or task in tasks]
        last = len(self.network.stages) - 1
        by_task: dict[str, Pyramid] = {}
        for group, arm in zip(self.groups, self.arms or [nn.Identity()], strict=True):
            members = [task for task in group if task in wanted]
            if members:
                states: dict[int, State] = {**dict(enumerate(shared)), last: arm(shared[-1])}
                pyramid = self.network.pyramid(states)
                by_task |= {task: [*pyramid[:-1], pyramid[-1] * self._scale(task)] for task in members}
        return Features({task: by_task[task] for task in wanted})

    def _trunk(self) -> list[nn.Module]:
        return list(self.network.stages)[: -1 if self.arms else None]

    def _scale(self, task: str) -> Tensor:
        return self.scales[task][:, None, None]

    def streams(self) -> Mapping[str, Share]:
        return {"most": (0.0, 0.7), HOLDOUT: (0.7, 1.0)}

    def recipe(self) -> tuple[Stage, ...]:
        return (
            Stage("shared", 0.5, stream="most", keep="best", settings={"schedule": {"name": "constant"}}),
            Stage("branched", 0.5, fresh=("encoder.scales.*",), turns=(Turn("arms", steps=2),)),
        )

    def end_stage(self, stage: str, view: StageView) -> None:
        if stage != "shared" or self.arms:
            return  # the shape was taken from another run
        with torch.no_grad():
            features = sum(self.network(batch.image)[-1].mean(dim=(0, 2, 3)) for batch in view.batches(HOLDOUT))
            sums = {task: features * scale for task, scale in self.scales.items()}
            directions = {task: nn.functional.normalize(total, dim=0) for task, total in sums.items()}
        groups = [[task] for task in self.task_names]
        for one, other in combinations(self.task_names, 2):
            if float(directions[one] @ directions[other]) >= self.threshold:
                first, second = (next(group for group in groups if task in group) for task in (one, other))
                if first is not second:
                    groups.remove(second)
                    first += second
        self.restructure({"groups": groups})

    def structure(self) -> dict[str, Any] | None:
        return {"groups": [list(group) for group in self.groups]} if self.arms else None

    def restructure(self, structure: Mapping[str, Any]) -> None:
        groups = [tuple(group) for group in structure["groups"]]
        if sorted(task for group in groups for task in group) != sorted(self.task_names):
            raise UserError(f"groups must hold each of {', '.join(self.task_names)} once, but got {groups}")
        last = self.arms[0] if self.arms else self.network.stages[-1]
        self.groups, self.arms = groups, nn.ModuleList(deepcopy(last) for _ in groups)
        self.network.stages[-1] = nn.Identity()

    def deploy(self) -> nn.Module:
        return Arms(self)


class Arms(nn.Module):
    """Deployed form: trunk, arms, scales."""

    def __init__(self, trained: ToyBranches) -> None:
        super().__init__()
        self.trained = trained
        levels = trained.read_levels or dict.fromkeys(trained.task_names, (0,))
        self.tasks = [task for task in trained.task_names if levels[task]]

    def forward(self, image: Tensor) -> dict[str, Pyramid]:
        return self.trained.branch(self.trained.encode(image), self.tasks).by_task
