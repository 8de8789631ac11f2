"""Cross-stitch networks: one network per task, whose features are mixed linearly after each stage."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Literal

import torch
from torch import Tensor, nn

from frugalmtl.backbones import Backbone, State, state_of, tensors_of
from frugalmtl.core.checks import UserError, fraction, positive
from frugalmtl.core.recipe import ParameterGroup, Stage
from frugalmtl.core.types import Features, Pyramid
from frugalmtl.encoders.base import Encoder


class CrossStitch(Encoder):
    r"""Cross-stitch network: after each stage the tasks' features are mixed, :math:`\tilde x_i = \sum_j a_{ij} x_j`.

    The weights a start at ``own`` on the diagonal and ``other`` beside it. The networks are first trained alone (the units
    are bypassed), then together with the units, whose learning rate is ``lr_factor`` times higher.

    The cut holds the mixed features of every stage that heads read directly, and what goes into the last unit: its inputs
    are read by every task, so :meth:`branch` applies that unit.

    Source: Misra et al., "Cross-stitch Networks for Multi-task Learning" (CVPR 2016), section 3. A weight per channel, a
    unit after the last stage and the defaults follow Vandenhende et al., "Multi-Task Learning for Dense Prediction Tasks: A
    Survey" (TPAMI 2021), section 2.2.1 (.9/.1 for two tasks, .8/.05 for five). How the epochs are split is our choice.

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
        self.pyramid_stages = backbone.pyramid_stages
        self.stitched = True

    def encode(self, image: Tensor) -> list[Tensor]:
        """Image ``[B, 3, H, W]`` -> by stage that the pyramid reads, by task: the tensors of the state."""
        networks, last = list(self.networks.values()), len(self.units) - 1
        states: list[State] = [image for _ in networks]
        cut: list[Tensor] = []
        for stage, unit in enumerate(self.units):
            states = [network.stages[stage](state) for network, state in zip(networks, states, strict=True)]
            if self.stitched and stage < last:
                states = unit(states)
            if stage in self.pyramid_stages:
                cut += [tensor for state in states for tensor in tensors_of(state)]
        return cut

    def branch(self, shared: list[Tensor]) -> Features:
        """The tensors of the cut -> pyramids, after the last unit."""
        kept: list[dict[int, State]] = [{} for _ in self.task_names]
        tensors = iter(shared)
        for stage in self.pyramid_stages:
            unit = self.units[stage]
            states = [state_of([next(tensors) for _ in unit.weights]) for _ in self.task_names]
            if self.stitched and stage == len(self.units) - 1:
                states = unit(states)
            for task_states, state in zip(kept, states, strict=True):
                task_states[stage] = state
        features = Features(
            {t: self.networks[t].pyramid(states) for t, states in zip(self.task_names, kept, strict=True)}
        )
        if self.stitched:
            features.statistics = {f"units.{index}": unit.mean() for index, unit in enumerate(self.units)}
        return features

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
        """The networks in step, with the mixing as plain sums."""
        return StitchedNetworks(self.networks, [unit if self.stitched else None for unit in self.units])


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

    def forward(self, states: list[State]) -> list[State]:
        """A state per task -> a state per task."""
        columns = [tensors_of(state) for state in states]
        mixed = [
            mix([column[at] for column in columns], weight, self.channel_axis) for at, weight in enumerate(self.weights)
        ]
        return [state_of([tensors[task] for tensors in mixed]) for task in range(len(states))]

    def mean(self) -> Tensor:
        """Weights ``[T, T]``, averaged over tensors and channels."""
        return torch.stack([weight.detach().mean(-1) for weight in self.weights]).mean(0)


def mix(tensors: Sequence[Tensor], weight: Tensor, channel_axis: int) -> list[Tensor]:
    """``sum_j weight[i, j] * tensors[j]`` for every i.

    Args:
        tensors: T tensors of one shape, ``[B, C, h, w]`` or ``[B, h, w, C]``.
        weight: ``[T, T, C]`` or ``[T, T, 1]``.
        channel_axis: 1 or -1.
    """
    if channel_axis == 1:
        weight = weight[..., None, None]
    mixed = []
    for row in weight:
        total = tensors[0] * row[0]
        for factor, tensor in zip(row[1:], tensors[1:], strict=True):
            total = torch.addcmul(total, tensor, factor)
        mixed.append(total)
    return mixed


class StitchedNetworks(nn.Module):
    """Deployed form: T networks in step; after each stage their features are mixed.

    Args:
        networks: one per task.
        units: one per stage, or None where nothing is mixed.
    """

    def __init__(self, networks: nn.ModuleDict, units: Sequence[CrossStitchUnit | None]) -> None:
        super().__init__()
        self.networks = networks
        self.units = nn.ModuleList(nn.Identity() if unit is None else unit for unit in units)

    def forward(self, image: Tensor) -> dict[str, Pyramid]:
        """Image ``[B, 3, H, W]`` -> ``{task: pyramid}``."""
        states: list[State] = [image for _ in self.networks]
        kept: list[dict[int, State]] = [{} for _ in self.networks]
        for stage, unit in enumerate(self.units):
            stages = [network.stages[stage] for network in self.networks.values()]
            states = unit([run(state) for run, state in zip(stages, states, strict=True)])
            for task_states, state in zip(kept, states, strict=True):
                task_states[stage] = state
        return {task: self.networks[task].pyramid(states) for task, states in zip(self.networks, kept, strict=True)}
