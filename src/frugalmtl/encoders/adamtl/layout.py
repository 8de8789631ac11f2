"""Gated blocks of an AdaMTL network, and names of its decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from frugalmtl.backbones import Backbone
from frugalmtl.backbones.views import TokenHalves, tokens_of


@dataclass(frozen=True)
class GatedStage:
    """The blocks of one stage that have a token view: all are decided on in front of the first.

    Attributes:
        number: of the stage in the backbone.
        blocks: their names, in order of execution.
        channels: width of their tokens.
        stride: image pixels per token along one axis.
        first: number of the first of them among the gated blocks of all stages.
    """

    number: int
    blocks: tuple[str, ...]
    channels: int
    stride: int
    first: int

    @property
    def decision(self) -> str:
        """Name of the decision on its blocks, ``[B, blocks]``."""
        return f"blocks.{self.number}"


def token_decision(block: str) -> str:
    """Name of the decision on the tokens of a block, ``[B, h, w]``."""
    return f"tokens.{block}"


def decision_names(stages: Sequence[GatedStage]) -> tuple[str, ...]:
    """Names of all decisions: on the blocks of each stage, then on the tokens of each block."""
    blocks = (block for stage in stages for block in stage.blocks)
    return (*(stage.decision for stage in stages), *map(token_decision, blocks))


def gated_stages(backbone: Backbone) -> tuple[GatedStage, ...]:
    """The stages that have blocks with a token view, in order of execution."""
    stages: list[GatedStage] = []
    for number in range(len(backbone.stages)):
        infos = [
            info
            for info in backbone.blocks
            if info.stage == number and tokens_of(backbone.get_submodule(info.name)) is not None
        ]
        if infos:
            names = tuple(info.name for info in infos)
            first = sum(len(stage.blocks) for stage in stages)
            stages.append(GatedStage(number, names, infos[0].channels[0], infos[0].strides[0], first))
    return tuple(stages)


def token_halves(network: nn.Module, block: str) -> TokenHalves:
    """The token view of a gated block."""
    view = tokens_of(network.get_submodule(block))
    if view is None:
        raise TypeError(f"{block} has no token view")
    return view
