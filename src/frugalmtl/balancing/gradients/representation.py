"""Gradients at the shared representation, and at one layer in front of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from frugalmtl.balancing._gramian import combined, gramian
from frugalmtl.balancing.base import ForwardPass
from frugalmtl.balancing.gradients._autograd import clear, go_back, sums, take, take_rows
from frugalmtl.balancing.gradients.base import Place, TaskGradients, used_cut
from frugalmtl.core.distributed import average, average_gradients, average_in_place, process_count


class AtRepresentation(TaskGradients):
    """Gradients at the leaves of the cut; see the package."""

    def __init__(self) -> None:
        self._device = torch.device("cpu")
        self._places: list[Place] = []
        self._shared: list[list[Tensor]] = []
        self._penalties: list[list[Tensor | None]] = []

    def add(self, step: ForwardPass, losses: Sequence[Tensor]) -> None:
        """Go back from every loss, and from the penalty, to the leaves of the cut."""
        cut, self.loss_scale = used_cut(step), step.loss_scale
        self._device = losses[0].device
        rows = take_rows(losses, step.scale, cut.leaves, keep=step.penalty is not None)
        self._places.append(Place(cut.leaves, rows))
        self._shared.append(cut.shared)
        # The penalty may run through the trunk's own graph, which is needed again.
        self._penalties.append(take(step.penalty, step.scale, cut.leaves, keep=True))

    def places(self) -> list[Place]:
        """A place per batch: the leaves of its cut."""
        return self._places

    def gramian(self) -> Tensor:
        """Sum of the batches' and processes' inner products, since their leaves are parts of one representation."""
        return joint_products(self.products(), self.loss_scale)

    def products(self) -> Tensor:
        """Inner products of this process's batches, with the loss scale."""
        return torch.stack([gramian(place.rows, self._device) for place in self._places]).sum(dim=0)

    def apply_directions(self, directions: Sequence[Sequence[Tensor | None]]) -> None:
        """Go back from the cuts through the trunk."""
        for shared, direction, penalty in zip(self._shared, directions, self._penalties, strict=True):
            go_back(shared, sums(direction, penalty), keep=False)

    def apply_clipped(self, weights: Sequence[float], trunk: Sequence[Tensor], max_norm: float) -> Tensor:
        """Let ``sum_t w_t g_t`` reach the trunk, made shorter there if it is too long; uses the gradients up.

        Args:
            weights: one per task.
            trunk: the parameters in front of the cut.
            max_norm: largest norm of the joint batch's direction at these, without the loss scale. A penalty's gradient
                does not count.

        Returns:
            The factor, at most 1, a scalar on the device.
        """
        before = clear(trunk)
        penalized = any(item is not None for penalty in self._penalties for item in penalty)
        for shared, place in zip(self._shared, self._places, strict=True):
            go_back(shared, combined(place.rows, weights), keep=penalized)
        average_gradients(trunk)
        direction = [item.grad for item in trunk if item.grad is not None]
        factor = (max_norm * self.loss_scale / torch.nn.utils.get_total_norm(direction)).clamp(max=1.0)
        for gradient in direction:
            gradient.mul_(factor)
        for shared, penalty in zip(self._shared, self._penalties, strict=True):
            go_back(shared, penalty, keep=False)
        for parameter, total in zip(trunk, sums(clear(trunk), before), strict=True):
            parameter.grad = total
        return factor


class AtLayer(AtRepresentation):
    """Gradients at the leaves of the cut, and beside them at one weight of the trunk.

    Args:
        layer: index of the weight among the encoder's parameters.
    """

    def __init__(self, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self._at_layer: list[Tensor] = []

    def add(self, step: ForwardPass, losses: Sequence[Tensor]) -> None:
        """Go back from every loss to the cut, and from there to the weight alone; the trunk's graph is kept."""
        super().add(step, losses)
        weight = [*step.model.get_submodule("encoder").parameters()][self.layer]
        gradients = [self._through(row, weight) for row in self._places[-1].rows]
        if self._at_layer:
            gradients = [total + new for total, new in zip(self._at_layer, gradients, strict=True)]
        self._at_layer = gradients

    def _through(self, row: Sequence[Tensor | None], weight: Tensor) -> Tensor:
        """A gradient at the last batch's cut -> at the weight."""
        pairs = [(tensor, item) for tensor, item in zip(self._shared[-1], row, strict=True) if item is not None]
        if not pairs:
            return torch.zeros_like(weight)
        ends, gradients = zip(*pairs, strict=True)
        (gradient,) = torch.autograd.grad(
            ends, [weight], gradients, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return gradient

    def norms(self) -> Tensor:
        """Norms ``[T]`` of the gradients of the joint batch at the weight, without the loss scale; called once."""
        average_in_place(self._at_layer)
        return torch.stack([torch.linalg.vector_norm(row) for row in self._at_layer]) / self.loss_scale


def joint_products(products: Tensor, loss_scale: float) -> Tensor:
    """Inner products at the cut, of the joint batch, from those of each process; see :meth:`TaskGradients.gramian`."""
    return average(products) / (process_count() * loss_scale**2)
