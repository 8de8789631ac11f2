"""Toy: a network whose residual blocks run or not, image by image, by what a linear layer reads in front of each."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from frugalmtl.backbones import Backbone
from frugalmtl.backbones.base import State
from frugalmtl.backbones.views import macs_per_block, require_residual, residual_blocks
from frugalmtl.core.budget import Budget
from frugalmtl.core.recipe import HOLDOUT, Share, Stage
from frugalmtl.core.types import Decisions, Features, Pyramid
from frugalmtl.encoders import DecidingEncoder, DecidingModule, StageView
from frugalmtl.encoders.base import ModelContext, wanted_of


class ToyRouter(DecidingEncoder):
    """One decision per image and block: ``run: [B, blocks]``.

    Args:
        backbone: the network.
        tasks: names of the tasks.
        points: mean costs to be calibrated for, as budgets.
    """

    views = ("residual",)
    learns_cost = True

    def __init__(self, backbone: Backbone, tasks: Sequence[str], *, points: Sequence[str] = ()) -> None:
        super().__init__()
        self.task_names, self.channels, self.strides = tuple(tasks), list(backbone.channels), list(backbone.strides)
        require_residual(backbone)
        self.network, self.points = deepcopy(backbone), tuple(points)
        views = residual_blocks(self.network)
        self.gated = [name for name, view in views.items() if view is not None and view.projection is None]
        before = dict(zip([info.name for info in backbone.blocks[1:]], backbone.blocks, strict=False))
        self.readers = nn.ModuleList(nn.Linear(before[name].channels[0], 1) for name in self.gated)
        self.register_buffer("thresholds", torch.zeros(len(self.points)))
        self.thresholds: Tensor
        self.macs: dict[str, float] = {}
        self.targets: dict[str, float] = {}

    def encode(
        self, image: Tensor, tasks: Collection[str] | None = None, decisions: Decisions | None = None
    ) -> list[Tensor]:
        return self._run(image, decisions)[0] if wanted_of(self.task_names, tasks) else []

    def branch(self, shared: list[Tensor], tasks: Collection[str] | None = None) -> Features:
        wanted = wanted_of(self.task_names, tasks)
        logits = torch.stack([reader.weight.mean() for reader in self.readers])
        return Features({task: list(shared) for task in wanted}, {"open": logits.square().mean()})

    def margins(
        self, image: Tensor, decisions: Decisions | None = None, tasks: Collection[str] | None = None
    ) -> dict[str, Tensor]:
        return {"run": self._run(image, decisions)[1]}

    def _run(self, image: Tensor, decisions: Decisions | None) -> tuple[Pyramid, Tensor]:
        views, margins, states, state = residual_blocks(self.network), [], {}, image
        for info in self.network.blocks:
            view = views[info.name]
            if view is None or info.name not in self.gated:
                state = self.network.get_submodule(info.name)(state)
            else:
                number = self.gated.index(info.name)
                margin = read(self.readers[number], state, self.network.channel_axis)
                soft = margin.sigmoid()
                run = margin > 0 if decisions is None else decisions["run"][:, number]
                gate = (run.to(soft) + soft - soft.detach())[:, None, None, None]
                skipped = view.shortcut(state)
                state = gate * view.after(skipped + view.branch(state)) + (1 - gate) * skipped
                margins.append(margin)
            states[info.stage] = state
        return self.network.pyramid(states), torch.stack(margins, 1)

    def recipe(self) -> tuple[Stage, ...]:
        return (Stage(penalties={"open": 1.0}),)

    def streams(self) -> Mapping[str, Share]:
        return {HOLDOUT: (0.5, 1.0)} if self.points else {}

    def plan(self, context: ModelContext) -> None:
        costs = macs_per_block(self.network, context.image_size)
        self.macs = {name: costs[name].branch for name in self.gated}
        fixed = sum(cost.total for cost in costs.values()) - sum(self.macs.values()) + context.decoder_macs
        single = len(self.task_names) * sum(cost.total for cost in costs.values()) + context.decoder_macs
        for point in self.points:
            budget = Budget.parse(point)
            self.targets[point] = budget.value * (single if budget.kind == "share" else 1.0) - fixed

    def end_stage(self, stage: str, view: StageView) -> None:
        """The threshold under which as many blocks run as the point allows."""
        images = [batch.image for batch in view.batches(HOLDOUT)] if self.points else []
        costs = torch.tensor([self.macs[name] for name in self.gated])
        for number, point in enumerate(self.points):
            low, high = -30.0, 30.0
            for _ in range(40):
                middle = (low + high) / 2
                runs = torch.cat([Routed(self, middle).eval().decide(image)["run"] for image in images])
                mean = (runs.float().cpu() @ costs).mean().item()
                low, high = (middle, high) if mean > self.targets[point] else (low, middle)
            self.thresholds[number] = high

    def deploy(self) -> nn.Module:
        read, every = self.read_levels or {}, range(len(self.channels))
        self.network.keep_levels({level for task in self.task_names for level in read.get(task, every)})
        return Routed(self)


class Routed(DecidingModule):
    """Deployed form: every block runs on those images of the batch that take it."""

    def __init__(self, trained: ToyRouter, threshold: float = 0.0) -> None:
        super().__init__()
        self.network, self.readers, self.gated = trained.network, trained.readers, trained.gated
        self.tasks, self.points, self.thresholds = trained.read_tasks(), trained.points, trained.thresholds.tolist()
        self.register_buffer("threshold", torch.tensor(threshold))
        self.threshold: Tensor

    def forward(self, image: Tensor, decisions: Decisions | None = None) -> dict[str, Pyramid]:
        states = {}
        for stage, state, _ in self._steps(image, decisions):
            states[stage] = state
        return dict.fromkeys(self.tasks, self.network.pyramid(states))

    def margins(self, image: Tensor, decisions: Decisions | None = None) -> dict[str, Tensor]:
        values = [margin for _, _, margin in self._steps(image, decisions) if margin is not None]
        return {"run": torch.stack(values, 1)}

    def settle(self, point: str) -> None:
        self.threshold = self.threshold.new_tensor(self.thresholds[self.points.index(point)])
        self.points = ()

    def _steps(self, image: Tensor, decisions: Decisions | None) -> Iterator[tuple[int, State, Tensor | None]]:
        views, state = residual_blocks(self.network), image
        for info in self.network.blocks:
            view, margin = views[info.name], None
            if view is None or info.name not in self.gated:
                state = self.network.get_submodule(info.name)(state)
            else:
                number = self.gated.index(info.name)
                margin = read(self.readers[number], state, self.network.channel_axis) - self.threshold
                taken = (margin > 0 if decisions is None else decisions["run"][:, number]).nonzero()[:, 0]
                if len(taken):
                    chosen = state[taken]
                    state = view.shortcut(state).index_copy(0, taken, view.after(chosen + view.branch(chosen)))
            yield info.stage, state, margin


def read(reader: nn.Module, state: Tensor, axis: int) -> Tensor:
    """What a linear layer reads in the mean of a state: ``[B]``."""
    pooled = state.mean((1, 2) if axis == -1 else (2, 3))
    values: Tensor = reader(pooled)[:, 0]
    return values
