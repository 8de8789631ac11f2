"""Adversarial training: gradients that do not tell whose they are (ASTMT, Maninis et al., 2019)."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from frugalmtl.balancing._gramian import gramian
from frugalmtl.balancing._graph import nodes, reached
from frugalmtl.balancing._report import compared
from frugalmtl.balancing.base import Balancer, BalancerReport, ForwardPass, check_choice, rescaled
from frugalmtl.core.checks import UserError, fraction, positive
from frugalmtl.core.distributed import average, process_count
from frugalmtl.core.recipe import ParameterGroup
from frugalmtl.core.types import Predictions
from frugalmtl.model import Cut, MultiTaskModel
from frugalmtl.tasks import Task

_SPREAD = 0.01
"""Standard deviation of the discriminator's first weights."""

_NO_SECOND = "torch::autograd::Error"
"""What autograd puts behind a gradient that cannot be differentiated again (``once_differentiable``)."""


class Adversarial(Balancer):
    """Adversarial training (Maninis et al. 2019, ASTMT): gradients that do not tell which task they are of.

    A discriminator sees a task's gradient at its features, divided at every position by its norm over the channels, and
    tells at every position which task it is of; the network learns to make that impossible::

        L   = (1 - w) sum_t c_t L_t + w L_D
        L_D = sum_t mean over positions p of cross_entropy(D(R(g_t / (|g_t| + 1e-10)))_p, t),  g_t = c_t dL_t / dz_t

    R is the identity that multiplies what goes back by ``-alpha``, ``alpha = 2 / (1 + exp(-10 (e + 1) / E)) - 1`` in
    epoch e (from 0) of E. D is two convolutions of z's width, the first without a bias, with a ReLU between them; their
    weights start from N(0, 0.01^2) (the authors' code). What goes back from D through ``g_t`` is a second derivative,
    of the heads and the loss; the trunk is traversed once.

    ``z_t`` is the last tensor at the cut that the task reads: with hard sharing the coarsest level of the features, one
    tensor for all tasks (the paper: the features that the decoder made for the task). A position where ``g_t`` is
    exactly 0 does not count and lets nothing through (ours; the paper leaves out positions without a label, which a
    balancer does not see). So a task without labels in the batch, or that the batch is not for, is left out, but single
    positions only where heads do not mix them with others, as batch normalisation does. Accumulated batches count each
    by itself; on several processes ``L_D`` is the mean over the processes. What ``normalise`` rescales are the weights
    ``1 - w``.

    Args:
        tasks: the tasks.
        share: w (the paper: 0.01).
        kernel: of both convolutions (the paper: 1 on PASCAL, 3 on NYUD).
        lr_factor: of the discriminator's learning rate (the paper: 10).

    Raises:
        UserError: an option out of range.
    """

    scale = "free"
    explicit_reduction: ClassVar[bool] = True

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        share: float = 0.01,
        kernel: Literal[1, 3] = 1,
        lr_factor: float = 10.0,
        **options: Any,
    ) -> None:
        super().__init__(tasks, **options)
        check_choice("kernel of adversarial", kernel, (1, 3))
        self.share = fraction("share of adversarial", share)
        self.lr_factor = positive("lr_factor of adversarial", lr_factor)
        self.kernel = kernel
        self.discriminator: nn.Sequential | None = None
        self.alpha = 0.0
        self._products: list[Tensor] = []
        self._places: dict[tuple[str, frozenset[str]], int] = {}

    def attach(self, model: nn.Module) -> None:
        """Make the discriminator as wide as the last level that all tasks read.

        Raises:
            UserError: there is no such level.
        """
        channels = _last_common_width(cast(MultiTaskModel, model), self.task_names)
        padding = self.kernel // 2
        first = nn.Conv2d(channels, channels, self.kernel, padding=padding, bias=False)
        last = nn.Conv2d(channels, len(self.task_names), self.kernel, padding=padding)
        for layer in (first, last):
            nn.init.normal_(layer.weight, std=_SPREAD)
        self.discriminator = nn.Sequential(first, nn.ReLU(), last)

    def groups(self) -> tuple[ParameterGroup, ...]:
        """The discriminator learns faster."""
        return (ParameterGroup("discriminator.*", lr_factor=self.lr_factor, weight_decay=0.0),)

    def cut(self) -> Cut:
        """A hook that leaves the graph whole."""
        return Remembered()

    def enter_epoch(self, epoch: int, epochs: int) -> None:
        """The reversal grows from epoch to epoch."""
        super().enter_epoch(epoch, epochs)
        self.alpha = 2.0 / (1.0 + math.exp(-10.0 * (epoch + 1) / epochs)) - 1.0
        self._products, self._places = [], {}

    def enter_turn(self) -> None:
        """Look again which tensors of the cut tasks read, as after a new epoch."""
        super().enter_turn()
        self._places = {}

    def backward(self, step: ForwardPass) -> BalancerReport:
        """Gradients at the features with a graph, then one backward pass of the objective.

        Raises:
            UserError: a task reads no tensor at the cut that the discriminator fits, or its gradient has no derivative.
        """
        names = list(step.losses)
        fixed = [self.weights[name] for name in names]
        factors = rescaled(torch.full((len(names),), 1.0 - self.share), self.normalise).tolist()
        losses = [loss * weight for loss, weight in zip(step.losses.values(), fixed, strict=True)]
        gradients = self._gradients(step, losses)
        terms = [loss * factor for loss, factor in zip(losses, factors, strict=True)]
        if gradients:
            owners = [self.task_names.index(name) for name in gradients]
            terms.append(self.share * self.confusion([*gradients.values()], owners))
        total = torch.stack(terms).sum() + (0.0 if step.penalty is None else step.penalty)
        if total.requires_grad:  # else nothing is wanted
            step.backward(total)
        if step.measure:
            # As a part of the joint batch, and without the loss scale that the gradients carry.
            part = step.scale / step.loss_scale**2
            rows = [[gradients[name].detach() if name in gradients else None] for name in names]
            self._products.append(gramian(rows, losses[0].device) * part**2)
        if not step.last:
            return BalancerReport()
        weights = [factor * weight for factor, weight in zip(factors, fixed, strict=True)]
        products, self._products = self._products, []
        if not products:
            return BalancerReport(dict(zip(names, weights, strict=True)))
        joint = average(torch.stack(products).sum(dim=0)) / process_count()
        return compared(names, joint, weights, fixed)

    def confusion(self, gradients: Sequence[Tensor], owners: Sequence[int]) -> Tensor:
        """``L_D`` with reversed gradients.

        Args:
            gradients: of one task each, ``[B, C, h, w]``.
            owners: index of each one's task.
        """
        discriminator = self._ready()
        dtype = next(discriminator.parameters()).dtype
        terms = []
        for gradient, owner in zip(gradients, owners, strict=True):
            direction = _directions(gradient.to(dtype))
            logits = discriminator(_reversed(direction, self.alpha))
            counts = (direction.detach() != 0).any(dim=1)
            each = F.cross_entropy(logits, torch.full_like(counts, owner, dtype=torch.long), reduction="none")
            terms.append((each * counts).sum() / counts.sum().clamp(min=1))
        return torch.stack(terms).sum()

    def _ready(self) -> nn.Sequential:
        if self.discriminator is None:
            raise TypeError("the balancer was not attached to a model")
        return self.discriminator

    def _gradients(self, step: ForwardPass, losses: Sequence[Tensor]) -> dict[str, Tensor]:
        """``g_t`` of the wanted tasks with a graph, times the loss scale, which keeps it up in half precision."""
        if not isinstance(step.cut, Remembered):
            raise TypeError("the model was not called with this balancer's cut")
        shared, channels = step.cut.shared, cast(nn.Conv2d, self._ready()[0]).in_channels
        gradients: dict[str, Tensor] = {}
        for name, loss in zip(step.losses, losses, strict=True):
            if name in step.absent:
                continue
            key = name, step.absent  # of other tasks, an encoder may give other tensors
            new = key not in self._places
            if new:
                self._places[key] = _last_read(name, loss, shared, channels)
            place = shared[self._places[key]]
            (gradient,) = torch.autograd.grad(loss * step.loss_scale, [place], create_graph=True)
            if new and any(node.name() == _NO_SECOND for node in nodes([gradient])):
                raise UserError(
                    "adversarial training needs second derivatives, which a layer between the encoder's cut and "
                    f"the prediction of task {name!r} does not have: take another balancer or encoder"
                )
            gradients[name] = gradient
        return gradients


class Remembered:
    """The hook that remembers the shared tensors and keeps the graph."""

    def __init__(self) -> None:
        self.shared: list[Tensor] = []

    def __call__(self, shared: list[Tensor]) -> list[Tensor]:
        """The same tensors; those of a trunk that does not train become leaves, so that gradients can be taken."""
        self.shared = [item if item.requires_grad else item.detach().requires_grad_() for item in shared]
        return list(self.shared)


def _directions(gradient: Tensor) -> Tensor:
    """``[B, C, h, w]`` divided by its norm over C; what is exactly 0 stays so and lets no gradient through.

    Its derivative is of the size 1e10 there, and wider kernels would read it.
    """
    size = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
    nonzero = size > 0
    return torch.where(nonzero, gradient, 0.0) / (torch.where(nonzero, size, 1.0) + 1e-10)


def _reversed(value: Tensor, alpha: float) -> Tensor:
    """The same value; what goes back is multiplied by ``-alpha``."""
    fixed = value.detach()
    return fixed + alpha * (fixed - value)


def _last_read(task: str, loss: Tensor, shared: Sequence[Tensor], channels: int) -> int:
    """Index of the last of the shared feature maps of that width that a loss depends on."""
    behind = list(nodes([loss]))
    leaves = {id(node.variable) for node in behind if hasattr(node, "variable")}
    # One operation may make several of the feature maps, so edges are looked at rather than operations.
    edges = {edge for node in behind for edge in node.next_functions}
    for index, item in reversed(list(enumerate(shared))):
        read = id(item) in leaves if item.grad_fn is None else (item.grad_fn, item.output_nr) in edges
        if read and item.ndim == 4 and item.shape[1] == channels:
            return index
    raise UserError(
        f"adversarial training finds no features of {channels} channels that task {task!r} reads where the tasks of "
        "this encoder part: take another balancer or encoder"
    )


def _last_common_width(model: MultiTaskModel, names: Sequence[str]) -> int:
    """Channels of the last level of the pyramid that the predictions of all tasks depend on."""
    encoder, decoder = model.encoder, copy.deepcopy(model.decoder).eval()
    weight = next(model.parameters())
    side = max(encoder.strides) * 2
    levels = [
        weight.new_zeros(1, channels, side // stride, side // stride).requires_grad_()
        for channels, stride in zip(encoder.channels, encoder.strides, strict=True)
    ]
    with torch.enable_grad():
        predictions = decoder({name: list(levels) for name in encoder.task_names}, (side, side))
    read = [reached(outputs) for outputs in _outputs(predictions, names).values()]
    common = [index for index, level in enumerate(levels) if all(id(level) in leaves for leaves in read)]
    if not common:
        raise UserError(
            "adversarial training needs a level of features that the heads of all tasks read; give them one"
        )
    return encoder.channels[common[-1]]


def _outputs(predictions: Predictions, names: Sequence[str]) -> Mapping[str, list[Tensor]]:
    """What each task's loss is made of."""
    return {name: predictions.outputs_of(name) for name in names}
