"""Heads: pyramid -> raw prediction of one task, one head a file."""

from frugalmtl.core.registry import Registry
from frugalmtl.decoders.heads.base import Head

HEADS = Registry("frugalmtl.decoders.heads", "head")

__all__ = ["HEADS", "Head"]
