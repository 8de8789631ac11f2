"""Agreement of a chain with the features that timm itself gives, and the image sizes of a timm model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from frugalmtl.backbones.families import Chain
from frugalmtl.backbones.general.getter import FINEST, features_of, strides_of

Size = tuple[int, int]

_BORDER = 4
"""Positions along one axis."""


@torch.no_grad()
def agrees(network: nn.Module, chain: Chain, size: Size) -> bool:
    """Whether the states of a chain are, bit for bit, the features that timm gives.

    Args:
        network: timm's model in eval mode, whose modules are those of the chain.
        chain: one level per stage.
        size: of an image that the model takes.
    """
    indices = [index for index, stride in enumerate(strides_of(network)) if stride >= FINEST]
    with _without_zeros(network):
        image = _noise(network, size)
        features = features_of(network, image, indices)
        state: Any = image.clone()
        states: list[Any] = []
        try:
            for blocks in chain.stages:
                for block in blocks:
                    state = block(state)
                states.append(state.clone())
        except Exception:  # what runs where it does not belong may raise anything
            return False
    moved = [value.permute(0, 3, 1, 2) if chain.channel_axis == -1 else value for value in states if value.ndim == 4]
    return len(moved) == len(features) and all(map(torch.equal, moved, features))


@torch.no_grad()
def takes(network: nn.Module, size: Size) -> bool:
    """Whether a timm model gives features of images of this size, each that is a level at its stride.

    Some positions may be missing at the border, where layers have no padding; as many along both axes.
    """
    strides = {index: stride for index, stride in enumerate(strides_of(network)) if stride >= FINEST}
    try:
        features = features_of(network, _noise(network, size), list(strides))
    except Exception:  # timm's models refuse a size by whatever operation it does not fit
        return False
    for feature, stride in zip(features, strides.values(), strict=True):
        missing = [cells - length / stride for cells, length in zip(feature.shape[-2:], size, strict=True)]
        if min(missing) < -_BORDER or max(missing) > 1 or abs(missing[0] - missing[1]) > 1 or not feature.numel():
            return False
    return True


def _noise(network: nn.Module, size: Size) -> Tensor:
    noise = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0), device="cpu")
    return noise.to(next(network.parameters()).device)


@contextmanager
def _without_zeros(network: nn.Module) -> Iterator[None]:
    """Parameters that begin at zero are no zeros: a branch that is left out would not show behind a scale of zero."""
    zeros = [parameter for parameter in network.parameters() if not parameter.any()]
    generator = torch.Generator().manual_seed(1)
    for parameter in zeros:
        parameter.copy_(torch.randn(parameter.shape, generator=generator, device="cpu"))
    try:
        yield
    finally:
        for parameter in zeros:
            parameter.zero_()
