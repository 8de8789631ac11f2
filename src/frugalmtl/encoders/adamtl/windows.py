"""Masks of tokens and of the windows that they lie in."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def over_windows(tokens: Tensor, places: Tensor, padding: float = 0.0) -> Tensor:
    """``[..., h, w]`` -> the values of every window's tokens ``[..., windows, area]``.

    Args:
        tokens: a value per token.
        places: ``[windows, area]``, see :meth:`~frugalmtl.backbones.views.TokenHalves.places`.
        padding: the value of places that are padding.
    """
    return functional.pad(tokens.flatten(-2), (0, 1), value=padding)[..., places]


def active_windows(mask: Tensor, places: Tensor) -> Tensor:
    """Mask of tokens, bool ``[..., h, w]`` -> windows of which any token is on, bool ``[..., windows]``."""
    return over_windows(mask.float(), places).amax(-1) > 0


def window_mean(tokens: Tensor, places: Tensor) -> Tensor:
    """``[..., h, w]`` -> mean over the tokens of every window, ``[..., windows]``; padding does not count."""
    count = (places < tokens.shape[-1] * tokens.shape[-2]).sum(-1)
    return over_windows(tokens, places).sum(-1) / count.clamp(min=1)


def spread(windows: Tensor, places: Tensor, size: tuple[int, int]) -> Tensor:
    """``[..., windows]`` -> the value of its window for every token, ``[..., h, w]``.

    Args:
        windows: a value per window.
        places: ``[windows, area]``; every token lies in one window.
        size: h and w.
    """
    return windows[..., window_of_token(places, size)].reshape(*windows.shape[:-1], *size)


def window_of_token(places: Tensor, size: tuple[int, int]) -> Tensor:
    """Number of the window that each token lies in, ``[h * w]``."""
    numbers = torch.arange(len(places), device=places.device)[:, None].expand_as(places)
    owner = torch.zeros(size[0] * size[1] + 1, dtype=torch.int64, device=places.device)
    return owner.scatter(0, places.flatten(), numbers.flatten())[:-1]
