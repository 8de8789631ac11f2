"""Deployed form of AdaMTL: blocks, windows and tokens that are off are not computed, at any batch size."""

from frugalmtl.encoders.adamtl.runtime.module import AdaMTLRuntime, FixedRuntime

__all__ = ["AdaMTLRuntime", "FixedRuntime"]
