"""NDDR-CNN: neural discriminative dimensionality reduction of all tasks' features (Gao et al., 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from frugalmtl.backbones import Backbone, State, state_of, tensors_of
from frugalmtl.core.checks import fraction
from frugalmtl.encoders._interleaved import InterleavedNetworks, initial_weights


class NDDR(InterleavedNetworks):
    """NDDR-CNN: after the stem and each stage, every task makes its features of all tasks' by a 1x1 convolution.

    ``x_i' = relu(norm(W_i [x_1, ..., x_T]))`` with the tasks' C channels one after another and ``W_i`` of ``[C, T C]``,
    which starts as ``own`` times the identity on the task's own features and ``other`` times it on each other task's.
    The networks are first trained alone (the units are bypassed), then together with the units, whose learning rate is
    ``lr_factor`` times higher.

    Source: Gao et al., "NDDR-CNN: Layerwise Feature Fusing in Multi-Task CNNs by Neural Discriminative Dimensionality
    Reduction" (CVPR 2019), section 3. Units behind the stem and all stages, batch normalisation with momentum 0.05 and
    ReLU, and the initial weights follow the code of Vandenhende et al., "Multi-Task Learning for Dense Prediction
    Tasks: A Survey" (TPAMI 2021), section 2.2.2 (.9/.1 for two tasks, .8/.05 for five). How the epochs are split is our
    choice. The last ReLU leaves heads no negative features, on Transformers too.

    Args:
        backbone: copied once per task.
        tasks: names of the tasks.
        own: initial weight of a task's own features.
        other: initial weight of each other task's; None for (1 - own) / (T - 1).
        momentum: of the running statistics of the units' normalisation.
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
        momentum: float = 0.05,
        lr_factor: float = 100.0,
        pretrain_share: float = 0.5,
    ) -> None:
        matrix = initial_weights(len(tasks), own, other)
        super().__init__(
            backbone,
            tasks,
            partial(NDDRUnit, matrix, backbone.channel_axis, fraction("momentum", momentum)),
            after_stem=True,
            lr_factor=lr_factor,
            pretrain_share=pretrain_share,
        )


class NDDRUnit(nn.Module):
    """A 1x1 convolution of all tasks' features for each task, normalisation, ReLU.

    Args:
        matrix: initial weights ``[T, T]`` of the diagonals; row i makes the features of task i.
        channel_axis: 1 or -1.
        momentum: of the normalisation.
        channels: of every tensor of the state.
    """

    def __init__(self, matrix: Tensor, channel_axis: int, momentum: float, channels: Sequence[int]) -> None:
        super().__init__()
        self.channel_axis = channel_axis
        self.fusions = nn.ModuleList(
            nn.ModuleList(_fusion(row, width, momentum) for row in matrix) for width in channels
        )

    def forward(self, states: list[State], rows: Sequence[int] | None = None) -> list[State]:
        """A state per task -> a state per wanted task, see :class:`~frugalmtl.encoders._interleaved.Unit`."""
        by_tensor = zip(*(tensors_of(state) for state in states), strict=True)
        results: list[list[Tensor]] = []
        for tensors, fusions in zip(by_tensor, self.fusions, strict=True):
            joined = torch.cat(tensors, dim=self.channel_axis)
            if self.channel_axis == -1:
                joined = joined.movedim(-1, 1)
            chosen = list(cast(nn.ModuleList, fusions)) if rows is None else [fusions[row] for row in rows]  # type: ignore[index]  # a ModuleList
            fused = [fusion(joined) for fusion in chosen]
            results.append([item.movedim(1, -1) for item in fused] if self.channel_axis == -1 else fused)
        return [state_of(list(tensors)) for tensors in zip(*results, strict=True)]

    def of_rows(self, rows: Sequence[int]) -> NDDRUnit:
        """The unit that makes the features of some tasks only, for inference."""
        unit = NDDRUnit(torch.empty(0, 0), self.channel_axis, 0.0, ())
        unit.fusions = nn.ModuleList(
            nn.ModuleList(cast(nn.ModuleList, fusions)[row] for row in rows) for fusions in self.fusions
        )
        return unit

    def mean(self) -> Tensor:
        """Mean of the diagonals ``[T, T]`` over channels and tensors: weight of each task's features for each task."""
        matrices = []
        for fusions in self.fusions:
            rows = []
            for fusion in cast(nn.ModuleList, fusions):
                weight = cast(nn.Conv2d, cast(nn.Sequential, fusion)[0]).weight.detach().flatten(1)
                blocks = torch.split(weight, len(weight), dim=1)
                rows.append(torch.stack([block.diagonal().mean() for block in blocks]))
            matrices.append(torch.stack(rows))
        return torch.stack(matrices).mean(0)


def _fusion(row: Tensor, width: int, momentum: float) -> nn.Sequential:
    conv = nn.Conv2d(len(row) * width, width, 1, bias=False)
    with torch.no_grad():
        conv.weight.copy_(torch.cat([factor * torch.eye(width) for factor in row], dim=1)[..., None, None])
    return nn.Sequential(conv, nn.BatchNorm2d(width, momentum=momentum), nn.ReLU(inplace=True))
