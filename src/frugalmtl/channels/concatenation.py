"""Concatenation of private and shared channels at a site, with gradients written segment by segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from frugalmtl.channels.operations import Channels, Mask


@dataclass(frozen=True)
class Segment:
    """Neighbouring channels of a site that the same branches keep for themselves.

    Attributes:
        start: first channel, in the site's order.
        width: number of channels.
        keepers: private branches that keep them; for all others they are shared.
        offsets: for every keeper where the segment begins in its own tensor.
        shared: where it begins in the shared tensor; -1 if nobody shares it.
    """

    start: int
    width: int
    keepers: tuple[int, ...]
    offsets: tuple[int, ...]
    shared: int


@dataclass(frozen=True)
class SiteLayout:
    """How the features of a site are concatenated.

    Attributes:
        segments: in order; they cover all channels.
        joined: branches that read some private and some shared channels: their features are concatenated. Any other
            branch reads its own tensor, or the shared one, as it is.
        axis: of the channels.
        channels: number of channels.
    """

    segments: tuple[Segment, ...]
    joined: tuple[int, ...]
    axis: int
    channels: int

    @classmethod
    def of(cls, order: Channels, private: Mask, readers: Sequence[int], axis: int) -> SiteLayout:
        """The layout of a site whose private and shared tensors hold their channels in the site's order.

        Args:
            order: all channels of the site.
            private: ``[T, C]``.
            readers: private branches that read the site.
            axis: of the channels.
        """
        segments: list[Segment] = []
        filled, shared = [0] * len(private), 0
        start = 0
        while start < len(order):
            pattern = private[:, order[start]]
            stop = start
            while stop < len(order) and bool((private[:, order[stop]] == pattern).all()):
                stop += 1
            keepers = tuple(branch for branch in range(len(private)) if pattern[branch])
            offsets = tuple(filled[branch] for branch in keepers)
            unshared = len(keepers) == len(private)
            segments.append(Segment(start, stop - start, keepers, offsets, -1 if unshared else shared))
            for branch in keepers:
                filled[branch] += stop - start
            shared += 0 if unshared else stop - start
            start = stop
        joined = tuple(branch for branch in readers if 0 < int(private[branch].sum()) < len(order))
        return cls(tuple(segments), joined, axis, len(order))


class ConcatenateSite(nn.Module):
    """What the branches read of a site: features of ``layout.joined``, then the mix for the shared branch.

    Args:
        layout: of the site.
    """

    def __init__(self, layout: SiteLayout) -> None:
        super().__init__()
        self.layout = layout

    def forward(self, mix: Tensor | None, shared: Tensor | None, *private: Tensor | None) -> tuple[Tensor, ...]:
        """Private and shared tensors -> features of every joined branch, and the mix.

        Args:
            mix: shares of the branches ``[T, C]`` in the site's order; None if the shared branch reads nothing.
            shared: the shared channels that are computed; None if there are none.
            private: every branch's own channels; None for branches without any.
        """
        joined: tuple[Tensor, ...] = _Concatenate.apply(self.layout, mix, shared, *private)
        return joined


class _Concatenate(torch.autograd.Function):
    """:class:`ConcatenateSite`.

    Backwards every gradient is written once, segment by segment, where autograd would fill whole tensors with zeros for
    each of them.
    """

    @staticmethod
    def forward(
        ctx: Any, layout: SiteLayout, mix: Tensor | None, shared: Tensor | None, *private: Tensor | None
    ) -> Any:
        ctx.layout = layout
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(mix, shared, *private)
        axis, segments = layout.axis, layout.segments
        parts = [[_part(segment, branch, shared, private, axis) for segment in segments] for branch in layout.joined]
        if mix is not None:
            parts.append([_mixed(segment, mix, shared, private, axis) for segment in segments])
        return tuple(torch.cat(features, axis) for features in parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        layout: SiteLayout = ctx.layout
        mix, shared, *private = ctx.saved_tensors
        to_shared = None if shared is None else torch.zeros_like(shared)
        to_private = [None if tensor is None else torch.zeros_like(tensor) for tensor in private]
        to_mix = None if mix is None else torch.zeros_like(mix)
        of_branches = dict(zip(layout.joined, gradients, strict=False))
        of_mix = None if mix is None else gradients[len(layout.joined)]
        for segment in layout.segments:
            for branch, gradient in of_branches.items():
                if gradient is not None:
                    part = gradient.narrow(layout.axis, segment.start, segment.width)
                    _part(segment, branch, to_shared, to_private, layout.axis).add_(part)
            if of_mix is not None and mix is not None and to_mix is not None:
                part = of_mix.narrow(layout.axis, segment.start, segment.width)
                _backward_mix(segment, part, mix, to_mix, (shared, private), (to_shared, to_private), layout.axis)
        return None, to_mix, to_shared, *to_private


def _backward_mix(
    segment: Segment, gradient: Tensor, mix: Tensor, to_mix: Tensor, values: Any, targets: Any, axis: int
) -> None:
    """Gradients of one segment of the mix."""
    shared, private = values
    to_shared, to_private = targets
    if not segment.keepers:
        to_shared.narrow(axis, segment.shared, segment.width).add_(gradient)
        return
    rest = [dim for dim in range(gradient.ndim) if dim != axis % gradient.ndim]
    span = slice(segment.start, segment.start + segment.width)
    for branch in segment.keepers:
        value = _part(segment, branch, shared, private, axis)
        to_mix[branch, span] = (gradient * value).sum(rest, dtype=mix.dtype)
        _part(segment, branch, to_shared, to_private, axis).addcmul_(
            gradient, _factor(mix[branch, span], gradient, axis)
        )
    others = [branch for branch in range(len(mix)) if branch not in segment.keepers]
    if others:
        value = shared.narrow(axis, segment.shared, segment.width)
        product = (gradient * value).sum(rest, dtype=mix.dtype)
        for branch in others:
            to_mix[branch, span] = product
        weight = _factor(_share(mix, others, span), gradient, axis)
        to_shared.narrow(axis, segment.shared, segment.width).addcmul_(gradient, weight)


def _part(segment: Segment, branch: int, shared: Any, private: Sequence[Any], axis: int) -> Tensor:
    """The channels of a segment as a private branch reads them."""
    tensor, offset = shared, segment.shared
    if branch in segment.keepers:
        tensor, offset = private[branch], segment.offsets[segment.keepers.index(branch)]
    part: Tensor = tensor.narrow(axis, offset, segment.width)
    return part


def _mixed(segment: Segment, mix: Tensor, shared: Any, private: Sequence[Any], axis: int) -> Tensor:
    """The channels of a segment as the shared branch reads them."""
    if not segment.keepers:
        unchanged: Tensor = shared.narrow(axis, segment.shared, segment.width)
        return unchanged
    span = slice(segment.start, segment.start + segment.width)
    others = [branch for branch in range(len(mix)) if branch not in segment.keepers]
    terms = [(_part(segment, branch, shared, private, axis), mix[branch, span]) for branch in segment.keepers]
    if others:
        terms.append((shared.narrow(axis, segment.shared, segment.width), _share(mix, others, span)))
    first, weight = terms[0]
    total = first * _factor(weight, first, axis)
    for value, share in terms[1:]:
        total.addcmul_(value, _factor(share, value, axis))
    return total


def _share(mix: Tensor, branches: Sequence[int], span: slice) -> Tensor:
    """The share of several branches together."""
    return torch.stack([mix[branch, span] for branch in branches]).sum(0)


def _factor(weight: Tensor, like: Tensor, axis: int) -> Tensor:
    weight = weight.to(like.dtype)
    return weight.reshape(-1, 1, 1) if axis == 1 else weight
