"""Sites whose channels stand in the order of who takes them: features are joined from stretches, also backwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from frugalmtl.channels import Channels, Mask


@dataclass(frozen=True)
class Stretch:
    """Neighbouring channels of a site that the same tasks take their own of.

    Attributes:
        start: first channel, in the site's order.
        width: number of channels.
        owners: tasks that take their own; for all others they are shared.
        places: for every owner where the stretch begins in its own tensor.
        shared: where it begins in the shared tensor; -1 if nobody shares it.
    """

    start: int
    width: int
    owners: tuple[int, ...]
    places: tuple[int, ...]
    shared: int


@dataclass(frozen=True)
class Layout:
    """How a site is joined.

    Attributes:
        stretches: in order; they cover all channels.
        joined: tasks that take some own and some shared channels, or several stretches: their features are put
            together. Any other task reads its own tensor, or the shared one, as it is.
        axis: of the channels.
        channels: number of channels.
    """

    stretches: tuple[Stretch, ...]
    joined: tuple[int, ...]
    axis: int
    channels: int

    @classmethod
    def of(cls, order: Channels, own: Mask, wanted: Sequence[int], axis: int) -> Layout:
        """The layout of a site whose own and shared tensors hold their channels in the site's order.

        Args:
            order: all channels of the site.
            own: ``[T, C]``.
            wanted: tasks that read the site.
            axis: of the channels.
        """
        stretches: list[Stretch] = []
        filled, shared = [0] * len(own), 0
        start = 0
        while start < len(order):
            pattern = own[:, order[start]]
            stop = start
            while stop < len(order) and bool((own[:, order[stop]] == pattern).all()):
                stop += 1
            owners = tuple(task for task in range(len(own)) if pattern[task])
            places = tuple(filled[task] for task in owners)
            alone = len(owners) == len(own)
            stretches.append(Stretch(start, stop - start, owners, places, -1 if alone else shared))
            for task in owners:
                filled[task] += stop - start
            shared += 0 if alone else stop - start
            start = stop
        joined = tuple(task for task in wanted if 0 < int(own[task].sum()) < len(order))
        return cls(tuple(stretches), joined, axis, len(order))


class JoinSite(nn.Module):
    """What the branches read of a site: features of ``layout.joined``, then the mix for the shared branch.

    Args:
        layout: of the site.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout = layout

    def forward(self, mix: Tensor | None, shared: Tensor | None, *own: Tensor | None) -> tuple[Tensor, ...]:
        """Join.

        Args:
            mix: shares of the tasks ``[T, C]`` in the site's order; None if the shared branch hears nothing.
            shared: the shared channels that are computed; None if there are none.
            own: every task's own channels; None for tasks without any.
        """
        joined: tuple[Tensor, ...] = _Join.apply(self.layout, mix, shared, *own)
        return joined


class _Join(torch.autograd.Function):
    """:class:`JoinSite`; backwards every gradient is written once, stretch by stretch, where autograd would fill whole
    tensors with zeros for each of them.
    """

    @staticmethod
    def forward(ctx: Any, layout: Layout, mix: Tensor | None, shared: Tensor | None, *own: Tensor | None) -> Any:
        ctx.layout = layout
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(mix, shared, *own)
        axis, stretches = layout.axis, layout.stretches
        pieces = [[_piece(stretch, task, shared, own, axis) for stretch in stretches] for task in layout.joined]
        if mix is not None:
            pieces.append([_mixed(stretch, mix, shared, own, axis) for stretch in stretches])
        return tuple(torch.cat(parts, axis) for parts in pieces)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        layout: Layout = ctx.layout
        mix, shared, *own = ctx.saved_tensors
        to_shared = None if shared is None else torch.zeros_like(shared)
        to_own = [None if tensor is None else torch.zeros_like(tensor) for tensor in own]
        to_mix = None if mix is None else torch.zeros_like(mix)
        of_tasks = dict(zip(layout.joined, gradients, strict=False))
        of_mix = None if mix is None else gradients[len(layout.joined)]
        for stretch in layout.stretches:
            for task, given in of_tasks.items():
                if given is not None:
                    part = given.narrow(layout.axis, stretch.start, stretch.width)
                    _piece(stretch, task, to_shared, to_own, layout.axis).add_(part)
            if of_mix is not None and mix is not None and to_mix is not None:
                heard = of_mix.narrow(layout.axis, stretch.start, stretch.width)
                _backward_mix(stretch, heard, mix, to_mix, (shared, own), (to_shared, to_own), layout.axis)
        return None, to_mix, to_shared, *to_own


def _backward_mix(
    stretch: Stretch, heard: Tensor, mix: Tensor, to_mix: Tensor, values: Any, targets: Any, axis: int
) -> None:
    """Gradients of one stretch of the mix."""
    shared, own = values
    to_shared, to_own = targets
    if not stretch.owners:
        to_shared.narrow(axis, stretch.shared, stretch.width).add_(heard)
        return
    rest = [dim for dim in range(heard.ndim) if dim != axis % heard.ndim]
    span = slice(stretch.start, stretch.start + stretch.width)
    for task in stretch.owners:
        value = _piece(stretch, task, shared, own, axis)
        to_mix[task, span] = (heard * value).sum(rest, dtype=mix.dtype)
        _piece(stretch, task, to_shared, to_own, axis).addcmul_(heard, _factor(mix[task, span], heard, axis))
    others = [task for task in range(len(mix)) if task not in stretch.owners]
    if others:
        value = shared.narrow(axis, stretch.shared, stretch.width)
        product = (heard * value).sum(rest, dtype=mix.dtype)
        for task in others:
            to_mix[task, span] = product
        weight = _factor(_share(mix, others, span), heard, axis)
        to_shared.narrow(axis, stretch.shared, stretch.width).addcmul_(heard, weight)


def _piece(stretch: Stretch, task: int, shared: Any, own: Sequence[Any], axis: int) -> Tensor:
    """The channels of a stretch as a task reads them."""
    tensor, place = _where(stretch, task, shared, own)
    found: Tensor = tensor.narrow(axis, place, stretch.width)
    return found


def _where(stretch: Stretch, task: int, shared: Any, own: Sequence[Any]) -> tuple[Any, int]:
    if task in stretch.owners:
        return own[task], stretch.places[stretch.owners.index(task)]
    return shared, stretch.shared


def _mixed(stretch: Stretch, mix: Tensor, shared: Any, own: Sequence[Any], axis: int) -> Tensor:
    """The channels of a stretch as the shared branch hears them."""
    if not stretch.owners:
        found: Tensor = shared.narrow(axis, stretch.shared, stretch.width)
        return found
    span = slice(stretch.start, stretch.start + stretch.width)
    others = [task for task in range(len(mix)) if task not in stretch.owners]
    terms = [(_piece(stretch, task, shared, own, axis), mix[task, span]) for task in stretch.owners]
    if others:
        terms.append((shared.narrow(axis, stretch.shared, stretch.width), _share(mix, others, span)))
    first, weight = terms[0]
    total = first * _factor(weight, first, axis)
    for value, share in terms[1:]:
        total.addcmul_(value, _factor(share, value, axis))
    return total


def _share(mix: Tensor, tasks: Sequence[int], span: slice) -> Tensor:
    """Of several tasks together."""
    return torch.stack([mix[task, span] for task in tasks]).sum(0)


def _factor(weight: Tensor, like: Tensor, axis: int) -> Tensor:
    weight = weight.to(like.dtype)
    return weight.reshape(-1, 1, 1) if axis == 1 else weight
