"""Cross-stitch networks: features of one network per task are mixed linearly after each stage (Misra et al., 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from frugalmtl.backbones import Backbone, State, state_of, tensors_of
from frugalmtl.core.checks import UserError
from frugalmtl.encoders._interleaved import InterleavedNetworks, initial_weights


class CrossStitch(InterleavedNetworks):
    r"""Cross-stitch network: after each stage the tasks' features are mixed, ``x_i' = sum_j a_ij x_j``.

    The weights a start at ``own`` on the diagonal and ``other`` beside it. The networks are first trained alone (the
    units are bypassed), then together with the units, whose learning rate is ``lr_factor`` times higher.

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
        if granularity not in ("channel", "scalar"):
            raise UserError(f"granularity must be 'channel' or 'scalar', but got {granularity!r}")
        matrix = initial_weights(len(tasks), own, other)
        super().__init__(
            backbone,
            tasks,
            partial(_unit, matrix, granularity == "channel", backbone.channel_axis),
            after_stem=False,
            lr_factor=lr_factor,
            pretrain_share=pretrain_share,
        )


def _unit(matrix: Tensor, per_channel: bool, channel_axis: int, channels: Sequence[int]) -> CrossStitchUnit:
    return CrossStitchUnit(matrix, channels if per_channel else (1,) * len(channels), channel_axis)


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
