"""Channels of a backbone: graph of operations, plans for masks, and the smaller networks that masks leave."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
