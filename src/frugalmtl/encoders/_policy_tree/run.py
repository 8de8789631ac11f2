"""Execution of a prefix tree: one function for training and for the deployed module."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from frugalmtl.backbones import Backbone
from frugalmtl.backbones.views import residual_of
from frugalmtl.core.types import Pyramid
from frugalmtl.encoders._policy_tree.plan import TreePlan, TreeStep


def run_tree(plan: TreePlan, network: Backbone, image: Tensor) -> dict[str, Pyramid]:
    """Image ``[B, 3, H, W]`` -> ``{task: pyramid}``.

    Tasks with one history hold the same tensors. Gradients flow into the network's own parameters. In training mode a
    block is called once per history, so that a batch normalisation sees each on its own, and only what the tasks that
    run it have. In eval mode its K histories are one call on ``K B`` images: up to a quarter faster at batch 1
    (figures in benchmarks/README.md). The image stands in for levels that a task does not read.

    Args:
        plan: of the policies.
        network: the backbone that the plan's chain is of; blocks that no task runs may be missing.
        image: normalised image.
    """
    states = _States(image)
    for steps in plan.calls(together=not network.training):
        _pass_block(network.get_submodule(steps[0].block), steps, states)
        for step in steps:
            for number in step.last:
                states.drop(number)
    return _pyramids(plan, network, image, states)


class _States:
    """States by number; those that one call made lie behind each other in one tensor, and are read as they lie."""

    def __init__(self, image: Tensor) -> None:
        self.batch = image.shape[0]
        self.places: dict[int, tuple[Tensor, int, int]] = {0: (image, 0, 1)}
        self.single: dict[int, Tensor] = {}

    def put(self, numbers: Sequence[int], tensor: Tensor) -> None:
        """States ``[B, ...]`` from ``[K B, ...]``, in this order."""
        for position, number in enumerate(numbers):
            self.places[number] = tensor, position, len(numbers)

    def like(self, numbers: Sequence[int], tensor: Tensor) -> _States:
        """Other tensors under the numbers of states."""
        others = _States(self.places[0][0])
        others.put(numbers, tensor)
        return others

    def drop(self, number: int) -> None:
        """Nothing reads this state any more."""
        del self.places[number]
        self.single.pop(number, None)

    def __getitem__(self, number: int) -> Tensor:
        """``[B, ...]``; the same tensor every time."""
        if number not in self.single:
            self.single[number] = self.joined([number])
        return self.single[number]

    def joined(self, numbers: Sequence[int]) -> Tensor:
        """The states behind each other, ``[K B, ...]``; copied only if they do not lie so."""
        tensor, first, count = self.places[numbers[0]]
        places = [(id(other), position) for other, position, _ in (self.places[number] for number in numbers)]
        if places != [(id(tensor), first + offset) for offset in range(len(numbers))]:
            return torch.cat([self[number] for number in numbers])
        if len(numbers) == count:
            return tensor
        return tensor[first * self.batch : (first + len(numbers)) * self.batch]


def _pass_block(block: nn.Module, steps: Sequence[TreeStep], states: _States) -> None:
    """All these steps, of one block."""
    sources = [step.source for step in steps]
    running = {step.source: step.ran for step in steps if step.ran is not None}
    skipping = {step.source: step.skipped for step in steps if step.skipped is not None}
    if not skipping or isinstance(block, Projection):
        states.put([*running.values(), *skipping.values()], block(states.joined(sources)))
        return
    view = residual_of(block)
    if view is None:
        raise TypeError(f"{type(block).__name__} has no shortcut")
    # One projection for both, those that skip the block and those that run it.
    shortcuts = states.like(sources, view.shortcut(states.joined(sources)))
    if running:
        branch = view.branch(states.joined([*running]))
        states.put([*running.values()], view.after(shortcuts.joined([*running]) + branch))
    for source, number in skipping.items():
        states.places[number] = shortcuts.places[source]


def _pyramids(plan: TreePlan, network: Backbone, image: Tensor, states: _States) -> dict[str, Pyramid]:
    """The pyramid of every task, each distinct one once."""
    pyramids: dict[tuple[tuple[int, int], ...], Pyramid] = {}
    for numbers in plan.states.values():
        key = tuple(numbers.items())
        if key not in pyramids:
            by_stage = {stage: states[numbers[stage]] if stage in numbers else image for stage in plan.pyramid_stages}
            pyramids[key] = network.pyramid(by_stage) if numbers else [image] * plan.level_count
    return {task: list(pyramids[tuple(numbers.items())]) for task, numbers in plan.states.items()}


class Projection(nn.Module):
    """What is left of a block that no task runs: the projection on its shortcut."""

    def __init__(self, projection: nn.Module) -> None:
        super().__init__()
        self.projection = projection

    def forward(self, state: Tensor) -> Tensor:
        """State before the block -> state after it."""
        projected: Tensor = self.projection(state)
        return projected


class PolicyTree(nn.Module):
    """Deployed form of tasks with policies over one backbone.

    It holds the blocks that some task runs, of others the projection if a task passes it, and nothing else.

    Args:
        plan: of the policies.
        network: the backbone; it is changed in place.
    """

    def __init__(self, plan: TreePlan, network: Backbone) -> None:
        super().__init__()
        self.plan = plan
        for info in network.blocks:
            parent, _, name = info.name.rpartition(".")
            if info.name in plan.projections:
                view = residual_of(network.get_submodule(info.name), info.name)
                if view is not None and view.projection is not None:
                    network.get_submodule(parent).add_module(name, Projection(view.projection))
            elif info.name not in plan.blocks:
                network.get_submodule(parent).add_module(name, nn.Identity())
        self.network = network

    def forward(self, image: Tensor) -> dict[str, Pyramid]:
        """Image ``[B, 3, H, W]`` -> ``{task: pyramid}``."""
        return run_tree(self.plan, self.network, image)
