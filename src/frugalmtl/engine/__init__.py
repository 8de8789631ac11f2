"""Training by a recipe: stages, steps, checkpoints, exact resuming. Knows contracts, no method's or task's name."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
