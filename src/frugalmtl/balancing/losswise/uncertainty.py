"""Weights from the noise that each task is believed to have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from frugalmtl.balancing.base import fixed_weights
from frugalmtl.balancing.losswise.base import LossBalancer
from frugalmtl.tasks import Task


class Uncertainty(LossBalancer):
    """Homoscedastic uncertainty, learned: ``L = sum_t c_t w_t L_t / sigma_t^2 + log sigma_t``.

    The parameter is ``s_t = log sigma_t^2``, so that the loss is ``c_t w_t L_t exp(-s_t) + s_t / 2``; ``c_t`` is 1/2
    for every task (Vandenhende et al. 2021, eq. 6), or 1/2 for continuous labels and 1 for classes (Kendall et al.
    2018, eqs. 7 and 10; by :attr:`Task.label_type`).

    Args:
        tasks: the tasks.
        form: ``"survey"`` or ``"kendall"``, as above.
        init: initial s (the survey and Kendall: 0).
        weights: fixed weights w that go before; 1 unless given.

    Raises:
        UserError: a weight for an unknown task, or below 0.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        form: Literal["survey", "kendall"] = "survey",
        init: float = 0.0,
        weights: dict[str, float] | Literal["uniform"] | None = "uniform",
    ) -> None:
        super().__init__(tasks)
        base = fixed_weights(tasks, weights)
        factors = [1.0 if form == "kendall" and task.label_type == "classes" else 0.5 for task in tasks]
        self.factors = {task.name: base[task.name] * factor for task, factor in zip(tasks, factors, strict=True)}
        self.log_variance = nn.ParameterDict({task.name: nn.Parameter(torch.tensor(float(init))) for task in tasks})

    def combine(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor | float]]:
        """Losses divided by the variances, plus the logarithms that keep those small.

        A task without labels in the batch (its loss is exactly 0) leaves its variance alone; the logarithm by itself
        would
        shrink it, and raise the weight of a rarely labelled task without end (our choice; the paper has full labels).
        """
        weights = {name: self.factors[name] * torch.exp(-self.log_variance[name]) for name in losses}
        terms = [
            weights[name] * loss + 0.5 * self.log_variance[name] * (loss.detach() != 0) for name, loss in losses.items()
        ]
        return torch.stack(terms).sum(), {name: weight.detach() for name, weight in weights.items()}
