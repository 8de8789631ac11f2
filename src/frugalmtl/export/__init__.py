"""Export formats, one a file: plain module -> file, checked for equal outputs."""

import lazy_loader

from frugalmtl.core.registry import Registry

EXPORTERS = Registry("frugalmtl.export", "export format")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["EXPORTERS"]
