"""Random policies, an encoder that runs them as a tree, and the separate masked passes that a tree must equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor, nn

from frugalmtl.backbones import Backbone
from frugalmtl.backbones.views import residual_of
from frugalmtl.core.types import Features, Pyramid
from frugalmtl.encoders import Encoder
from frugalmtl.encoders._policy_tree import GatedChain, PolicyTree, plan_tree, run_tree

Policy = tuple[bool, ...]


def draw_policies(blocks: int, tasks: int, seed: int) -> dict[str, Policy]:
    """Policies that agree on a random beginning, some of them altogether; densities from none to all."""
    generator = np.random.default_rng(seed)
    rows: list[Policy] = []
    for _ in range(tasks):
        row = tuple(bool(run) for run in generator.random(blocks) < generator.choice([0.0, 0.3, 0.6, 0.9, 1.0]))
        common = int(generator.integers(0, blocks + 1)) if rows else 0
        rows.append((*rows[int(generator.integers(len(rows)))][:common], *row[common:]) if rows else row)
    return {f"task{number}": row for number, row in enumerate(rows)}


def masked_pass(network: Backbone, policy: Sequence[bool], image: Tensor) -> Pyramid:
    """All blocks in turn, skipped ones by their shortcut; every block decomposed, nothing shared."""
    decisions, state, states = list(policy), image, {}
    for info in network.blocks:
        block = network.get_submodule(info.name)
        view = residual_of(block)
        if view is None:
            state = block(state)
        else:
            shortcut = view.shortcut(state)
            state = view.after(shortcut + view.branch(state)) if decisions.pop(0) else shortcut
        states[info.stage] = state
    return network.pyramid(states)


class TreeEncoder(Encoder):
    """One backbone with fixed policies."""

    def __init__(self, backbone: Backbone, policies: Mapping[str, Sequence[bool]]) -> None:
        super().__init__()
        self.task_names = tuple(policies)
        self.channels, self.strides = list(backbone.channels), list(backbone.strides)
        self.network = deepcopy(backbone)
        self.policies = dict(policies)
        self.chain = GatedChain.of(self.network)

    def encode(self, image: Tensor, tasks: object = None) -> list[Tensor]:
        pyramids = run_tree(plan_tree(self.chain, self.policies), self.network, image)
        return [level for pyramid in pyramids.values() for level in pyramid]

    def branch(self, shared: list[Tensor], tasks: object = None) -> Features:
        count = len(self.channels)
        return Features({task: shared[at * count : (at + 1) * count] for at, task in enumerate(self.task_names)})

    def deploy(self) -> nn.Module:
        return PolicyTree(plan_tree(self.chain, self.policies, self.read_levels), self.network)


def norms_of(module: nn.Module) -> list[nn.Module]:
    """Batch normalisations."""
    return [part for part in module.modules() if isinstance(part, torch.nn.modules.batchnorm._BatchNorm)]
