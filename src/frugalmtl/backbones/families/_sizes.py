"""Sizes of transformers that are trained from scratch: width, depth, heads and windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from frugalmtl.core.checks import UserError, positive, shown

Stages = tuple[int, int, int, int]


@dataclass(frozen=True)
class TransformerSizes:
    """What a config may set of a family's models; None keeps the model's own.

    The names are those of timm's constructors.
    """

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            for number in value if isinstance(value, Sequence) else () if value is None else (value,):
                positive(name, number)

    def arguments(self) -> dict[str, Any]:
        """What was set, for timm's constructor."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class SwinSizes(TransformerSizes):
    """Sizes of a Swin Transformer.

    Attributes:
        embed_dim: channels of the first stage; each further stage has twice as many.
        depths: blocks of the four stages.
        num_heads: heads of the four stages.
        window_size: tokens along one side of a window.
    """

    embed_dim: int | None = None
    depths: Stages | None = None
    num_heads: Stages | None = None
    window_size: int | None = None


@dataclass(frozen=True)
class ViTSizes(TransformerSizes):
    """Sizes of a Vision Transformer.

    Attributes:
        embed_dim: channels of a token.
        depth: blocks.
        num_heads: heads of every block.
        patch_size: pixels along one side of a patch: 8, 16 or 32.
    """

    embed_dim: int | None = None
    depth: int | None = None
    num_heads: int | None = None
    patch_size: int | None = None


def require_whole_heads(what: str, widths: Sequence[int], heads: Sequence[int]) -> None:
    """Check that every stage's width is a multiple of its number of heads.

    Raises:
        UserError: it is not.
    """
    for width, count in zip(widths, heads, strict=True):
        if width % count:
            numbers = (list(heads), list(widths)) if len(heads) > 1 else (count, width)
            raise UserError(
                f"{what}: num_heads {shown(numbers[0])} must divide the width{'s' * (len(heads) > 1)} "
                f"{shown(numbers[1])}, but {count} does not divide {width}: choose other num_heads or another embed_dim"
            )
