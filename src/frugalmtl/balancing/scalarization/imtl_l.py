"""IMTL-L: learned scales of the losses (Liu et al., 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from frugalmtl.balancing.scalarization.base import Scalarizer
from frugalmtl.tasks import Task


class IMTLL(Scalarizer):
    """IMTL-L (Liu et al. 2021, IMTL, sec. 3.2): learned scales bring all losses to one size.

    ``L = sum_t exp(s_t) L_t - s_t`` with learned s. For given losses it is smallest where every ``exp(s_t) L_t`` is 1.
    The s that are learned undo the fixed weights of the losses; they learn from this objective whatever ``normalise``
    says.

    Args:
        tasks: the tasks.
        init: initial s (0: all weights are 1).
    """

    scale = "free"

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        init: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(tasks, **options)
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
        return self._per_task(self.log_scale)
