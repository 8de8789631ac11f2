"""What every optimiser takes, and the checks that all share."""

from __future__ import annotations

from typing import Any

from frugalmtl.core.checks import UserError, positive

Groups = list[dict[str, Any]]
"""Parameter groups as torch takes them: ``"params"``, and ``"weight_decay"`` where it differs."""


def check_rates(lr: float, weight_decay: float) -> None:
    """Refuse a learning rate that is not above 0 and a negative weight decay.

    Raises:
        UserError: either of them.
    """
    positive("lr", lr)
    if not weight_decay >= 0:
        raise UserError(f"weight_decay must be 0 or more, but got {weight_decay!r}")
