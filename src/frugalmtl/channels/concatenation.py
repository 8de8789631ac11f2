"""Concatenation of private and shared channels at a site, with gradients that are concatenations, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from frugalmtl.channels.operations import Channels, Mask


@dataclass(frozen=True)
class Piece:
    """Neighbouring channels of a site that a branch reads from one tensor.

    Attributes:
        start: first channel, in the site's order.
        width: number of channels.
        kept: whether they are the branch's own; else they are in the shared tensor.
        offset: where they begin in that tensor.
    """

    start: int
    width: int
    kept: bool
    offset: int


@dataclass(frozen=True)
class SharedPiece:
    """Neighbouring channels of a site that the same branches take from the shared tensor; one after the other in it.

    Attributes:
        start: first channel, in the site's order.
        width: number of channels.
        takers: the private branches.
    """

    start: int
    width: int
    takers: tuple[int, ...]


@dataclass(frozen=True)
class SiteLayout:
    """How the features of a site are concatenated.

    Attributes:
        pieces: of every private branch, in order; they cover all channels.
        shared: the channels of the shared tensor, in order.
        joined: branches that read some private and some shared channels: their features are concatenated. Any other
            branch reads its own tensor, or the shared one, as it is.
        axis: of the channels.
    """

    pieces: tuple[tuple[Piece, ...], ...]
    shared: tuple[SharedPiece, ...]
    joined: tuple[int, ...]
    axis: int

    @classmethod
    def of(cls, order: Channels, private: Mask, readers: Sequence[int], axis: int) -> SiteLayout:
        """The layout of a site whose private and shared tensors hold their channels in the site's order.

        Args:
            order: all channels of the site.
            private: ``[T, C]``.
            readers: private branches that read the site.
            axis: of the channels.
        """
        kept = private[:, list(order)]
        taken = ~kept
        taken[[branch for branch in range(len(kept)) if branch not in readers]] = False
        in_shared = taken.any(0).cumsum() - 1
        pieces: list[tuple[Piece, ...]] = []
        for row in kept:
            places = [int(place) for place in row.cumsum() - 1]
            offsets = [places[at] if row[at] else int(in_shared[at]) for at in range(len(order))]
            starts = [
                at
                for at in range(len(order))
                if at == 0 or row[at] != row[at - 1] or offsets[at] != offsets[at - 1] + 1
            ]
            ends = [*starts[1:], len(order)]
            pieces.append(
                tuple(
                    Piece(start, end - start, bool(row[start]), offsets[start])
                    for start, end in zip(starts, ends, strict=True)
                )
            )
        shared: list[SharedPiece] = []
        changes = [at for at in range(len(order)) if at == 0 or (taken[:, at] != taken[:, at - 1]).any()]
        for start, end in zip(changes, [*changes[1:], len(order)], strict=True):
            takers = tuple(branch for branch in range(len(taken)) if taken[branch, start])
            shared += [SharedPiece(start, end - start, takers)] if takers else []
        joined = tuple(branch for branch in readers if 0 < int(private[branch].sum()) < len(order))
        return cls(tuple(pieces), tuple(shared), joined, axis)


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

    Backwards every gradient is concatenated from pieces of the gradients of what was read, where autograd would fill
    whole tensors with zeros for each piece. Nothing is written in place over what came from outside, so that gradients
    of several losses may come side by side (vmap).
    """

    @staticmethod
    def forward(
        ctx: Any, layout: SiteLayout, mix: Tensor | None, shared: Tensor | None, *private: Tensor | None
    ) -> Any:
        ctx.layout, ctx.branches = layout, len(private)
        ctx.set_materialize_grads(False)
        features = {branch: _joined(layout, branch, shared, private) for branch in layout.joined}
        if mix is None:
            return tuple(features.values())
        read = [features.get(branch, tensor) for branch, tensor in enumerate(private)]
        whole = [shared if tensor is None else tensor for tensor in read]
        mixed = _mixed(mix, [tensor for tensor in whole if tensor is not None], layout.axis)
        ctx.save_for_backward(mix, *whole)
        return (*features.values(), mixed)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        layout: SiteLayout = ctx.layout
        totals: list[Tensor | None] = [None] * ctx.branches
        for branch, gradient in zip(layout.joined, gradients, strict=False):
            totals[branch] = gradient
        to_mix: Tensor | None = None
        if ctx.saved_tensors and gradients[-1] is not None:
            mix, *read = ctx.saved_tensors
            totals, to_mix = _backward_mix(gradients[-1], mix, read, totals, layout.axis, ctx.needs_input_grad[1])
        to_private = [_to_private(layout, branch, total) for branch, total in enumerate(totals)]
        return None, to_mix, _to_shared(layout, totals), *to_private


def _joined(layout: SiteLayout, branch: int, shared: Tensor | None, private: Sequence[Tensor | None]) -> Tensor:
    """What a branch reads."""
    parts = []
    for piece in layout.pieces[branch]:
        source = private[branch] if piece.kept else shared
        if source is None:
            raise ValueError("a branch reads channels that nobody has computed")
        parts.append(source.narrow(layout.axis, piece.offset, piece.width))
    return torch.cat(parts, layout.axis)


def _mixed(mix: Tensor, read: Sequence[Tensor], axis: int) -> Tensor:
    """What the shared branch reads."""
    total: Tensor | None = None
    for tensor, share in zip(read, mix, strict=True):
        weight = _factor(share, tensor, axis)
        total = tensor * weight if total is None else total.addcmul_(tensor, weight)
    if total is None:
        raise ValueError("a mix needs at least one private branch")
    return total


def _backward_mix(
    gradient: Tensor, mix: Tensor, read: Sequence[Tensor], totals: Sequence[Tensor | None], axis: int, needs_mix: bool
) -> tuple[list[Tensor | None], Tensor | None]:
    """The gradients of what the branches read with that of the mix in them, and the gradient of the shares."""
    sums: list[Tensor | None] = []
    for total, share in zip(totals, mix, strict=True):
        weight = _factor(share, gradient, axis)
        sums.append(gradient * weight if total is None else torch.addcmul(total, gradient, weight))
    if not needs_mix:
        return sums, None
    rest = [dim for dim in range(gradient.ndim) if dim != axis % gradient.ndim]
    return sums, torch.stack([(gradient * tensor).sum(rest, dtype=mix.dtype) for tensor in read])


def _to_private(layout: SiteLayout, branch: int, total: Tensor | None) -> Tensor | None:
    """The gradient of a branch's own channels, from that of all that it read."""
    kept = [piece for piece in layout.pieces[branch] if piece.kept]
    if total is None or not kept:
        return None
    return _concatenated([total.narrow(layout.axis, piece.start, piece.width) for piece in kept], layout.axis)


def _to_shared(layout: SiteLayout, totals: Sequence[Tensor | None]) -> Tensor | None:
    """The gradient of the shared channels: the sum over all that take them."""
    some = next((total for total in totals if total is not None), None)
    if some is None or not layout.shared:
        return None
    parts = []
    for piece in layout.shared:
        gradients = [totals[branch] for branch in piece.takers]
        terms = [total.narrow(layout.axis, piece.start, piece.width) for total in gradients if total is not None]
        if not terms:
            terms = [torch.zeros_like(some.narrow(layout.axis, piece.start, piece.width))]
        summed = terms[0]
        for term in terms[1:]:
            summed = summed + term
        parts.append(summed)
    return _concatenated(parts, layout.axis)


def _concatenated(parts: Sequence[Tensor], axis: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), axis)


def _factor(weight: Tensor, like: Tensor, axis: int) -> Tensor:
    weight = weight.to(like.dtype)
    return weight.reshape(-1, 1, 1) if axis == 1 else weight
