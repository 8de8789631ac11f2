"""timm models of families without a file of their own: chains by their own feature information, or one block."""

from frugalmtl.backbones.general.family import General

__all__ = ["General"]
