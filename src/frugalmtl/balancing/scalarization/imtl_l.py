"""Learned weights that bring all losses to one size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from frugalmtl.balancing.scalarization.base import Scalarizer
from frugalmtl.tasks import Task


class IMTLL(Scalarizer):
    """IMTL-L (Liu et al. 2021, IMTL, sec. 3.2): learned scales bring all losses to one size.

    ``L = sum_t exp(s_t) L_t - s_t`` with learned s. For given losses it is smallest where every ``exp(s_t) L_t`` is 1.

    Args:
        tasks: the tasks.
        init: initial s (0: all weights are 1).
        weights: fixed weights that multiply the losses before; 1 unless given. The s that are learned undo them.
        normalise: rescale the weights so that they add up to T (``"sum"``) or 1 (``"mean"``); the s learn from the
            objective above all the same.

    Raises:
        UserError: a weight for an unknown task, or below 0.
    """

    scale = "free"

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        init: float = 0.0,
        weights: dict[str, float] | Literal["uniform"] | None = "uniform",
        normalise: Literal["sum", "mean"] | None = None,
    ) -> None:
        super().__init__(tasks, weights, normalise)
        self.log_scale = nn.ParameterDict({task.name: nn.Parameter(torch.tensor(float(init))) for task in tasks})

    def weigh(self, losses: Tensor) -> Tensor:
        """``exp(s_t)``."""
        return torch.exp(self._log_scales())

    def regulariser(self, losses: Tensor) -> Tensor:
        """``-sum_t s_t``, which keeps the scales from vanishing.

        A task without labels in the batch leaves its scale alone; this term by itself would raise it without end (our
        choice; the paper has full labels).
        """
        return -(self._log_scales() * (losses != 0)).sum()

    def _log_scales(self) -> Tensor:
        return torch.stack([self.log_scale[name] for name in self.task_names])
