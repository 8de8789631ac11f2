"""AdaShare: a learned choice of the blocks that each task runs in one backbone (Sun et al., 2020)."""

from frugalmtl.encoders.adashare.member import adashare

__all__ = ["adashare"]
