"""Task sampling: one random task per step (Stickland and Murray, 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from frugalmtl.balancing.base import check_choice
from frugalmtl.balancing.scalarization.base import Scalarizer
from frugalmtl.core.checks import UserError, known, not_negative
from frugalmtl.core.distributed import broadcast
from frugalmtl.tasks import Task


class TaskSampling(Scalarizer):
    """Task sampling (Stickland and Murray 2019): every optimiser step is for one task, drawn at random.

    Its probability ``p_t`` is 1 / T; or goes with ``size_t^alpha`` (alpha 1: proportional to the sizes, 1/2: to their
    roots, 0: even; 1 / alpha is also called the temperature); or is given. Where the decoder lets tasks be left out,
    heads of the other tasks, and what of the encoder only they need, are not run; parameters that only they use get no
    gradient and do not move.

    The loss of the task drawn has the weight 1, so that the expected gradient is ``sum_t p_t g_t``. With ``unbiased``
    its weight is ``1 / (T p_t)``, so that the expected gradient is the mean ``1/T sum_t g_t`` whatever p is, and rarely
    drawn tasks take large steps. Where the losses of all tasks are given, without a draw, each has 1 / T.

    ``normalise: mean`` is the method itself; ``sum`` multiplies by T, so that steps are as long as those of a sum of
    losses. With ``unbiased`` this holds in expectation.

    Draws come from torch's global generator on the CPU; accumulated batches share the step's draw, and so do all
    processes. A drawn task without labels in the batch, or that the batch is not for, is not drawn again: the step
    moves nothing.

    Args:
        tasks: the tasks.
        by: ``"uniform"``, ``"size"`` or ``"given"``, as above.
        sizes: for ``"size"``: a number per task, say of its labelled images (a balancer does not see the data).
        alpha: for ``"size"``: the exponent.
        probabilities: for ``"given"``: a number per task; they are divided by their sum.
        unbiased: see above.

    Raises:
        UserError: an option that ``by`` needs is missing, or one is given that it does not use; numbers that do not
            cover the tasks, are negative, or 0 where every task must be drawn; an unknown task or a weight below 0.
    """

    scale = "mean"

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        by: Literal["uniform", "size", "given"] = "uniform",
        sizes: dict[str, float] | None = None,
        alpha: float | None = None,
        probabilities: dict[str, float] | None = None,
        unbiased: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(tasks, **options)
        check_choice("by of task_sampling", by, ("uniform", "size", "given"))
        for option, value, user in (
            ("sizes", sizes, "size"),
            ("alpha", alpha, "size"),
            ("probabilities", probabilities, "given"),
        ):
            if value is not None and by != user:
                raise UserError(f"task_sampling by {by!r} does not use {option}: leave it out, or set by to {user!r}")
        shares = dict.fromkeys(self.task_names, 1.0)
        if by == "size":
            exponent = 1.0 if alpha is None else alpha
            not_negative("alpha of task_sampling", exponent)
            sized = _one_per_task("sizes", sizes, self.task_names, above_zero=True)
            shares = {name: size**exponent for name, size in sized.items()}
        elif by == "given":
            shares = _one_per_task("probabilities", probabilities, self.task_names, above_zero=unbiased)
        total = sum(shares.values())
        self.probabilities = {name: share / total for name, share in shares.items()}
        self.unbiased = unbiased
        # Of the drawn task alone: rescaling the weights of each step would undo ``unbiased``.
        self._target = float(len(tasks)) if self.normalise == "sum" else 1.0
        self.normalise = None
        self._factor = 1.0

    def choose(self) -> tuple[str, ...]:
        """Draw the task of the next step."""
        drawn = torch.multinomial(torch.tensor(list(self.probabilities.values()), dtype=torch.float64), 1)
        broadcast([drawn])
        name = self.task_names[int(drawn)]
        self._factor = 1.0 / (len(self.task_names) * self.probabilities[name]) if self.unbiased else 1.0
        return (name,)

    def weigh(self, losses: Tensor) -> Tensor:
        """The weight of the task drawn; 1 / T each where all are there."""
        everything = len(losses) == len(self.task_names) and not self._absent
        return torch.full_like(losses, self._target * (1.0 / len(losses) if everything else self._factor))


def _one_per_task(
    what: str, numbers: Mapping[str, float] | None, names: Sequence[str], *, above_zero: bool
) -> dict[str, float]:
    """Numbers for all tasks, in their order.

    Raises:
        UserError: see :class:`TaskSampling`.
    """
    if numbers is None:
        raise UserError(f"task_sampling needs {what}: give one number for each of {', '.join(names)}")
    for name, value in numbers.items():
        known(f"task in {what} of task_sampling:", name, names)
        if not 0 <= value < float("inf") or (above_zero and value == 0):
            least = "above 0" if above_zero else "0 or more"
            raise UserError(f"{what} of task_sampling must be {least}, but got {value!r} for {name!r}")
    missing = [name for name in names if name not in numbers]
    if missing:
        raise UserError(f"{what} of task_sampling lack {', '.join(missing)}: give one number for every task")
    if not sum(numbers.values()) > 0:
        raise UserError(f"{what} of task_sampling are all 0: give at least one task a number above 0")
    return {name: float(numbers[name]) for name in names}
