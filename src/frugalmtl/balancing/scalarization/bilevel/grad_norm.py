"""GradNorm: gradient normalization (Chen et al., 2018)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from frugalmtl.balancing._report import compared
from frugalmtl.balancing._sharing import SharedParts, last_shared_layer, shared_parts
from frugalmtl.balancing._transfers import constant, flags
from frugalmtl.balancing.base import Balancer, BalancerReport, ForwardPass, check_choice, rescaled
from frugalmtl.balancing.gradients import AtLayer, AtParameters, RepresentationCut, TaskGradients
from frugalmtl.balancing.scalarization.bilevel._buffered_adam import BufferedAdam
from frugalmtl.core.checks import not_negative
from frugalmtl.core.distributed import average, broadcast
from frugalmtl.core.types import Scores
from frugalmtl.model import Cut
from frugalmtl.tasks import Task

_SMALLEST = 1e-3  # a step of Adam can carry a small weight below 0, where the loss would be raised


class GradNorm(Balancer):
    """GradNorm (Chen et al. 2018, alg. 1): learned weights that make gradients alike in length, longer for laggards.

    Every step, w takes a step of Adam towards the minimum of ``sum_t |G_t - mean(G) r_t^alpha|``, where ``G_t = w_t
    ||grad_W L_t||`` at the last layer W that all tasks share, ``r_t = (L_t / L_t(0)) / mean(L / L(0))``, and the target
    counts as constant; the gradient is ``sign(G_t - target_t) ||grad_W L_t||``. Then w is made to add up to T, with no
    weight below 0.001 before that (ours). The step of the network itself uses the weights from before, as published.

    The survey has it as eq. 7 (Vandenhende et al. 2021). Costs about one backward pass: losses go back to the shared
    representation one by one, from there to W alone, and their weighted sum through the trunk. Heads get the gradient
    of the weighted loss, as published. Norms and cosines in the log are those at the representation.

    Norms and losses are those of the joint batch of accumulated batches and processes. A task without labels in it is
    left out of the means, and the gradient of its weight is 0; the weight of a task that no batch of the step is for
    stays, and the others keep their sum. Where a gradient is not finite, or the tasks share nothing (networks that
    first train alone), the weights stay.

    Args:
        tasks: the tasks.
        alpha: how much a lagging task gains (the paper: 1.5 on NYUD; the survey's eq. 7 has no exponent, i.e. 1).
        lr: of the weights' Adam (the paper: 0.025).
        reference_loss: L(0) is the loss of the ``"first_step"`` (the paper; of a task's first step with labels), or the
            mean of the ``"first_epoch"`` (LibMTL), during which the weights are 1.
        norms_at: ``"last_layer"``, or all shared ``"parameters"`` (T backward passes; ours). Take the latter for an
            encoder with a network per task: where these mix their features at the end, the last layer is one network's.

    Raises:
        UserError: a number out of range.
    """

    scale = "sum"
    explicit_reduction = True

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        alpha: float = 1.5,
        lr: float = 0.025,
        reference_loss: Literal["first_step", "first_epoch"] = "first_step",
        norms_at: Literal["last_layer", "parameters"] = "last_layer",
        **options: Any,
    ) -> None:
        super().__init__(tasks, **options)
        not_negative("alpha of grad_norm", alpha)
        check_choice("reference_loss of grad_norm", reference_loss, ("first_step", "first_epoch"))
        check_choice("norms_at of grad_norm", norms_at, ("last_layer", "parameters"))
        self.alpha, self.reference_loss, self.norms_at = alpha, reference_loss, norms_at
        self.register_buffer("learned", torch.ones(len(self.task_names)))
        self.register_buffer("first_losses", torch.zeros(len(self.task_names)))
        self.register_buffer("sums", torch.zeros(len(self.task_names)))
        self.register_buffer("counts", torch.zeros(len(self.task_names)))
        self.learned: Tensor
        self.first_losses: Tensor
        self.sums: Tensor
        self.counts: Tensor
        self.adam = BufferedAdam(self.learned, self.method, lr)
        self._layer: int | None = None
        self._layer_known = False
        self._shared: SharedParts | None = None
        self._reset()

    def _reset(self) -> None:
        self._gradients: TaskGradients | None = None
        self._losses: list[Tensor] = []
        self._idle: frozenset[str] | None = None

    def cut(self) -> Cut | None:
        """The cut at the shared representation."""
        return RepresentationCut()

    def enter_epoch(self, epoch: int, epochs: int) -> None:
        """A new stage may have changed what the tasks share: look again."""
        self._layer_known, self._shared = False, None
        self._reset()

    def enter_turn(self) -> None:
        """Look again, as after a new stage."""
        self._layer_known, self._shared = False, None

    def end_epoch(self, losses: Mapping[str, float], scores: Scores | None) -> None:
        """Take the mean losses of the first epoch (of the steps in which a task had labels) as L(0), if wanted."""
        if self.reference_loss == "first_epoch":
            self.first_losses.copy_(self._first(self.sums / self.counts.clamp(min=1)))

    def _first(self, losses: Tensor) -> Tensor:
        return torch.where(self.first_losses == 0, losses, self.first_losses)

    def backward(self, step: ForwardPass) -> BalancerReport:
        """Take the gradients of one batch; with the last one, compare them, and go back through the trunk.

        Raises:
            UserError: norms are taken at the last layer, but the tasks of the encoder share none.
        """
        losses = [loss * self.weights[name] for name, loss in step.losses.items()]
        used = rescaled(self.learned, self.normalise).clone()
        weighted = [loss * weight for loss, weight in zip(losses, used, strict=True)]
        if not self._layer_known and self.norms_at == "last_layer":
            self._layer, self._layer_known = last_shared_layer(step, losses), True
        gradients = self._gradients = self._gradients or self._place(step, losses)
        gradients.add(step, weighted)
        self._idle = step.absent if self._idle is None else self._idle & step.absent
        self._losses.append(torch.stack([loss.detach() for loss in losses]) * (step.scale / step.loss_scale))
        if not step.last:
            return BalancerReport()
        gramian = gradients.gramian()
        norms = gradients.norms() if isinstance(gradients, AtLayer) else gramian.diagonal().sqrt()
        gradients.apply_weights([1.0] * len(losses))
        factors = used * constant([self.weights[name] for name in step.losses], used)
        joint = average(torch.stack(self._losses).sum(dim=0)).to(used)
        finite = norms.isfinite().all()  # else the loss scaler skips the step
        self.sums += torch.where(finite, joint, 0.0)
        self.counts += finite & (joint != 0)
        self._learn(norms.to(used) / used, joint)
        self._reset()
        return compared(list(step.losses), gramian, [*factors], factors)

    def _place(self, step: ForwardPass, losses: Sequence[Tensor]) -> TaskGradients:
        if self._layer is not None:
            return AtLayer(self._layer)
        if step.absent and self._shared is None:
            self._shared = shared_parts(step, losses)
        return AtParameters(shared=() if self._shared is None else self._shared.parameters)

    def _learn(self, norms: Tensor, losses: Tensor) -> None:
        """Move the weights; all is decided on the device, so that nobody waits for it.

        Args:
            norms: ``||grad_W L_t||``, ``[T]``; all 0 where the tasks share nothing, or their gradients do not reach it
                yet: then nothing is learned.
            losses: L, ``[T]``; 0 for a task without labels.
        """
        first = self._first(losses) if self.reference_loss == "first_step" else self.first_losses
        labelled = (losses != 0) & (first != 0)
        sizes, pace = self.learned * norms, losses / first
        targets = _mean(sizes, labelled) * (pace / _mean(pace, labelled)) ** self.alpha
        gaps = torch.where(labelled, sizes - targets, 0.0)
        valid = norms.any() & labelled.any() & gaps.isfinite().all()
        self.first_losses.copy_(torch.where(valid, first, self.first_losses))
        gradient = torch.where(labelled, gaps.sign() * norms, 0.0)
        broadcast([gradient])
        moving = flags(self.task_names, {*self.task_names} - self._idle, losses) if self._idle else None
        self.adam(self.learned, gradient, valid, moving)
        moved = self.learned.clamp(min=_SMALLEST)
        if moving is None:
            moved = moved.mul(len(losses) / moved.sum())
        else:
            total = len(losses) - torch.where(moving, 0.0, self.learned).sum()
            moved = torch.where(moving, moved * (total / (moved * moving).sum()), self.learned)
        self.learned.copy_(torch.where(valid, moved, self.learned))


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    """Of those that are chosen."""
    return torch.where(chosen, values, 0.0).sum() / chosen.sum()
