"""Draws of masks: Gumbel-sigmoid, hard with the gradient of the soft one, and their union over tasks."""

from __future__ import annotations

import torch
from torch import Tensor

from frugalmtl.encoders.adamtl.options import Union

TAU = 5.0
"""Temperature of the soft draws, constant in training. It shapes gradients alone: a hard draw does not depend on it."""

_SMALLEST = 1e-6


def noisy(logits: Tensor) -> Tensor:
    """Logits with the difference of two Gumbel draws, in float32: logistic noise.

    Above 0 with probability ``sigmoid(logit)``. The noise comes from torch's global generator.
    """
    chance = torch.rand(logits.shape, device=logits.device, dtype=torch.float32)
    return logits.float() + chance.clamp(_SMALLEST, 1 - _SMALLEST).logit()


def soft(noisy_logits: Tensor) -> Tensor:
    """``sigmoid(z / tau)``."""
    return (noisy_logits / TAU).sigmoid()


def straight_through(hard: Tensor, surrogate: Tensor) -> Tensor:
    """The values of ``hard`` with the gradient of ``surrogate``."""
    return hard.to(surrogate.dtype) + (surrogate - surrogate.detach())


def union_mask(noisy_logits: Tensor, form: Union) -> Tensor:
    r"""Masks of tasks -> 1 where any is on, with the gradient of one of three forms of the union.

    With z the noisy logits, ``m_t = [z_t > 0]`` and ``s_t = sigmoid(z_t / tau)``:

    - ``"clamp"``: ``min(sum_t m_t, 1)`` with straight-through ``m_t`` (the published code, which clamps after each
      task). Where two or more tasks select, the clamp has no gradient: nothing is switched off that two tasks want.
    - ``"probability"``: ``1 - prod_t (1 - s_t)``: the chance that independent draws select, so that its gradient is the
      one of the expected mask. Every task gets its share of it: ``ds_t prod_{u != t} (1 - s_u)``.
    - ``"max"``: ``max_t s_t``: the whole gradient goes to the task that selects most clearly, which is the margin of
      the union that decides when nothing is drawn; the others learn only once it gave way.

    Args:
        noisy_logits: ``[G, ...]``.
        form: see above.

    Returns:
        ``[...]`` of zeros and ones.
    """
    on, surrogate = noisy_logits > 0, soft(noisy_logits)
    if form == "clamp":
        selecting = straight_through(on, surrogate).sum(0)
        return torch.where(selecting > 1.0, 1.0, selecting)  # at 1 the gradient passes
    either = surrogate.max(0).values if form == "max" else 1.0 - (1.0 - surrogate).prod(0)
    return straight_through(on.any(0), either)
