"""Gates, which pick private or shared channels, and mixing weights of the shared branch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor, nn

from frugalmtl.channels import Mask
from frugalmtl.core.rng import drawn_apart
from frugalmtl.encoders.interrogate.budget.prices import scores_at


@dataclass(frozen=True)
class Places:
    """The gate of every channel, over the channels of all sites one after the other.

    Attributes:
        widths: channels of every site.
        columns: for every channel the gate that decides over it; channels of one head or group share a gate.
        gates: number of gates of one task.
    """

    widths: tuple[int, ...]
    columns: tuple[int, ...]
    gates: int

    @classmethod
    def of(cls, widths: Sequence[int], units: Sequence[int], tied: Sequence[Sequence[int]] = ()) -> Places:
        """Gates of all sites.

        Args:
            widths: channels of every site.
            units: neighbouring channels of a site that share one gate.
            tied: groups of sites of equal width and unit whose gates are the same.
        """
        first: dict[int, int] = {site: min(group) for group in tied for site in group}
        start: dict[int, int] = {}
        columns: list[int] = []
        count = 0
        for site, (width, unit) in enumerate(zip(widths, units, strict=True)):
            leader = first.get(site, site)
            if leader == site:
                start[site] = count
                count += width // unit
            columns += [start[leader] + channel // unit for channel in range(width)]
        return cls(tuple(widths), tuple(columns), count)

    def split(self, open_gates: Mask) -> list[Mask]:
        """Gates ``[T, U]`` -> the channels of every site ``[T, C]``."""
        edges = list(accumulate(self.widths, initial=0))
        channels = open_gates[:, self.columns]
        return [channels[:, start:stop] for start, stop in pairwise(edges)]

    def macs(self, per_channel: Sequence[float]) -> Tensor:
        """Multiply-adds of the channels that each gate decides over, in one branch: ``[U]``.

        Args:
            per_channel: of one channel at every site, see :func:`~frugalmtl.channels.cost.site_macs`.
        """
        values = [value for value, width in zip(per_channel, self.widths, strict=True) for _ in range(width)]
        result = torch.zeros(self.gates, dtype=torch.float64)
        result.index_add_(0, torch.tensor(self.columns), torch.tensor(values).double())
        return result.float()


class Gates(nn.Module):
    r"""Gates and mixing weights of all sites.

    ``G = [score > 0]`` decides per gate whether a task takes its own channels. The score is alpha; where a budget sets
    a ``price``, it is what alpha is worth beyond ``price * cost`` per copy of the channel, see
    :func:`~frugalmtl.encoders.interrogate.budget.prices.scores_at`. Backwards, the threshold counts as the identity
    (straight-through), so the gradient is that of ``sigmoid(score)``. The shared branch reads
    ``sum_t softmax_t(beta)_t phi'_t``, per channel.

    Args:
        tasks: number of tasks T.
        places: of the gates.
        initial: first value of every alpha; positive: all channels are the tasks' own.
        spread: length of the interval above ``initial`` from which the first values are drawn.
        weights: of the tasks' importances ``[T]``; then alphas are no parameters of a sigmoid, but sums of importances:
            gradient descent adds the square of ``dL/dG`` in every step.

    Attributes:
        alpha: ``[T, U]``, one per gate.
        weights: see above; None where alphas are learned.
        beta: ``[T, C]`` over the channels of all sites.
        price: what a unit of cost must be worth; moves all thresholds.
        cost: ``[U]``, what a gate costs, relative to the mean.
    """

    price: Tensor
    cost: Tensor
    columns: Tensor

    def __init__(
        self, tasks: int, places: Places, initial: float, spread: float = 0.0, weights: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        self.places, self.weights = places, weights
        if weights is not None:
            initial = torch.finfo(torch.float32).tiny  # nothing is known yet, and all channels are the tasks' own
        with drawn_apart("gates"):
            self.alpha = nn.Parameter(initial + spread * torch.rand(tasks, places.gates))
        self.beta = nn.Parameter(torch.zeros(tasks, len(places.columns)))
        self.register_buffer("price", torch.zeros(()))
        self.register_buffer("cost", torch.ones(places.gates))
        self.register_buffer("columns", torch.tensor(places.columns), persistent=False)

    def scores(self) -> Tensor:
        """What each gate being open is worth beyond its price, ``[T, U]``: positive for the tasks' own channels.

        See :func:`~frugalmtl.encoders.interrogate.budget.prices.scores_at`; the gradient is that of alpha.
        """
        scores = scores_at(self.worth(), self.price * self.cost)
        return scores + (self.alpha - self.alpha.detach())

    def worth(self) -> Tensor:
        """What own channels are worth to the tasks, ``[T, U]``: alpha; of importances, relative to the task's mean."""
        alpha = self.alpha.detach()
        if self.weights is None:
            return alpha
        return alpha / alpha.abs().mean(1, keepdim=True) * alpha.new_tensor(self.weights)[:, None]

    def soft(self) -> Tensor:
        """``sigmoid`` of the scores for every channel ``[T, C]``."""
        return self.scores().sigmoid()[:, self.columns]

    def choices(self, gradient: float) -> list[Tensor]:
        """For every site ``[T, C]``: 1 where a task takes its own channel, 0 where the shared one.

        Args:
            gradient: times the gradient of the sigmoid; 0 for none.
        """
        scores = self.scores()
        choice = (scores > 0).to(scores.dtype)
        if gradient and self.weights is not None:
            choice = _ToImportance.apply(self.alpha, choice)
        elif gradient:
            soft = times_gradient(scores.sigmoid(), gradient)
            choice = choice + (soft - soft.detach())
        return list(torch.split(choice[:, self.columns], list(self.places.widths), dim=1))

    def mixes(self) -> list[Tensor]:
        """For every site ``[T, C]``: the share of each task in what the shared branch reads."""
        return list(torch.split(self.beta.softmax(0), list(self.places.widths), dim=1))

    def private(self) -> list[Mask]:
        """For every site ``[T, C]``: whether a task takes its own channel."""
        return self.places.split((self.scores().detach() > 0).cpu().numpy())


class _ToImportance(torch.autograd.Function):
    """Choices whose gradient, squared and negative, is that of alpha: gradient descent adds importances."""

    @staticmethod
    def forward(_ctx: Any, _alpha: Tensor, choice: Tensor) -> Tensor:
        return choice.clone()

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> Any:
        return -gradients[0].square(), None


def times_gradient(value: Tensor, factor: float) -> Tensor:
    """The same value with ``factor`` times its gradient."""
    return value if factor == 1 else value.detach() + factor * (value - value.detach())


def merge(
    choice: Tensor, mix: Tensor, axis: int, shared: Tensor, private: Sequence[Tensor]
) -> tuple[list[Tensor], Tensor]:
    """A site: every task picks channel by channel, the shared branch reads a mix of what they picked.

    ``phi'_t = G_t phi_t + (1 - G_t) psi`` and ``psi' = sum_t mix_t phi'_t`` (eq. 2 and 3).

    Args:
        choice: G ``[T, C]``, of zeros and ones.
        mix: ``[T, C]``.
        axis: of the channels in the tensors.
        shared: psi.
        private: phi of every task, of psi's shape.

    Returns:
        phi' of every task, and psi'.
    """
    apply = _Merge.apply if torch.is_grad_enabled() else _forward
    *picked, mixed = apply(choice, mix, axis, shared, *private)
    return picked, mixed


def pick(choice: Tensor, axis: int, shared: Tensor, private: Sequence[Tensor]) -> list[Tensor]:
    """The tasks' part of :func:`merge`, where the shared branch reads nothing."""
    apply = _Merge.apply if torch.is_grad_enabled() else _forward
    return list(apply(choice, None, axis, shared, *private))


class _Merge(torch.autograd.Function):
    """:func:`merge`, keeping nothing for the backward pass but its inputs and what the next layers keep anyway."""

    @staticmethod
    def forward(ctx: Any, choice: Tensor, mix: Tensor | None, axis: int, shared: Tensor, *private: Tensor) -> Any:
        ctx.axis = axis
        ctx.set_materialize_grads(False)
        outputs = _forward(choice, mix, axis, shared, *private)
        ctx.save_for_backward(choice, mix, shared, *private, *(outputs[: len(private)] if mix is not None else ()))
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        choice, mix, shared, *tensors = ctx.saved_tensors
        private, picked = tensors[: len(choice)], tensors[len(choice) :]
        along = _along(ctx.axis, shared.ndim)
        rest = [dim for dim in range(shared.ndim) if dim != ctx.axis % shared.ndim]
        of_mixed = gradients[len(private)] if mix is not None else None
        needs_choice, needs_mix = ctx.needs_input_grad[0], ctx.needs_input_grad[1] and of_mixed is not None
        # Nothing is written over what has no gradient in it: gradients of several losses may come side by side (vmap).
        to_choice, to_mix = list(torch.zeros_like(choice)), [] if mix is None else list(torch.zeros_like(mix))
        to_private: list[Tensor | None] = []
        to_shared: Tensor | None = None
        for task, (phi, gradient) in enumerate(zip(private, gradients, strict=False)):
            gate, total = choice[task].to(shared.dtype).view(along), gradient
            if of_mixed is not None and mix is not None:
                weight = mix[task].to(shared.dtype).view(along)
                total = of_mixed * weight if gradient is None else torch.addcmul(gradient, of_mixed, weight)
            if total is None:
                to_private.append(None)
                continue
            if needs_mix and of_mixed is not None:
                to_mix[task] = (of_mixed * picked[task]).sum(rest, dtype=mix.dtype)
            if needs_choice:
                to_choice[task] = ((phi - shared) * total).sum(rest, dtype=choice.dtype)
            to_private.append(total * gate)
            to_shared = total * (1 - gate) if to_shared is None else to_shared.addcmul_(total, 1 - gate)
        of_choice, of_mix = torch.stack(to_choice), torch.stack(to_mix) if needs_mix else None
        return of_choice, of_mix, None, to_shared, *to_private


def _along(axis: int, ndim: int) -> tuple[int, ...]:
    return tuple(-1 if dim == axis % ndim else 1 for dim in range(ndim))


def _forward(choice: Tensor, mix: Tensor | None, axis: int, shared: Tensor, *private: Tensor) -> tuple[Tensor, ...]:
    """What every task picks, then the mix if there is one."""
    along = _along(axis, shared.ndim)
    gates = [gate.to(shared.dtype).view(along) for gate in choice]
    if torch.is_grad_enabled() or any(phi.requires_grad for phi in private):
        # Exact for weights 0 and 1, and four times faster on a CPU than a choice by a broadcast mask.
        picked = [torch.lerp(shared, phi, gate) for gate, phi in zip(gates, private, strict=True)]
    else:
        # Like the deployed network, which has no closed channels, whatever values these would take.
        picked = [torch.where(gate > 0.5, phi, shared) for gate, phi in zip(gates, private, strict=True)]
    if mix is None:
        return tuple(picked)
    weights = mix.to(shared.dtype)
    mixed = picked[0] * weights[0].view(along)
    for phi, weight in zip(picked[1:], weights[1:], strict=True):
        mixed.addcmul_(phi, weight.view(along))
    return (*picked, mixed)
