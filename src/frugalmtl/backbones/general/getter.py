"""timm's feature getter as one block of a chain, and the pyramid of its features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from frugalmtl.backbones.base import State, state_of
from frugalmtl.backbones.families import Chain
from frugalmtl.backbones.families._patches import PatchResize, power_of_two
from frugalmtl.backbones.families.vision_transformer import SimplePyramid
from frugalmtl.core.checks import UserError, known

FINEST = 4
"""Stride from which on features are levels of the pyramid."""
_LEVELS = 4


class Intermediates(nn.Module):
    """A timm model whose ``forward_intermediates`` gives the features; a block that is a whole network.

    Args:
        network: timm's model; what the features do not need is taken out of it.
        indices: of the features in the model's ``feature_info``.
        norm: put the model's final norm behind each feature.
    """

    def __init__(self, network: nn.Module, indices: Sequence[int], *, norm: bool = False) -> None:
        super().__init__()
        model: Any = network
        if hasattr(model, "prune_intermediate_layers"):
            model.prune_intermediate_layers(list(indices), prune_norm=not norm, prune_head=True)
        self.network = model
        self.indices = list(indices)
        self.norm = norm

    def forward(self, image: Tensor) -> State:
        """Image ``[B, 3, H, W]`` -> features ``[B, C_i, H/s_i, W/s_i]``."""
        return state_of(features_of(self.network, image, self.indices, norm=self.norm))


class SharedGrids(nn.Module):
    """One grid for levels whose strides round to one power of two: later levels are resized to the first (CrossViT).

    Args:
        strides: of the levels.
    """

    def __init__(self, strides: Sequence[int]) -> None:
        super().__init__()
        self.first = [list(strides).index(stride) for stride in strides]

    def forward(self, *levels: Tensor) -> list[Tensor]:
        """Levels ``[B, C_l, h_l, w_l]`` -> the same, those of one stride at one size."""
        sizes = [levels[first].shape[-2:] for first in self.first]
        return [
            level if level.shape[-2:] == size else F.interpolate(level, size, mode="bilinear", align_corners=False)
            for level, size in zip(levels, sizes, strict=True)
        ]


class GridPyramid(SimplePyramid):
    """:class:`~frugalmtl.backbones.families.vision_transformer.SimplePyramid` of a grid ``[B, C, h, w]``.

    Args:
        channels: C.
        stride: of the grid.
    """

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(nn.Identity(), channels, stride)

    def forward(self, grid: Tensor) -> list[Tensor]:
        """``[B, C, H/p, W/p]`` -> levels ``[B, C_l, H/s_l, W/s_l]``."""
        return super().forward(grid.permute(0, 2, 3, 1))


def features_of(network: nn.Module, image: Tensor, indices: Sequence[int], *, norm: bool = False) -> list[Tensor]:
    """timm's features of these indices, ``[B, C_i, H/s_i, W/s_i]``."""
    model: Any = network
    features: list[Tensor] = model.forward_intermediates(
        image, indices=list(indices), norm=norm, stop_early=True, output_fmt="NCHW", intermediates_only=True
    )
    return list(features)


def strides_of(network: nn.Module) -> list[int]:
    """The strides of all features, as the model declares them."""
    model: Any = network
    return [int(fact["reduction"]) for fact in model.feature_info]


def getter_chain(network: nn.Module, options: Mapping[str, Any], size: tuple[int, int]) -> Chain:
    """A model as one stage of one block.

    Of a hierarchical model the block gives the last feature of every stride from 4 on. A plain transformer, whose
    features have one stride, has the pyramids of :class:`~frugalmtl.backbones.timm.Timm`: levels made of the last
    feature behind the final norm (``"simple"``), or the features after each quarter of its blocks (``"stages"``). Where
    its patches are no power of two wide, the image is resized first.

    Args:
        network: timm's model in eval mode.
        options: may hold ``pyramid``.
        size: of an image that the model takes.

    Raises:
        UserError: a pyramid that the model does not have.
    """
    strides = strides_of(network)
    if len(strides) == 1 or len(set(strides)) > 1:
        if "pyramid" in options:
            raise UserError(f"pyramid needs a plain transformer, but this model has strides {strides}: leave it out")
        last = {stride: index for index, stride in enumerate(strides) if stride >= FINEST} or {
            strides[-1]: len(strides) - 1
        }
        indices = sorted(last.values())
        chain = Chain([[Intermediates(network, indices)]], [(0, level) for level in range(len(indices))])
        chain.strides = [power_of_two(strides[index]) for index in indices]
        chain.neck = SharedGrids(chain.strides) if len(set(chain.strides)) < len(chain.strides) else None
        return chain
    pyramid = known("pyramid", options.get("pyramid", "simple"), ("simple", "stages"))
    patch, stride = strides[0], power_of_two(strides[0])
    first: list[nn.Module] = [PatchResize((patch, patch), stride)] if patch != stride else []
    if pyramid == "stages":
        count = min(_LEVELS, len(strides))
        indices = [round(len(strides) * (index + 1) / count) - 1 for index in range(count)]
        return Chain([[*first, Intermediates(network, indices)]], [(0, level) for level in range(count)])
    norm = _has_norm(network, size, len(strides) - 1)
    block = Intermediates(network, [len(strides) - 1], norm=norm)
    channels = _width(block, size)
    return Chain([[*first, block]], [(0, 0)], neck=GridPyramid(channels, stride))


@torch.no_grad()
def _has_norm(network: nn.Module, size: tuple[int, int], index: int) -> bool:
    """Whether the model can put its final norm behind a feature; timm says so by an assertion."""
    try:
        features_of(network, _image(network, size), [index], norm=True)
    except AssertionError:
        return False
    return True


@torch.no_grad()
def _width(block: nn.Module, size: tuple[int, int]) -> int:
    features: Tensor = block(_image(block, size))
    return features.shape[1]


def _image(network: nn.Module, size: tuple[int, int]) -> Tensor:
    return torch.zeros(1, 3, *size, device=next(network.parameters()).device)
