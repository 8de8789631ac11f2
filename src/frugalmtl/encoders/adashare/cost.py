"""Multiply-adds of a model deployed with a policy: the tree's blocks, the necks, the heads."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from frugalmtl.backbones import Backbone, State, state_of, tensors_of
from frugalmtl.backbones.views import macs_per_block
from frugalmtl.core.counting import dtype_of, evaluating, on_meta
from frugalmtl.encoders._policy_tree import GatedChain, TreeCost
from frugalmtl.encoders.adashare.budget import Mask


class ModelCost:
    """Multiply-adds per image of the whole model, by policy ``[T, L]``.

    Args:
        network: the backbone.
        chain: its blocks.
        tasks: names of the tasks, in the order of the rows.
        image_size: height and width.
        read_levels: levels that the tasks read; None for all.
        decoder_macs: of the deployed decoder.

    Attributes:
        single_task: multiply-adds of the single-task networks with their heads.
    """

    def __init__(
        self,
        network: Backbone,
        chain: GatedChain,
        tasks: Sequence[str],
        image_size: tuple[int, int],
        *,
        read_levels: Mapping[str, Sequence[int]] | None = None,
        decoder_macs: float = 0.0,
    ) -> None:
        blocks = macs_per_block(network, image_size)
        self.tree = TreeCost(chain, blocks, tasks, read_levels)
        levels = [chain.read(task, read_levels) for task in tasks]
        self.reading = [index for index, numbers in enumerate(levels) if numbers]
        self.neck = neck_macs(network, image_size, {level for numbers in levels for level in numbers})
        self.decoder_macs = decoder_macs
        full = np.ones((1, len(chain.gated)), dtype=bool)
        alone = (TreeCost(chain, blocks, (task,), read_levels)(full) for task in tasks)
        necks = sum(neck_macs(network, image_size, numbers) for numbers in levels)
        self.single_task = sum(alone) + necks + decoder_macs

    def __call__(self, policy: Mask) -> float:
        """``[T, L]`` -> multiply-adds. Tasks with equal policies share one neck; every neck makes all levels that any
        task reads, since they are one module.
        """
        necks = len({policy[index].tobytes() for index in self.reading})
        return self.tree(policy) + self.neck * necks + self.decoder_macs


def macs_of_choices(network: Backbone, chain: GatedChain, image_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Multiply-adds of the branches, ``[L]``, and of what always runs before each choice and behind all, ``[L + 1]``.

    Args:
        network: the backbone.
        chain: its blocks.
        image_size: height and width.
    """
    macs = macs_per_block(network, image_size)
    branch: list[float] = []
    always = torch.zeros(len(chain.gated) + 1)
    for block in chain.blocks:
        parts = macs[block.name]
        always[len(branch)] += parts.shortcut if block.gated else parts.total
        if block.gated:
            branch.append(parts.branch + parts.after)
    always[-1] += neck_macs(network, image_size, range(len(network.channels)))
    return torch.tensor(branch), always


def neck_macs(network: Backbone, image_size: tuple[int, int], levels: Collection[int]) -> float:
    """Multiply-adds per image of what a backbone's pyramid does behind all blocks for some of its levels.

    Counted on the backward pass from these levels, which visits just what they depend on, and does each operation
    twice: for its input and its weight.

    Args:
        network: the backbone.
        image_size: height and width.
        levels: indices.
    """
    if not levels:
        return 0.0
    copied, states = cast(Backbone, on_meta(network)), dict[int, State]()
    with torch.no_grad(), evaluating(copied):
        state: State = torch.empty(1, 3, *image_size, dtype=dtype_of(network), device="meta")
        for index, stage in enumerate(copied.stages):
            state = states[index] = stage(state)
    leaves = {
        index: state_of([tensor.detach().requires_grad_() for tensor in tensors_of(state)])
        for index, state in states.items()
    }
    copied.requires_grad_(True)
    with torch.enable_grad(), evaluating(copied):
        pyramid = copied.pyramid(leaves)
    with FlopCounterMode(display=False) as counter:
        torch.autograd.backward([pyramid[level].sum() for level in levels])
    return float(counter.get_total_flops() // 4)
