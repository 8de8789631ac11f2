"""Tiny methods that train in turns, decide when a stage ends, and have a shape of their own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from frugalmtl.core.recipe import HOLDOUT, ParameterGroup, Share, Stage, Turn
from frugalmtl.core.types import Features
from frugalmtl.encoders import StageView
from frugalmtl.model import MultiTaskModel
from tests.support.tiny_training import Heads, Shared, block, tasks


class Alternating(Shared):
    """Weights and a policy that scales each task's features learn in turns; then all again from the first weights."""

    def __init__(self, names: tuple[str, ...], *, norm: bool = True, dropout: float = 0.2) -> None:
        super().__init__(names, norm=norm, dropout=dropout)
        self.policy = nn.Parameter(torch.zeros(len(names)))
        self.register_buffer("heat", torch.ones(()))
        self.heat: Tensor
        self.turns: list[tuple[str, int]] = []

    def branch(self, shared: list[Tensor], tasks: Collection[str] | None = None) -> Features:
        noise = torch.rand(len(self.policy)) * self.heat if self.training else 0.0
        factors = torch.sigmoid(self.policy + noise)
        by_task = {
            name: [shared[0] * factor]
            for name, factor in zip(self.task_names, factors, strict=True)
            if tasks is None or name in tasks
        }
        return Features(by_task, {"spread": self.policy.square().sum()})

    def streams(self) -> Mapping[str, Share]:
        return {"weights": (0.0, 0.7), "policy": (0.7, 1.0)}

    def recipe(self) -> tuple[Stage, ...]:
        adam = {"name": "adam", "lr": 0.05}
        return (
            Stage(
                "search",
                0.5,
                groups=(ParameterGroup("encoder.policy", optimizer=adam, scheduled=False),),
                turns=(
                    Turn("weights", stream="weights", trains=("encoder.trunk.*", "decoder.*")),
                    Turn("policy", steps=3, stream="policy", trains=("encoder.policy",), penalties={"spread": 0.1}),
                ),
                settings={"schedule": {"name": "constant"}, "clip_norm": 1.0},
            ),
            Stage("again", 0.5, frozen=("encoder.policy",), fresh=("encoder.trunk.*", "decoder.*")),
        )

    def enter_turn(self, turn: str, cycle: int) -> None:
        self.turns.append((turn, cycle))
        self.heat.fill_(0.9**cycle + 0.01 * torch.rand(()).item())


class Splitting(Shared):
    """A trunk whose second block becomes one per group of tasks at the end of the first stage."""

    def __init__(self, names: tuple[str, ...], *, norm: bool = True, dropout: float = 0.2) -> None:
        super().__init__(names, norm=norm, dropout=dropout)
        self.trunk, self.arms = block(3, 4, norm=norm), nn.ModuleList([block(4, 4, norm=norm)])
        self.groups: list[list[str]] = [list(names)]

    def encode(self, image: Tensor, tasks: Collection[str] | None = None) -> list[Tensor]:
        state = self.trunk(image)
        return [arm(state) for arm in self.arms]

    def branch(self, shared: list[Tensor], tasks: Collection[str] | None = None) -> Features:
        levels = {task: [level] for group, level in zip(self.groups, shared, strict=True) for task in group}
        return Features({task: levels[task] for task in self.task_names if tasks is None or task in tasks})

    def streams(self) -> Mapping[str, Share]:
        return {"most": (0.0, 0.8), HOLDOUT: (0.8, 1.0)}

    def recipe(self) -> tuple[Stage, ...]:
        return Stage("joint", 0.5, stream="most", keep="best"), Stage("apart", 0.5)

    def end_stage(self, stage: str, view: StageView) -> None:
        if stage == "joint":
            losses = {task: value["loss"] for task, value in view.scores(HOLDOUT).items()}
            hard = max(losses, key=lambda task: losses[task])
            self.restructure({"groups": [[hard], [task for task in self.task_names if task != hard]]})

    def structure(self) -> dict[str, Any]:
        return {"groups": self.groups}

    def restructure(self, structure: Mapping[str, Any]) -> None:
        self.groups = [list(group) for group in structure["groups"]]
        self.arms = nn.ModuleList(deepcopy(self.arms[0]) for _ in self.groups)


TURNING: dict[str, type[Shared]] = {"alternating": Alternating, "splitting": Splitting}


def turning_model(kind: type[Shared], *, norm: bool = True, dropout: float = 0.2) -> MultiTaskModel:
    """A model of one of the encoders here, with fixed initial weights."""
    torch.manual_seed(3)
    chosen = tasks()
    return MultiTaskModel(
        kind(tuple(task.name for task in chosen), norm=norm, dropout=dropout), Heads(4, chosen), chosen
    )
