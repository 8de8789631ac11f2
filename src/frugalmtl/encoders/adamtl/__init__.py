"""AdaMTL: blocks and tokens of a shared transformer that run or not, image by image (Neseem et al., 2023)."""

from frugalmtl.encoders.adamtl.member import adamtl

__all__ = ["adamtl"]
