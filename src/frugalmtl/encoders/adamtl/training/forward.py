"""Passes through a backbone whose gated blocks run under masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from frugalmtl.backbones import Backbone, State
from frugalmtl.backbones.views import TokenHalves
from frugalmtl.encoders.adamtl.layout import GatedStage, token_halves
from frugalmtl.encoders.adamtl.options import ExecutionOptions
from frugalmtl.encoders.adamtl.windows import over_windows, spread


class Decider(Protocol):
    """Decides in the course of a pass what runs."""

    def blocks(self, stage: GatedStage, state: Tensor) -> Tensor | None:
        """State in front of a stage's gated blocks ``[B, h, w, C]`` -> masks ``[B, n]``; None if all run whole."""

    def tokens(self, stage: GatedStage, position: int, state: Tensor, places: Tensor) -> Tensor | None:
        """State in front of a gated block -> masks of its tokens ``[B, h, w]``; None if all run whole."""


class PlaceTables:
    """Windows of the blocks, kept on the device by size of the grid."""

    def __init__(self) -> None:
        self._tables: dict[tuple[str, tuple[int, int], torch.device], Tensor] = {}

    def __call__(self, block: str, view: TokenHalves, state: Tensor) -> Tensor:
        """``[windows, area]``, see :meth:`~frugalmtl.backbones.views.TokenHalves.places`."""
        size = (state.shape[1], state.shape[2])
        key = (block, size, state.device)
        if key not in self._tables:
            with torch.inference_mode(False):  # it serves passes with gradients too
                self._tables[key] = view.places(*size).to(state.device)
        return self._tables[key]


def run_gated(
    network: Backbone,
    stages: Sequence[GatedStage],
    image: Tensor,
    decider: Decider,
    execution: ExecutionOptions,
    tables: PlaceTables,
) -> dict[int, State]:
    """Image ``[B, 3, H, W]`` -> the state after each stage."""
    places_of = {block: (stage, number) for stage in stages for number, block in enumerate(stage.blocks)}
    states: dict[int, State] = {}
    state: State = image
    runs: Tensor | None = None
    for info in network.blocks:
        if info.name not in places_of:
            state = network.get_submodule(info.name)(state)
        elif isinstance(state, Tensor):
            stage, position = places_of[info.name]
            if position == 0:
                runs = decider.blocks(stage, state)
            view = token_halves(network, info.name)
            places = tables(info.name, view, state)
            mask = decider.tokens(stage, position, state, places)
            if runs is None or mask is None:
                state = network.get_submodule(info.name)(state)
            else:
                state = gated_block(view, state, runs[:, position], mask, places, execution)
        states[info.stage] = state
    return states


def gated_block(
    view: TokenHalves, state: Tensor, runs: Tensor, mask: Tensor, places: Tensor, execution: ExecutionOptions
) -> Tensor:
    r"""A block under masks b of the block and m of its tokens, for training: all of it is computed.

        u = x + g attention(x),   y = u + (m mlp(u) + (1 - m) r),   x <- b y + (1 - b) x

    with ``r = 0``, or the normalisation of u if ``dropped`` is ``"norm"`` (as in the published code). With attention by
    windows, g is 1 for the tokens of a window of which any is on; with dense attention for all.

    Args:
        view: of the block.
        state: x, ``[B, h, w, C]``.
        runs: b, ``[B]`` of zeros and ones.
        mask: m, ``[B, h, w]`` of zeros and ones.
        places: windows of the block.
        execution: how blocks run.
    """
    added = view.drop(view.attention(state), 0)
    if execution.attention == "windows":
        gate = spread(over_windows(mask, places).amax(-1), places, (state.shape[1], state.shape[2]))
        added = gate[..., None].to(added.dtype) * added
    attended = state + added
    on = mask[..., None].to(attended.dtype)
    update = on * view.mlp(attended)
    if execution.dropped == "norm":
        update = update + (1 - on) * view.normalised(attended)
    after = attended + view.drop(update, 1)
    share = runs[:, None, None, None].to(after.dtype)
    return share * after + (1 - share) * state
