"""Check of an optimiser's section."""

from __future__ import annotations

from frugalmtl.core.checks import UserError
from frugalmtl.core.registry import SpecLike
from frugalmtl.engine.optimizers import OPTIMIZERS


def check_optimizer(what: str, section: SpecLike) -> None:
    """Refuse a section that no optimiser can be made of.

    Args:
        what: whose section it is, in messages.
        section: name and arguments.

    Raises:
        UserError: unknown optimiser or argument, or a value out of range.
    """
    import torch  # here, so that settings are imported, and their help is printed, without it

    try:
        OPTIMIZERS.build(section, [{"params": [torch.zeros(1, requires_grad=True)]}])
    except ValueError as error:
        named = f"{what} '" in str(error) or str(error).startswith(f"{what} ")
        raise UserError(str(error) if named else f"{what}: {error}") from None
