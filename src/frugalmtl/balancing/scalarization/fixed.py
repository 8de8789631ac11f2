"""Fixed weights: those of a published protocol, or any others (Vandenhende et al., 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from frugalmtl.balancing._transfers import constant
from frugalmtl.balancing.base import Normalise, Scale, Weights, fixed_weights
from frugalmtl.balancing.scalarization.base import Scalarizer
from frugalmtl.tasks import Task


class Fixed(Scalarizer):
    """Fixed weights (Vandenhende et al. 2021, sec. 4.1): those of the published protocol, or one's own.

    ``L = sum_t w_t L_t``.

    Args:
        tasks: the tasks.
        weights: weight per task; tasks that are not named keep the weight of the protocol (:attr:`Task.weight`;
            Vandenhende et al. 2021, sec. 4.1); ``"uniform"`` is 1 for all.
        normalise: rescale the weights so that they add up to T (``"sum"``) or 1 (``"mean"``).

    Raises:
        UserError: a weight for an unknown task, or below 0.
    """

    scale: ClassVar[Scale] = "free"

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        weights: Weights = None,
        normalise: Normalise = None,
    ) -> None:
        super().__init__(tasks, normalise=normalise)
        self.constants = fixed_weights(tasks, weights)

    def weigh(self, losses: Tensor) -> Tensor:
        """The fixed weights."""
        return constant(list(self.constants.values()), losses)
