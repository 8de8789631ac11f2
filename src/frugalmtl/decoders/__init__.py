"""Decoders: heads and the interaction of tasks while decoding, one method a file."""

from frugalmtl.core.registry import Registry
from frugalmtl.decoders.base import Decoder

DECODERS = Registry("frugalmtl.decoders", "decoder", apart=("heads",))

__all__ = ["DECODERS", "Decoder"]
