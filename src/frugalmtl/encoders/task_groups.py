"""Task groups: tasks that are trained together share one network, the groups share nothing (Standley et al., 2020)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from copy import deepcopy

from torch import Tensor, nn

from frugalmtl.backbones import Backbone
from frugalmtl.core.checks import UserError, known
from frugalmtl.core.types import Features, Pyramid
from frugalmtl.encoders.base import Encoder, consecutive_pyramids, wanted_of


class TaskGroups(Encoder):
    """One network per group of tasks: hard sharing within a group, nothing between groups.

    A static choice of what is shared, task by task. One group is ``hard_sharing``, a group per task ``single_task``; in
    between lie the partitions that Standley et al., "Which Tasks Should Be Learned Together in Multi-task Learning?"
    (ICML 2020), choose among. Which one is best is not searched here: a comparison has a row for each.

    The cut lies at the pyramids of the groups with a wanted task; no other network runs.

    Args:
        backbone: copied once per group.
        tasks: names of the tasks.
        groups: names of the tasks of each group, e.g. ``[[segmentation], [depth, normals]]``; None for one group.

    Raises:
        UserError: a group without tasks, an unknown task, or one that is not in exactly one group.
    """

    def __init__(
        self, backbone: Backbone, tasks: Sequence[str], *, groups: tuple[tuple[str, ...], ...] | None = None
    ) -> None:
        super().__init__()
        self.task_names = tuple(tasks)
        self.groups = _checked(groups or (self.task_names,), self.task_names)
        self.channels, self.strides = list(backbone.channels), list(backbone.strides)
        self.networks = nn.ModuleList(deepcopy(backbone) for _ in self.groups)

    def encode(self, image: Tensor, tasks: Collection[str] | None = None) -> list[Tensor]:
        """Image ``[B, 3, H, W]`` -> the levels of the first wanted group's pyramid, then the second's, ..."""
        return [level for group in self._wanted(tasks) for level in self.networks[group](image)]

    def branch(self, shared: list[Tensor], tasks: Collection[str] | None = None) -> Features:
        """The pyramid of its group for every wanted task."""
        groups = [self.groups[number] for number in self._wanted(tasks)]
        of_first = consecutive_pyramids(shared, [group[0] for group in groups], len(self.channels))
        pyramids = {task: list(of_first[group[0]]) for group in groups for task in group}
        return Features({task: pyramids[task] for task in wanted_of(self.task_names, tasks)})

    def deploy(self) -> nn.Module:
        """The networks of the groups that are read."""
        read = self.read_tasks()
        parts = [(self.networks[group], wanted_of(self.groups[group], read)) for group in self._wanted(read)]
        return GroupNetworks([network for network, _ in parts], [group for _, group in parts])

    def _wanted(self, tasks: Collection[str] | None) -> list[int]:
        """Numbers of the groups with a wanted task."""
        return [number for number, group in enumerate(self.groups) if wanted_of(group, tasks)]


class GroupNetworks(nn.Module):
    """Deployed form of groups of tasks: a network per group, its pyramid handed to each of its tasks.

    Args:
        networks: of the groups.
        groups: names of their tasks.
    """

    def __init__(self, networks: Sequence[nn.Module], groups: Sequence[Sequence[str]]) -> None:
        super().__init__()
        self.networks, self.groups = nn.ModuleList(networks), tuple(map(tuple, groups))

    def forward(self, image: Tensor) -> dict[str, Pyramid]:
        """Image ``[B, 3, H, W]`` -> ``{task: pyramid}``; tasks of a group have one pyramid."""
        pyramids: dict[str, Pyramid] = {}
        for network, group in zip(self.networks, self.groups, strict=True):
            pyramids |= dict.fromkeys(group, network(image))
        return pyramids


def _checked(groups: Sequence[Sequence[str]], tasks: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The groups, if every task is in exactly one."""
    counts = Counter(task for group in groups for task in group)
    for task in counts:
        known("task in groups:", task, tasks)
    if not all(groups):
        raise UserError("groups has an empty group: leave it out")
    if wrong := [task for task in tasks if counts[task] != 1]:
        raise UserError(
            f"groups must hold every task once, but {', '.join(f'{task!r} is in {counts[task]}' for task in wrong)}"
        )
    return tuple(tuple(group) for group in groups)
