"""Backbones: image -> a chain of stages of blocks, with channels and strides."""

import lazy_loader

from frugalmtl.core.registry import Registry

BACKBONES = Registry("frugalmtl.backbones", "backbone", apart=("families", "general", "views"))

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["BACKBONES"]
