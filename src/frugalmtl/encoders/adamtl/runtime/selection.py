"""Selections: the rows of a batch of token grids that a block computes, and how many they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from frugalmtl.encoders.adamtl.runtime.windows import GridSize, WindowTable


@dataclass(frozen=True, eq=False)
class Rows:
    """Some or all things of a batch.

    Attributes:
        index: their flat numbers, ``[k]``; None for all of them.
        none: whether there is none, as far as the host knows.
    """

    index: Tensor | None = None
    none: bool = False


@dataclass(frozen=True, eq=False)
class Selection:
    """Part of a batch that one block computes.

    Attributes:
        windows: windows of the batch in which attention runs, image by image.
        tokens: rows of the batch that the MLP runs on.
        dropped: rows that get the normalisation of the MLP half instead.
    """

    windows: Rows
    tokens: Rows
    dropped: Rows = Rows(none=True)


NOTHING = Selection(Rows(none=True), Rows(none=True))


@dataclass(frozen=True, eq=False)
class Wanted:
    """Masks over a batch that a selection is made of, before anything is counted.

    Attributes:
        windows: bool ``[B * windows of a grid]``.
        tokens: bool ``[B * h * w]``.
        dropped: bool ``[B * h * w]``; None where dropped tokens stay as they are.
    """

    windows: Tensor
    tokens: Tensor
    dropped: Tensor | None = None

    @classmethod
    def of(
        cls, images: Tensor, tokens: Tensor | None, table: WindowTable, size: GridSize, *, windowed: bool, norm: bool
    ) -> Wanted:
        """The masks of a block.

        Args:
            images: bool ``[B]``: on which images it runs.
            tokens: bool ``[B, h, w]``: on which of their tokens; None for all.
            table: windows of the block.
            size: of the grids.
            windowed: whether attention runs only in windows with a token that is on.
            norm: whether dropped tokens get the normalisation.
        """
        running = images[:, None].expand(-1, size.area)
        kept = running if tokens is None else running & tokens.flatten(1)
        count = table.places.shape[0]
        windows = images[:, None].expand(-1, count)
        if windowed and tokens is not None:
            padded = kept if table.padding is None else functional.pad(kept, (0, 1))
            inside = padded.index_select(1, table.places.flatten())
            windows = inside.view(size.batch, count, -1).any(-1)
        dropped = (running & ~kept).flatten() if norm and tokens is not None else None
        return cls(windows.reshape(-1), kept.reshape(-1), dropped)

    def masks(self) -> list[Tensor]:
        """The masks that are numbers of rows to be known of."""
        return [mask for mask in (self.windows, self.tokens, self.dropped) if mask is not None]

    def selection(self, counts: Sequence[int] | None) -> Selection:
        """The rows; ``counts`` as :func:`counted` gives them for :meth:`masks`, None where the host may not know."""
        sizes = list(counts) if counts is not None else [None] * len(self.masks())
        rows = [rows_of(mask, count) for mask, count in zip(self.masks(), sizes, strict=True)]
        return Selection(*rows) if not all(part.none for part in rows) else NOTHING


def counted(wanted: Sequence[Wanted]) -> list[list[int]]:
    """How many are on in the masks of each; the host waits once for all of them."""
    masks = [block.masks() for block in wanted]
    if not masks:
        return []
    sums = torch.stack([mask.sum() for block in masks for mask in block]).tolist()
    numbers = iter(sums)
    return [[next(numbers) for _ in block] for block in masks]


def rows_of(mask: Tensor, count: int | None) -> Rows:
    """The places where a mask is on, without a wait of the host.

    Args:
        mask: bool ``[n]``.
        count: how many there are; None where the host may not know, and one behind the last is added.
    """
    if count is None:  # with one more, behind the last: a program takes no tensors that may be empty
        beyond = torch.full((1,), mask.shape[0], dtype=torch.int64, device=mask.device)
        return Rows(torch.cat([mask.nonzero()[:, 0], beyond]))
    if count == 0:
        return Rows(none=True)
    if count == mask.shape[0]:
        return Rows()
    return Rows(torch.nonzero_static(mask, size=count)[:, 0])
