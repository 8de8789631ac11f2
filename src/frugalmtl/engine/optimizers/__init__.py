"""How parameters follow their gradients: ``optimizer(groups, *, options)``, one a file (torch's own)."""

import torch

from frugalmtl.core.checks import UserError
from frugalmtl.core.registry import Registry, SpecLike

OPTIMIZERS = Registry("frugalmtl.engine.optimizers", "optimizer")


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
        raise UserError(f"{what}: {error}") from None


__all__ = ["OPTIMIZERS", "check_optimizer"]
