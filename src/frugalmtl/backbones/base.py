"""What encoders know of a backbone: an ordered chain of stages made of blocks, with channels and strides."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from frugalmtl.core.types import Pyramid

State = Tensor | list[Tensor]
"""What flows along the chain: one tensor, or one per resolution (HRNet)."""


@dataclass(frozen=True)
class BlockInfo:
    """One block of a stage.

    Attributes:
        name: dotted name of the block inside the backbone (``backbone.get_submodule(name)``).
        stage: index of its stage.
        channels: channels of the block's output, one entry per tensor of the state.
        strides: image pixels per output position along one axis, one entry per tensor of the state.
    """

    name: str
    stage: int
    channels: tuple[int, ...]
    strides: tuple[int, ...]


class Backbone(nn.Module):
    """A chain of stages: ``state = stage(state)`` from the image on, then :meth:`pyramid` over the states.

    Subclasses set the attributes below in their constructor.

    Attributes:
        stages: the chain; each stage is an ``nn.Sequential`` of blocks that maps a state to the next. The stem is the
            first block(s) of stage 0.
        blocks: facts of every block, in order of execution.
        stage_channels: channels of every tensor of the state after each stage.
        channel_axis: axis of the channels in every tensor of a state: 1 (NCHW), or -1 (Swin's NHWC, ViT's tokens).
        channels: channels of the pyramid's levels, finest first.
        strides: strides of the pyramid's levels (dilated ResNet: 4, 8, 8, 8).
        mean, std: normalisation of the image that the weights expect, RGB in [0, 1].
        size_divisor: image height and width must be multiples of it (callers pad).
    """

    stages: nn.ModuleList
    blocks: list[BlockInfo]
    stage_channels: list[tuple[int, ...]]
    channel_axis: int
    channels: list[int]
    strides: list[int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    size_divisor: int

    def pyramid(self, states: list[State], image: Tensor) -> Pyramid:
        """States after every stage -> levels ``[B, C_l, H/s_l, W/s_l]`` (NCHW). ``image`` gives the size only."""
        raise NotImplementedError

    def forward(self, image: Tensor) -> Pyramid:
        """Image ``[B, 3, H, W]`` -> pyramid."""
        states: list[State] = []
        state: State = image
        for stage in self.stages:
            state = stage(state)
            states.append(state)
        return self.pyramid(states, image)
