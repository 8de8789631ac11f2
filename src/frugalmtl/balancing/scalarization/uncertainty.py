"""Uncertainty weighting: homoscedastic uncertainty (Kendall et al., 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from frugalmtl.balancing._transfers import constant
from frugalmtl.balancing.base import check_choice
from frugalmtl.balancing.scalarization.base import Scalarizer
from frugalmtl.core.checks import finite
from frugalmtl.losses import is_of_classes
from frugalmtl.tasks import Task


class Uncertainty(Scalarizer):
    """Homoscedastic uncertainty (Kendall et al. 2018): losses are divided by learned variances.

    ``L = sum_t c_t w_t L_t / sigma_t^2 + log sigma_t``. The parameter is ``s_t = log sigma_t^2``, so that the loss is
    ``c_t w_t L_t exp(-s_t) + s_t / 2``; ``c_t`` is 1/2 for every task (Vandenhende et al. 2021, eq. 6), or 1 where the
    loss is a cross-entropy, of a sigmoid too, and 1/2 where it is a distance (Kendall et al. 2018). Their distance is
    the squared one, of a Gaussian; L1 is treated like it (as in the survey). The variances learn from this objective
    whatever ``normalise`` says.

    Args:
        tasks: the tasks.
        form: ``"survey"`` or ``"kendall"``, as above.
        init: initial s (the survey and Kendall: 0).

    Raises:
        UserError: an unknown form, or an init that is not finite.
    """

    scale = "free"

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        form: Literal["survey", "kendall"] = "survey",
        init: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(tasks, **options)
        check_choice("form of uncertainty", form, ("survey", "kendall"))
        start = float(finite("init of uncertainty", init))
        self.factors = [1.0 if form == "kendall" and is_of_classes(task.loss) else 0.5 for task in tasks]
        self.log_variance = nn.ParameterDict({task.name: nn.Parameter(torch.tensor(start)) for task in tasks})

    def weigh(self, losses: Tensor) -> Tensor:
        """``c_t exp(-s_t)``."""
        return torch.exp(-self._log_variances()) * constant(self.factors, losses)

    def regulariser(self, losses: Tensor) -> Tensor:
        """``sum_t s_t / 2``, which keeps the variances small.

        A task without labels in the batch leaves its variance alone; the logarithm by itself would shrink it, and raise
        the weight of a rarely labelled task without end (our choice; the paper has full labels).
        """
        return (0.5 * self._log_variances() * (losses != 0)).sum()

    def _log_variances(self) -> Tensor:
        return self._per_task(self.log_variance)
