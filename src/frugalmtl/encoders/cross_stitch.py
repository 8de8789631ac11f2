"""Cross-stitch networks: features of one network per task are mixed linearly after each stage (Misra et al., 2016)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import deepcopy
from itertools import islice
from typing import Literal, cast

import torch
from torch import Tensor, nn

from frugalmtl.backbones import Backbone, State, state_of, tensors_of
from frugalmtl.core.checks import UserError, fraction, positive
from frugalmtl.core.recipe import ParameterGroup, Stage
from frugalmtl.core.types import Features, Pyramid
from frugalmtl.encoders.base import Encoder, SeparateNetworks, wanted_of


class CrossStitch(Encoder):
    r"""Cross-stitch network: after each stage the tasks' features are mixed, ``x_i' = sum_j a_ij x_j``.

    The weights a start at ``own`` on the diagonal and ``other`` beside it. The networks are first trained alone (the
    units are bypassed), then together with the units, whose learning rate is ``lr_factor`` times higher.

    The cut holds the wanted tasks' mixed features of every earlier stage that heads read directly, and what goes into
    the last unit: its inputs are read by every task, so :meth:`branch` applies that unit.

    While the units are bypassed, only the wanted tasks' networks run. Else every task's features are made of all
    networks', so these run up to the last unit whatever is wanted (of which only the wanted tasks' rows are computed).

    Source: Misra et al., "Cross-stitch Networks for Multi-task Learning" (CVPR 2016), section 3. A weight per channel,
    a unit after the last stage too and the initial weights follow Vandenhende et al., "Multi-Task Learning for Dense
    Prediction Tasks: A Survey" (TPAMI 2021), section 2.2.1 (.9/.1 for two tasks; for five, ``own=0.8`` gives its .05).
    How the epochs are split is our choice.

    Args:
        backbone: copied once per task.
        tasks: names of the tasks.
        own: initial weight of a task's own features.
        other: initial weight of each other task's; None for (1 - own) / (T - 1), so that a row adds up to 1.
        granularity: a weight per channel, or one scalar for all channels of a tensor.
        lr_factor: learning rate of the units over that of the networks.
        pretrain_share: share of the epochs in which the networks train alone; 0 if their weights come from a
            single-task run.

    Raises:
        UserError: a value out of its range.
    """

    def __init__(
        self,
        backbone: Backbone,
        tasks: Sequence[str],
        *,
        own: float = 0.9,
        other: float | None = None,
        granularity: Literal["channel", "scalar"] = "channel",
        lr_factor: float = 100.0,
        pretrain_share: float = 0.5,
    ) -> None:
        super().__init__()
        if granularity not in ("channel", "scalar"):
            raise UserError(f"granularity must be 'channel' or 'scalar', but got {granularity!r}")
        if fraction("pretrain_share", pretrain_share) == 1.0:
            raise UserError("pretrain_share must be below 1: some epochs must train the units; or choose single_task")
        self.lr_factor, self.pretrain_share = positive("lr_factor", lr_factor), pretrain_share
        self.task_names = tuple(tasks)
        self.channels, self.strides = list(backbone.channels), list(backbone.strides)
        self.networks = nn.ModuleDict({task: deepcopy(backbone) for task in self.task_names})
        count = len(self.task_names)
        if other is None:
            other = (1.0 - own) / max(1, count - 1)
        matrix = torch.full((count, count), other).fill_diagonal_(own)
        self.units = nn.ModuleList(
            CrossStitchUnit(
                matrix, channels if granularity == "channel" else (1,) * len(channels), backbone.channel_axis
            )
            for channels in backbone.stage_channels
        )
        self.sizes = [len(widths) for widths in backbone.stage_channels]
        self.pyramid_stages = backbone.pyramid_stages
        self.stitched = True

    def encode(self, image: Tensor, tasks: Collection[str] | None = None) -> list[Tensor]:
        """Image ``[B, 3, H, W]`` -> by stage that the pyramid reads, by wanted task: the tensors of the state; before
        the last unit, those of all tasks."""
        wanted = wanted_of(self.task_names, tasks)
        running = self._running(wanted)
        networks, last = [self.networks[task] for task in running], len(self.units) - 1
        states: list[State] = [image for _ in running]
        cut: list[Tensor] = []
        for stage, unit in enumerate(self.units):
            states = advance(networks, stage, states)
            if self.stitched and stage < last and states:
                states = unit(states)
            if stage in self.pyramid_stages:
                for task, state in zip(running, states, strict=True):
                    cut += tensors_of(state) if stage == last or task in wanted else []
        return cut

    def branch(self, shared: list[Tensor], tasks: Collection[str] | None = None) -> Features:
        """The tensors of the cut -> pyramids of the wanted tasks, after the last unit."""
        wanted, last = wanted_of(self.task_names, tasks), len(self.units) - 1
        kept: dict[int, list[State]] = {}
        tensors = iter(shared)
        for stage in self.pyramid_stages:
            stored = self._running(wanted) if stage == last else wanted
            kept[stage] = [state_of(list(islice(tensors, self.sizes[stage]))) for _ in stored]
        if self.stitched and wanted:
            rows = [self.task_names.index(task) for task in wanted]
            kept[last] = self.units[last](kept[last], None if len(rows) == len(self.task_names) else rows)
        features = Features(pyramids(self.networks, kept, wanted))
        if self.stitched:
            features.statistics = {f"units.{index}": unit.mean() for index, unit in enumerate(self._units())}
        return features

    def _running(self, wanted: tuple[str, ...]) -> tuple[str, ...]:
        """The tasks whose networks run."""
        return self.task_names if self.stitched and wanted else wanted

    def recipe(self) -> tuple[Stage, ...]:
        """Networks alone, then all together with the units at a higher learning rate."""
        joint = Stage("joint", 1.0 - self.pretrain_share, groups=(ParameterGroup("encoder.units.*", self.lr_factor),))
        if self.pretrain_share == 0.0:
            return (joint,)
        return Stage("single_task", self.pretrain_share, frozen=("encoder.units.*",)), joint

    def enter_stage(self, stage: str) -> None:
        """Bypass the units while the networks train alone."""
        self.stitched = stage != "single_task"

    def deploy(self) -> nn.Module:
        """The networks in step with their units; without units if these are bypassed."""
        if not self.stitched:
            return SeparateNetworks(self.networks, self.read_tasks())
        return StitchedNetworks(self.networks, self._units(), self.pyramid_stages, self.read_tasks())

    def _units(self) -> list[CrossStitchUnit]:
        return [cast(CrossStitchUnit, unit) for unit in self.units]


class CrossStitchUnit(nn.Module):
    """Mixes the states of T networks.

    Args:
        matrix: initial weights ``[T, T]``; row i makes the features of task i.
        channels: weights along the channel axis, per tensor of the state.
        channel_axis: 1 or -1.
    """

    def __init__(self, matrix: Tensor, channels: Sequence[int], channel_axis: int) -> None:
        super().__init__()
        self.weights = nn.ParameterList(matrix[:, :, None].repeat(1, 1, width) for width in channels)
        self.channel_axis = channel_axis

    def forward(self, states: list[State], rows: Sequence[int] | None = None) -> list[State]:
        """A state per task -> a state per task.

        Args:
            states: one per task.
            rows: the tasks whose mixed states are wanted; None for all.
        """
        by_task = [tensors_of(state) for state in states]
        mixed = [
            mix([tensors[index] for tensors in by_task], weight if rows is None else weight[rows], self.channel_axis)
            for index, weight in enumerate(self.weights)
        ]
        return [state_of([tensors[row] for tensors in mixed]) for row in range(len(mixed[0]))]

    def of_rows(self, rows: Sequence[int]) -> CrossStitchUnit:
        """The unit that makes the features of some tasks only, for inference."""
        unit = CrossStitchUnit(torch.empty(0, 0), (), self.channel_axis)
        unit.weights = nn.ParameterList(weight.detach()[list(rows)] for weight in self.weights)
        return unit

    def mean(self) -> Tensor:
        """Weights ``[T, T]``, averaged over tensors and channels."""
        return torch.stack([weight.detach().mean(-1) for weight in self.weights]).mean(0)


def mix(tensors: Sequence[Tensor], weight: Tensor, channel_axis: int) -> list[Tensor]:
    """``sum_j weight[i, j] * tensors[j]`` for every i.

    Sums in place, one task after the other: on a CPU this was as fast as or faster than batched products of small
    matrices over stacked tensors for two to five tasks, and it needs no copy of the features.

    Args:
        tensors: T tensors of one shape, ``[B, C, h, w]`` or ``[B, h, w, C]``.
        weight: ``[N, T, C]`` or ``[N, T, 1]`` for N mixes.
        channel_axis: 1 or -1.
    """
    if channel_axis == 1:
        weight = weight[..., None, None]
    mixed = []
    for row in weight:
        total = tensors[0] * row[0]
        for factor, tensor in zip(row[1:], tensors[1:], strict=True):
            total.addcmul_(tensor, factor)
        mixed.append(total)
    return mixed


def advance(networks: Iterable[nn.Module], stage: int, states: Sequence[State]) -> list[State]:
    """Run one stage of every network on its own state."""
    return [cast(Backbone, net).stages[stage](state) for net, state in zip(networks, states, strict=True)]


def pyramids(networks: nn.ModuleDict, kept: Mapping[int, Sequence[State]], tasks: Sequence[str]) -> dict[str, Pyramid]:
    """``{stage: a state per task}`` -> ``{task: pyramid}``."""
    return {
        task: cast(Backbone, networks[task]).pyramid({stage: states[index] for stage, states in kept.items()})
        for index, task in enumerate(tasks)
    }


class StitchedNetworks(nn.Module):
    """Deployed form: T networks in step; after each stage their features are mixed.

    Args:
        networks: one per task.
        units: one per stage.
        pyramid_stages: stages whose features are read.
        tasks: those whose pyramids are returned; all networks run for them.
    """

    def __init__(
        self,
        networks: nn.ModuleDict,
        units: Sequence[CrossStitchUnit],
        pyramid_stages: Sequence[int],
        tasks: Sequence[str],
    ) -> None:
        super().__init__()
        self.task_names = tuple(tasks)
        self.rows = [list(networks).index(task) for task in tasks]
        self.networks = networks
        self.units = nn.ModuleList([*units[:-1], units[-1].of_rows(self.rows)])
        self.pyramid_stages = tuple(pyramid_stages)

    def forward(self, image: Tensor) -> dict[str, Pyramid]:
        """Image ``[B, 3, H, W]`` -> ``{task: pyramid}``."""
        states: list[State] = [image for _ in self.networks]
        kept: dict[int, list[State]] = {}
        for stage, unit in enumerate(self.units):
            last = stage == len(self.units) - 1
            states = unit(advance(self.networks.values(), stage, states))
            if stage in self.pyramid_stages:
                kept[stage] = states if last else [states[row] for row in self.rows]
        return pyramids(self.networks, kept, self.task_names)
