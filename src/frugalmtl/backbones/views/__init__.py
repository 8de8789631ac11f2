"""Views of blocks: the parts of a block that a method may leave out, without a change of the block."""

from frugalmtl.backbones.views.base import Residual
from frugalmtl.backbones.views.lookup import VIEWS, residual_blocks, residual_of
from frugalmtl.backbones.views.macs import BlockMacs, macs_per_block
from frugalmtl.backbones.views.needs import require_residual, require_stages, require_tokens
from frugalmtl.backbones.views.tokens import SwinTokens, TokenHalves, tokens_of
from frugalmtl.backbones.views.windows import WindowGrid

__all__ = [
    "VIEWS",
    "BlockMacs",
    "Residual",
    "SwinTokens",
    "TokenHalves",
    "WindowGrid",
    "macs_per_block",
    "require_residual",
    "require_stages",
    "require_tokens",
    "residual_blocks",
    "residual_of",
    "tokens_of",
]
