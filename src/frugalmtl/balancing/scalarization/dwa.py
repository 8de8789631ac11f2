"""DWA: dynamic weight average (Liu et al., 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from frugalmtl.balancing.scalarization.base import Scalarizer
from frugalmtl.core.checks import positive
from frugalmtl.core.types import Scores
from frugalmtl.tasks import Task


class DWA(Scalarizer):
    """Dynamic weight average (Liu et al. 2019, MTAN, sec. 4.1.3): tasks whose losses fall slowly count more.

    In epoch e, ``w_t = T softmax_t(r_t / temperature)`` with the relative pace ``r_t = L_t(e-1) / L_t(e-2)`` of the
    mean losses of the two epochs before; all weights are 1 in the first two epochs. T is the number of tasks.

    A task that had no label in one of the two epochs (a mean of exactly 0) gets the pace 1, as if its loss had stood
    still (our choice; the paper has full labels). So does one that no batch of the epoch was for; its mean stays. The
    pace does not depend on the fixed weights of the losses.

    Args:
        tasks: the tasks.
        temperature: the larger, the more even the weights (the paper: 2).

    Raises:
        UserError: a temperature of 0 or below.
    """

    scale = "sum"
    means: Tensor
    factors: Tensor

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        temperature: float = 2.0,
        **options: Any,
    ) -> None:
        super().__init__(tasks, **options)
        self.temperature = positive("temperature of dwa", temperature)
        self.register_buffer("means", torch.zeros(len(tasks)))
        self.register_buffer("factors", torch.ones(len(tasks)))

    def weigh(self, losses: Tensor) -> Tensor:
        """The weights of this epoch."""
        return self.factors.to(losses)

    def end_epoch(self, losses: Mapping[str, float], scores: Scores | None) -> None:
        """Compare the means of this epoch with those of the one before."""
        old = self.means.cpu().double()
        present = torch.tensor([name in losses for name in self.task_names])
        new = torch.tensor([losses.get(name, 0.0) for name in self.task_names], dtype=torch.float64)
        new = torch.where(present, new, old)
        pace = torch.where(present & (old != 0) & (new != 0), new / old, 1.0)
        # In float64, so that weights that are 1 come out as exactly 1.
        self.factors.copy_(len(new) * torch.softmax(pace / self.temperature, dim=0))
        self.means.copy_(new)
