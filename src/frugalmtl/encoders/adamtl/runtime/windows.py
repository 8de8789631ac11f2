"""Window tables: the rows of every window of a grid, made once per size of the grid."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import torch
from torch import Tensor

from frugalmtl.backbones.views import TokenHalves
from frugalmtl.encoders.adamtl.windows import window_of_token

KEPT = 16
"""Tables that are kept, of the sizes used last."""


@dataclass(frozen=True)
class GridSize:
    """Size of a batch of grids of tokens.

    Attributes:
        batch: B, images.
        height: h, tokens.
        width: w, tokens.
    """

    batch: int
    height: int
    width: int

    @property
    def area(self) -> int:
        """Tokens of one image."""
        return self.height * self.width

    @property
    def tokens(self) -> int:
        """Tokens of the batch."""
        return self.batch * self.height * self.width


@dataclass(frozen=True, eq=False)
class WindowTable:
    """Windows of one block on a grid.

    Attributes:
        places: flat position of every token of every window, ``[windows, window area]``; padding stands at the number
            of tokens of the grid.
        padding: True at padding; None where there is none.
        kinds: which of the masks holds in each window, ``[windows]``; None where none is masked.
        owners: number of the window that each token lies in, ``[h * w]``.
        masks: the different masks, ``[kinds, window area, window area]``, added to scores of attention.
    """

    places: Tensor
    padding: Tensor | None
    owners: Tensor
    kinds: Tensor | None
    masks: Tensor | None

    @classmethod
    def of(cls, view: TokenHalves, height: int, width: int, like: Tensor) -> WindowTable:
        """The table of a block on grids ``[height, width]``, with the device and number format of a tensor."""
        places = view.places(height, width).to(like.device)
        padding = places == height * width if height * width < places.numel() else None
        owners = window_of_token(places, (height, width))
        masks = view.window_masks((height, width), like)
        if masks is None:
            return cls(places, padding, owners, None, None)
        if torch.compiler.is_exporting():  # whether masks are equal is a question of values
            return cls(places, padding, owners, torch.arange(masks.shape[0], device=like.device), masks)
        different, kinds = torch.unique(masks, dim=0, return_inverse=True)
        return cls(places, padding, owners, kinds, different)


class WindowTables:
    """The tables of one block on the sizes that it has met last; no state of the block, so that none is stored."""

    def __init__(self) -> None:
        self.tables: dict[Hashable, WindowTable] = {}

    def __call__(self, view: TokenHalves, height: int, width: int, like: Tensor) -> WindowTable:
        """See :meth:`WindowTable.of`."""
        key = (height, width, like.device, like.dtype)
        table = self.tables.pop(key, None)
        if table is None:
            with torch.inference_mode(False), torch.no_grad():  # whoever comes next may want gradients
                table = WindowTable.of(view, height, width, like.new_empty(0))
            while len(self.tables) >= KEPT:
                del self.tables[next(iter(self.tables))]
        self.tables[key] = table
        return table

    def __deepcopy__(self, memo: object) -> WindowTables:
        """A copy begins without tables."""
        return WindowTables()
