"""Interface of a backbone: an ordered chain of stages made of blocks, with channels and strides."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from frugalmtl.core.types import Pyramid

State = Tensor | list[Tensor]
"""What flows along the chain: one tensor, or one per resolution (HRNet)."""


def tensors_of(state: State) -> list[Tensor]:
    """The tensors of a state, in a list of their own."""
    return list(state) if isinstance(state, list) else [state]


def state_of(tensors: list[Tensor]) -> State:
    """The state made of these tensors; inverse of :func:`tensors_of` (a state of one tensor is that tensor)."""
    return tensors if len(tensors) > 1 else tensors[0]


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

    Subclasses set ``stages``, ``pyramid_stages``, ``channel_axis``, ``mean`` and ``std`` in their constructor and then
    call :meth:`_probe`, which finds the other attributes. A state is spatial: ``[B, C, h, w]``, or ``[B, h, w, C]``
    if ``channel_axis`` is -1. Blocks and stages do not change the state that they read.

    Attributes:
        stages: the chain; each stage is an ``nn.Sequential`` of blocks that maps a state to the next. The stem is the
            first block(s) of stage 0.
        blocks: facts of every block, in order of execution.
        stage_channels: channels of every tensor of the state after each stage.
        pyramid_stages: indices of the stages whose states :meth:`pyramid` reads, ascending; the last is among them.
        channel_axis: axis of the channels in every tensor of a state: 1 (NCHW), or -1 (NHWC: Swin, ViT).
        channels: channels of the pyramid's levels, finest first.
        strides: strides of the pyramid's levels (dilated ResNet: 4, 8, 8, 8).
        mean, std: normalisation of the image that the weights expect, RGB in [0, 1].
        size_divisor: image height and width must be multiples of it (callers pad).
        image_size: the only height and width that the network takes; None if it takes all multiples of
            ``size_divisor``.
        probe_size: height and width of a small image that the network takes, for facts that depend on no size.
    """

    stages: nn.ModuleList
    blocks: list[BlockInfo]
    stage_channels: list[tuple[int, ...]]
    pyramid_stages: tuple[int, ...]
    channel_axis: int
    channels: list[int]
    strides: list[int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    size_divisor: int
    image_size: tuple[int, int] | None = None
    probe_size: tuple[int, int] = (64, 64)

    def pyramid(self, states: Mapping[int, State]) -> Pyramid:
        """``{stage: its state}`` for at least :attr:`pyramid_stages` -> levels ``[B, C_l, H/s_l, W/s_l]`` (NCHW)."""
        raise NotImplementedError

    def keep_levels(self, levels: Collection[int]) -> None:
        """Compute no level of the pyramid but these, where each is computed apart from the chain; in place.

        In the place of the others any tensor stands. Deployed encoders that choose for each image call it: nothing
        that they hold is left out by observation.
        """

    def forward(self, image: Tensor) -> Pyramid:
        """Image ``[B, 3, H, W]`` -> pyramid."""
        states: dict[int, State] = {}
        state: State = image
        for index, stage in enumerate(self.stages):
            state = stage(state)
            states[index] = state
        return self.pyramid(states)

    @torch.no_grad()
    def _probe(self, strides: list[int] | None = None) -> None:
        """Find channels and strides of all states by running a small image through.

        Args:
            strides: of the pyramid's levels, where their sizes do not say it.
        """
        training = self.training
        self.eval()
        self.blocks, self.stage_channels = [], []
        states: dict[int, State] = {}
        height = self.probe_size[0]
        state: State = torch.zeros(1, 3, *self.probe_size)
        for index, stage in enumerate(self.stages):
            for position, block in enumerate(stage.children()):
                state = block(state)
                shapes = [self._facts(tensor, height) for tensor in tensors_of(state)]
                widths, distances = zip(*shapes, strict=True)
                self.blocks.append(BlockInfo(f"stages.{index}.{position}", index, widths, distances))
            states[index] = state
            self.stage_channels.append(self.blocks[-1].channels)
        levels = self.pyramid(states)
        self.channels = [level.shape[1] for level in levels]
        self.strides = strides or [round(height / level.shape[2]) for level in levels]
        self.size_divisor = max(self.strides)
        self.train(training)

    def _facts(self, tensor: Tensor, height: int) -> tuple[int, int]:
        """Channels and stride of one tensor of a state, of an image of this height."""
        cells = tensor.shape[1] if self.channel_axis == -1 else tensor.shape[2]
        return tensor.shape[self.channel_axis], round(height / cells)
