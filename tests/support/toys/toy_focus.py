"""Toy: one task a turn in focus, each with an adapter of its own on the same batch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from frugalmtl.backbones import Backbone
from frugalmtl.core.recipe import Stage, Turn
from frugalmtl.core.types import Features
from frugalmtl.encoders import Encoder
from frugalmtl.encoders.base import SharedPyramid


class ToyFocus(Encoder):
    """The tasks take turns on the same batches; a turn trains the network and its task's adapter alone.

    Args:
        backbone: the network.
        tasks: names of the tasks.
        steps: length of a turn.
    """

    def __init__(self, backbone: Backbone, tasks: Sequence[str], *, steps: int = 1) -> None:
        super().__init__()
        self.task_names, self.channels, self.strides = tuple(tasks), list(backbone.channels), list(backbone.strides)
        self.network, self.steps = deepcopy(backbone), steps
        self.adapters = nn.ParameterDict({task: torch.ones(self.channels[-1]) for task in self.task_names})
        self.register_buffer("strength", torch.ones(()))
        self.strength: Tensor
        self.focus = ""

    def encode(self, image: Tensor, tasks: Collection[str] | None = None) -> list[Tensor]:
        return list(self.network(image))

    def branch(self, shared: list[Tensor], tasks: Collection[str] | None = None) -> Features:
        wanted = [task for task in self.task_names if tasks is None or task in tasks]
        *levels, last = shared
        by_task = {task: [*levels, last * self._adapter(task)] for task in wanted}
        return Features(by_task, {"size": self.adapters[self.focus or self.task_names[0]].square().mean()})

    def _adapter(self, task: str) -> Tensor:
        factor = self.adapters[task][:, None, None]
        return factor * self.strength if self.training and task == self.focus else factor

    def recipe(self) -> tuple[Stage, ...]:
        turns = tuple(
            Turn(
                f"focus_{task}",
                steps=self.steps,
                trains=("encoder.network.*", f"encoder.adapters.{task}", f"decoder.heads.{task}.*"),
                tasks=(task,),
                penalties={"size": 0.01 * (number + 1)},
                same_batch=number > 0,
            )
            for number, task in enumerate(self.task_names)
        )
        return (Stage("rounds", turns=turns),)

    def enter_turn(self, turn: str, cycle: int) -> None:
        self.focus = turn.removeprefix("focus_")
        self.strength.fill_(1.0 + 0.1 * cycle + 0.01 * torch.rand(()).item())

    def deploy(self) -> nn.Module:
        return Adapted(self)


class Adapted(nn.Module):
    """Deployed form: the network, and an adapter per task."""

    def __init__(self, trained: ToyFocus) -> None:
        super().__init__()
        levels = trained.read_levels or dict.fromkeys(trained.task_names, (0,))
        self.tasks = [task for task in trained.task_names if levels[task]]
        self.shared = SharedPyramid(trained.network, self.tasks)
        self.adapters = nn.ParameterDict({task: trained.adapters[task] for task in self.tasks})

    def forward(self, image: Tensor) -> dict[str, list[Tensor]]:
        pyramids = self.shared(image)
        return {
            task: [*pyramids[task][:-1], pyramids[task][-1] * self.adapters[task][:, None, None]] for task in self.tasks
        }
