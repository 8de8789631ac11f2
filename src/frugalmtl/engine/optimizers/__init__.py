"""Optimisers: ``optimizer(groups, *, options)``, looked up in ``torch.optim``, or one a file in this folder."""

import torch

from frugalmtl.core.checks import UserError
from frugalmtl.core.registry import SpecLike
from frugalmtl.engine.optimizers._set import OptimizerSet
from frugalmtl.engine.optimizers._table import TableRegistry
from frugalmtl.engine.optimizers._torch import torch_optimizers

OPTIMIZERS = TableRegistry("frugalmtl.engine.optimizers", "optimizer", torch_optimizers())


def check_optimizer(what: str, section: SpecLike) -> None:
    """Refuse a section that no optimiser can be made of.

    Args:
        what: whose section it is, in messages.
        section: name and arguments.

    Raises:
        UserError: unknown optimiser or argument, or a value out of range.
    """
    try:
        OPTIMIZERS.build(section, [{"params": [torch.zeros(1, requires_grad=True)]}])
    except ValueError as error:
        named = f"{what} '" in str(error) or str(error).startswith(f"{what} ")
        raise UserError(str(error) if named else f"{what}: {error}") from None


__all__ = ["OPTIMIZERS", "OptimizerSet", "TableRegistry", "check_optimizer"]
