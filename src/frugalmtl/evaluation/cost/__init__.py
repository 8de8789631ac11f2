"""Measured cost of a module: operations that run, bytes that are stored and held, time on this machine.

Nothing here is computed from a model's description; everything is counted or measured while the module runs.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
