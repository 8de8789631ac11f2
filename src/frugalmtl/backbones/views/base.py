"""Residual view of a block: its shortcut, its branch, and the activation after their sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Residual:
    """A block as ``after(shortcut(x) + branch(x))``.

    To skip the block means to go on with ``shortcut(x)``: a projection always runs, and the activation after the sum
    belongs to the branch (Sun et al., "AdaShare", NeurIPS 2020). Nothing is registered in the block; the view reads the
    block's submodules when it is called, so that it holds after they were exchanged, and a deep copy of block and view
    belong together again.

    Attributes:
        block: the block that is viewed.
        blocks: types of blocks that the view knows, for exact types only: a subclass may compute something else.
    """

    block: Any
    blocks: ClassVar[tuple[type[nn.Module], ...]] = ()

    @property
    def present(self) -> bool:
        """Whether the block has a shortcut from its input to its output."""
        return True

    @property
    def projection(self) -> nn.Module | None:
        """The module on the shortcut; None where the shortcut is the identity."""
        return None

    def shortcut(self, state: Tensor) -> Tensor:
        """State before the block -> state after it if it is skipped."""
        projection = self.projection
        if projection is None:
            return state
        projected: Tensor = projection(state)
        return projected

    def branch(self, state: Tensor) -> Tensor:
        """State before the block -> what the block adds to the shortcut."""
        raise NotImplementedError

    def after(self, state: Tensor) -> Tensor:
        """The sum -> state after the block; may overwrite the sum."""
        return state


def projection_or_none(module: nn.Module | None) -> nn.Module | None:
    """The module, unless it is no projection."""
    return None if module is None or isinstance(module, nn.Identity) else module
