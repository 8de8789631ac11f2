"""Toy: networks of their own, until what was measured on a held-out part says which tasks share one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from typing import Any

from torch import Tensor, nn

from frugalmtl.backbones import Backbone
from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import HOLDOUT, Share, Stage
from frugalmtl.core.types import Features, Pyramid
from frugalmtl.encoders import Encoder, StageView


class ToyGroups(Encoder):
    """One network per group of tasks; a group per task at the start, one for all after the search.

    Args:
        backbone: the network.
        tasks: names of the tasks.
        search_share: share of the epochs after which the groups are decided; 0 keeps those that there are.
        keep: see :class:`~frugalmtl.core.recipe.Stage`, of the search.
    """

    learns_cost = True

    def __init__(
        self, backbone: Backbone, tasks: Sequence[str], *, search_share: float = 0.5, keep: str = "last"
    ) -> None:
        super().__init__()
        self.task_names, self.channels, self.strides = tuple(tasks), list(backbone.channels), list(backbone.strides)
        self.search_share, self.keep = search_share, keep
        self.groups = [(task,) for task in self.task_names]
        self.networks = nn.ModuleList(deepcopy(backbone) for _ in self.groups)
        self.measured: dict[str, Any] = {}

    def encode(self, image: Tensor, tasks: Collection[str] | None = None) -> list[Tensor]:
        return [level for network in self.networks for level in network(image)]

    def branch(self, shared: list[Tensor], tasks: Collection[str] | None = None) -> Features:
        levels = len(self.channels)
        starts = {task: number * levels for number, group in enumerate(self.groups) for task in group}
        return Features({task: shared[starts[task] : starts[task] + levels] for task in self.task_names})

    def recipe(self) -> tuple[Stage, ...]:
        search = Stage("search", self.search_share, stream="own", keep=self.keep)  # type: ignore[arg-type]
        return (search, Stage("final", 1.0 - self.search_share))

    def streams(self) -> Mapping[str, Share]:
        return {"own": (0.0, 0.5), HOLDOUT: (0.5, 1.0)}

    def end_stage(self, stage: str, view: StageView) -> None:
        if stage == "search":
            scores = view.scores(HOLDOUT)
            self.measured = {
                "names": [name for batch in view.batches(HOLDOUT) for name in batch.names],
                "scored": sorted(scores),
                "gain": view.gain(scores, scores),
                "macs": view.macs(),
                "latency": view.latency()[0],
            }
            self.restructure({"groups": [list(self.task_names)], "measured": self.measured})

    def structure(self) -> dict[str, Any] | None:
        if len(self.groups) == len(self.task_names):
            return None
        return {"groups": [list(group) for group in self.groups], "measured": self.measured}

    def restructure(self, structure: Mapping[str, Any]) -> None:
        groups = [tuple(group) for group in structure["groups"]]
        if sorted(task for group in groups for task in group) != sorted(self.task_names):
            raise UserError(f"groups must hold each of {', '.join(self.task_names)} once, but got {groups}")
        networks = {task: network for group, network in zip(self.groups, self.networks, strict=True) for task in group}
        self.groups, self.measured = groups, dict(structure["measured"])
        self.networks = nn.ModuleList(networks[group[0]] for group in groups)

    def deploy(self) -> nn.Module:
        return Grouped(self.networks, self.groups)


class Grouped(nn.Module):
    """Deployed form: a network per group, its pyramid handed to each of its tasks."""

    def __init__(self, networks: nn.ModuleList, groups: Sequence[tuple[str, ...]]) -> None:
        super().__init__()
        self.networks, self.groups = networks, list(groups)

    def forward(self, image: Tensor) -> dict[str, Pyramid]:
        features: dict[str, Pyramid] = {}
        for group, network in zip(self.groups, self.networks, strict=True):
            features |= dict.fromkeys(group, network(image))
        return features
