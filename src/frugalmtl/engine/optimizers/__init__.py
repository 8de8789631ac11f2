"""Optimisers: ``optimizer(groups, *, options)``, looked up in ``torch.optim``, or one a file in this folder."""

from collections.abc import Callable
from typing import Any

import lazy_loader

from frugalmtl.engine.optimizers._table import TableRegistry


def _of_torch() -> dict[str, Callable[..., Any]]:
    from frugalmtl.engine.optimizers._torch import torch_optimizers

    return torch_optimizers()


OPTIMIZERS = TableRegistry("frugalmtl.engine.optimizers", "optimizer", _of_torch)

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["OPTIMIZERS", "TableRegistry"]
