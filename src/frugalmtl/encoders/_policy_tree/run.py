"""Execution of a prefix tree: one function for training and for the deployed module."""

from __future__ import annotations

from torch import Tensor, nn

from frugalmtl.backbones import Backbone, State
from frugalmtl.backbones.views import residual_of
from frugalmtl.core.types import Pyramid
from frugalmtl.encoders._policy_tree.plan import TreePlan


def run_tree(plan: TreePlan, network: Backbone, image: Tensor) -> dict[str, Pyramid]:
    """Image ``[B, 3, H, W]`` -> ``{task: pyramid}``.

    Tasks with one history hold the same tensors. Gradients flow into the network's own parameters; in training mode a
    batch normalisation sees what the tasks that run it have, once per history. The image stands in for levels that a
    task does not read.

    Args:
        plan: of the policies.
        network: the backbone that the plan's chain is of; blocks that no task runs may be missing.
        image: normalised image.
    """
    states: dict[int, State] = {0: image}
    for step in plan.steps:
        block, source = network.get_submodule(step.block), states[step.source]
        if step.skipped is None:
            states[_number(step.ran)] = block(source)
        else:
            states[step.skipped], ran = _parted(block, source, runs=step.ran is not None)
            if step.ran is not None and ran is not None:
                states[step.ran] = ran
        for number in step.last:
            del states[number]
    return _pyramids(plan, network, image, states)


def _number(state: int | None) -> int:
    if state is None:
        raise ValueError("a step that neither runs nor projects")
    return state


def _parted(block: nn.Module, state: State, *, runs: bool) -> tuple[Tensor, Tensor | None]:
    """The states of those that skip a block with a projection, and of those that run it: one projection for both."""
    if not isinstance(state, Tensor):
        raise TypeError("a block with a shortcut reads one tensor")
    if isinstance(block, Projection):
        return block(state), None
    view = residual_of(block)
    if view is None:
        raise TypeError(f"{type(block).__name__} has no shortcut")
    skipped = view.shortcut(state)
    return skipped, view.after(skipped + view.branch(state)) if runs else None


def _pyramids(plan: TreePlan, network: Backbone, image: Tensor, states: dict[int, State]) -> dict[str, Pyramid]:
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
