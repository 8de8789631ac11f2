"""Decoders: heads and the interaction of tasks while decoding, one method a file."""

import lazy_loader

from frugalmtl.core.registry import Registry

DECODERS = Registry("frugalmtl.decoders", "decoder", apart=("heads",))

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["DECODERS"]
