"""How parameters follow their gradients: ``optimizer(groups, *, options)``, one a file (torch's own)."""

from frugalmtl.core.registry import Registry

OPTIMIZERS = Registry("frugalmtl.engine.optimizers", "optimizer")

__all__ = ["OPTIMIZERS"]
