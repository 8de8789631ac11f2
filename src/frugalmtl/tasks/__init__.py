"""Tasks: channels, label rules, activation, loss, metrics, drawing. The only package that names tasks."""

import lazy_loader

from frugalmtl.core.registry import Registry

TASKS = Registry("frugalmtl.tasks", "task")

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["TASKS"]
