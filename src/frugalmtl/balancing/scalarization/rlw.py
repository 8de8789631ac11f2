"""RLW: random loss weighting (Lin et al., 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from frugalmtl.balancing.base import ForwardPass, check_choice
from frugalmtl.balancing.scalarization.base import Scalarizer
from frugalmtl.core.distributed import broadcast
from frugalmtl.tasks import Task


class RLW(Scalarizer):
    """Random loss weighting (Lin et al. 2022): weights drawn afresh for every step.

    ``w = softmax(z)`` with ``z_t`` from N(0, 1), or ``w`` from the Dirichlet distribution with all parameters 1 (even
    over all weights that add up to 1). A task without labels in the batch keeps its share: the others do not gain.

    One draw per optimiser step, from torch's global generator on the CPU: accumulated batches share it, and so do all
    processes.

    Args:
        tasks: the tasks.
        form: the distribution, ``"normal"`` or ``"dirichlet"``, as above.

    Raises:
        UserError: an unknown form.
    """

    scale = "mean"

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        form: Literal["normal", "dirichlet"] = "normal",
        **options: Any,
    ) -> None:
        super().__init__(tasks, **options)
        check_choice("form of rlw", form, ("normal", "dirichlet"))
        self.form = form
        self._drawn: Tensor | None = None

    def weigh(self, losses: Tensor) -> Tensor:
        """The step's draw."""
        if self._drawn is None:
            drawn = self._draw(len(losses)).to(losses, non_blocking=True)
            broadcast([drawn])
            self._drawn = drawn
        return self._drawn

    def weighted(self, step: ForwardPass) -> tuple[list[Tensor], Tensor]:
        """Losses times the step's draw, which its last batch uses up."""
        losses, weights = super().weighted(step)
        if step.last:
            self._drawn = None
        return losses, weights

    def _draw(self, count: int) -> Tensor:
        if self.form == "normal":
            return torch.softmax(torch.randn(count), dim=0)
        drawn: Tensor = torch.distributions.Dirichlet(torch.ones(count)).sample()
        return drawn
