"""Encoders: sharing between tasks while the image is encoded, one method a file."""

import lazy_loader

from frugalmtl.core.registry import Registry

ENCODERS = Registry("frugalmtl.encoders", "encoder")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["ENCODERS"]
