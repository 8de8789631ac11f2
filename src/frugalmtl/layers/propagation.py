"""Feature propagation between tasks, from a coarser scale to a finer one (MTI-Net; Vandenhende et al., 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from timm.layers import SEModule
from torch import Tensor, nn

from frugalmtl.layers.blocks import basic_block

Grouping = Literal["tasks", "adjacent"]


class FeaturePropagation(nn.Module):
    """What all tasks have found at a scale, offered to each of them for the next finer one.

    With the tasks' features ``F_1..F_T`` of ``C`` channels, one after another in ``F`` (``T C`` channels)::

        A   = softmax over tasks of f(F)            two residual blocks to T C / 4, then a 1x1 convolution to T C
        S   = g(A . F)                              a residual block from T C to C: what tasks share
        F_t' = F_t + SE_t(S)                        squeeze and excitation: what of it serves task t

    Vandenhende, Georgoulis, Van Gool 2020, "MTI-Net" (arXiv:2001.06902), feature propagation module, with the widths of
    the survey's code. Choices of ours where the paper is silent: squeeze and excitation without biases, its hidden
    width ``C // reduction``, at least 1.

    Args:
        names: of the tasks.
        width: C.
        reduction: width of the features over the hidden width of squeeze and excitation.
        softmax: what competes in the attention: the same channel of all tasks, as the paper says, or (``"adjacent"``)
            each T channels that lie side by side in ``F``, as the published code computes.
    """

    def __init__(self, names: Sequence[str], width: int, *, reduction: int = 16, softmax: Grouping = "tasks") -> None:
        super().__init__()
        self.names, self.width, self.softmax = tuple(names), width, softmax
        total = len(names) * width
        inner = max(1, total // 4)
        self.attention = nn.Sequential(basic_block(total, inner), basic_block(inner, inner), nn.Conv2d(inner, total, 1))
        self.shared = basic_block(total, width)
        self.excitation = nn.ModuleDict(
            {name: SEModule(width, rd_channels=max(1, width // reduction), bias=False) for name in names}
        )

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """``{task: [B, C, h, w]}`` -> ``{task: [B, C, h, w]}``."""
        joined = torch.cat([features[name] for name in self.names], dim=1)
        logits, tasks = self.attention(joined), len(self.names)
        if self.softmax == "tasks":
            weights = logits.unflatten(1, (tasks, self.width)).softmax(dim=1).flatten(1, 2)
        else:
            weights = logits.unflatten(1, (self.width, tasks)).softmax(dim=2).flatten(1, 2)
        shared = self.shared(weights * joined)
        return {name: features[name] + self.excitation[name](shared) for name in self.names}
