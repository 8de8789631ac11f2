"""GradDrop: gradient sign dropout (Chen et al., 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from frugalmtl.balancing._report import compared
from frugalmtl.balancing._transfers import constant
from frugalmtl.balancing.aggregation.base import Aggregator
from frugalmtl.balancing.base import BalancerReport
from frugalmtl.balancing.gradients import Place, TaskGradients, or_zeros
from frugalmtl.core.checks import fraction, known
from frugalmtl.core.distributed import average, broadcast
from frugalmtl.tasks import Task

Directions = list[list[Tensor | None]]


class GradDrop(Aggregator):
    """GradDrop (Chen et al. 2020, "Just Pick a Sign"): where tasks disagree on a sign, one sign is drawn.

    With signals ``G_t`` and ``U ~ U(0, 1)``, one number per position::

        P = (1 + sum_t G_t / sum_t |G_t|) / 2
        M_t = 1 where G_t > 0 and U < P, or G_t < 0 and U >= P; 0 where its sign is the other one
        direction = sum_t (l_t + (1 - l_t) M_t) g_t

    At the representation, ``G_t`` is the gradient times the sign of the activation, summed over all samples of the
    joint batch: one mask ``[C, H, W]`` for all of them. At the parameters (as Auto-lambda's code has it) it is the
    gradient itself. Every position draws by itself. In expectation, a position keeps each sign in proportion to what
    pulls that way, so the direction is shorter than the plain sum where tasks disagree and equal to it where they
    agree.

    Where all signals that are not 0 have one sign, P is 0 or 1 and they all stay; where all are 0, P is taken as 1/2,
    and nothing depends on it. By the formula above a task whose signal is exactly 0 has ``M_t = 0``; here its gradient
    stays (ours), for it has no sign to disagree with: it is 0 itself, but for activations of exactly 0 and samples that
    cancel, and one task alone stays as it is. Nothing is rescaled afterwards. A task without a label has no gradient
    and no say. If a gradient is not finite, the plain sum goes on, for the loss scaler or the engine's guard to see.
    Batches that are accumulated must have images of one size where their samples are summed. At the representation,
    batches of different tasks draw masks of their own, for it need not be made of the same tensors (ours).

    There are no weights: ``normalise: mean`` divides the direction by T, ``sum`` is the method as it is.

    Args:
        tasks: the tasks.
        leak: share ``l_t`` in [0, 1] of a task's gradient that always passes; one for all, or per task (0 for others).
        activation_sign: at the representation, multiply gradients by the sign of the activation for the signals.
        batch_sum: at the representation, sum signals over samples; else every sample draws its own mask.

    Raises:
        UserError: a weight or leak for an unknown task, a weight below 0, a leak outside [0, 1].
    """

    scale = "sum"

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        leak: dict[str, float] | float = 0.0,
        activation_sign: bool = True,
        batch_sum: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(tasks, **options)
        leaks = leak if isinstance(leak, dict) else dict.fromkeys(self.task_names, leak)
        for name, share in leaks.items():
            fraction(f"leak of grad_drop for {known('task in leak of grad_drop:', name, self.task_names)!r}", share)
        self.leak = [float(leaks.get(name, 0.0)) for name in self.task_names]
        self.factor = 1.0 / len(self.task_names) if self.normalise == "mean" else 1.0
        at_representation = self.gradients_at == "representation"
        self.activation_sign = activation_sign and at_representation
        self.sum_samples = batch_sum and at_representation
        self.per_sample = at_representation and not batch_sum

    def direct(self, gradients: TaskGradients, losses: Tensor, factors: Tensor) -> BalancerReport:
        """Mask the gradients, let their sum reach the shared parameters."""
        gramian = gradients.gramian()
        gradients.apply_directions(self._directions(gradients.places(), gramian.isfinite().all()))
        return compared(self.task_names, gramian, [*(self.factor * factors)], factors)

    def aggregate(self, gradients: Tensor, losses: Tensor | None = None) -> Tensor:
        """Gradients ``[T, N]`` -> direction ``[N]``, as at the parameters; losses do not matter."""
        finite = gradients.isfinite().all()
        return (self._keep(gradients, finite, joint=False) * gradients).sum(dim=0) * self.factor

    def _directions(self, places: Sequence[Place], finite: Tensor) -> Directions:
        """Masked sums, of every place, tensor by tensor; plain ones where not all is finite."""
        by_tasks: dict[tuple[bool, ...], list[int]] = {}
        for number, place in enumerate(places):
            present = tuple(any(item is not None for item in row) for row in place.rows)
            by_tasks.setdefault(present, []).append(number)
        directions: Directions = [[] for _ in places]
        for numbers in by_tasks.values():
            for number, sums in zip(numbers, self._of_same_tasks([places[n] for n in numbers], finite), strict=True):
                directions[number] = sums
        return directions

    def _of_same_tasks(self, places: Sequence[Place], finite: Tensor) -> Directions:
        """Masked sums of places whose tensors are the same parts of the representation."""
        directions: Directions = [[] for _ in places]
        for index in range(len(places[0].tensors)):
            signals = [self._signals(place, index) for place in places]
            if self.per_sample:
                keeps = [self._keep(signal, finite, joint=False) for signal in signals]
            else:
                # Means over processes: a common factor changes neither signs nor ratios.
                total = torch.stack(signals).sum(dim=0)
                keeps = [self._keep(average(total) if self.sum_samples else total, finite, joint=True)] * len(places)
            for sums, place, keep in zip(directions, places, keeps, strict=True):
                sums.append(self._masked([row[index] for row in place.rows], keep))
        return directions

    def _signals(self, place: Place, index: int) -> Tensor:
        """Signals ``[T, ...]`` of one batch at one tensor."""
        tensor = place.tensors[index].detach()
        sums = torch.float64 if tensor.dtype == torch.float64 else torch.float32
        signals = []
        for row in place.rows:
            signal = or_zeros(row[index], tensor)
            if self.activation_sign:
                signal = signal * tensor.sign()
            signals.append(signal.sum(dim=0, dtype=sums) if self.sum_samples else signal.to(sums))
        return torch.stack(signals)

    def _keep(self, signals: Tensor, finite: Tensor, *, joint: bool) -> Tensor:
        """Signals ``[T, ...]`` -> which share of every gradient stays, ``[T, ...]``.

        Args:
            signals: of one tensor.
            finite: whether any gradient is to be masked, a boolean scalar.
            joint: whether all processes have the same signals, so that they must draw the same.
        """
        total, size = signals.sum(dim=0), signals.abs().sum(dim=0)
        purity = torch.where(size > 0, (1 + total / size) / 2, 0.5)
        draw = torch.rand(purity.shape, dtype=purity.dtype, device=purity.device)
        if joint:
            broadcast([draw])
        up = draw < purity
        keep = torch.where(signals > 0, up, (signals == 0) | ~up).to(signals.dtype)
        leak = constant(self.leak, keep).view(-1, *[1] * (keep.dim() - 1))
        return torch.where(finite, leak + (1 - leak) * keep, 1.0)

    def _masked(self, gradients: Sequence[Tensor | None], keep: Tensor) -> Tensor | None:
        """``sum_t keep_t g_t``, written over the first gradient that is there."""
        total: Tensor | None = None
        for gradient, share in zip(gradients, keep, strict=True):
            if gradient is None:
                continue
            share = (share * self.factor).to(gradient.dtype)
            total = gradient.mul_(share) if total is None else total.addcmul_(gradient, share)
        return total
