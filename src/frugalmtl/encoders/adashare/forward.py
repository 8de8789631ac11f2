"""Forward passes: mixtures of running and skipping behind what all tasks share, and trees of discrete policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from frugalmtl.backbones import Backbone, State
from frugalmtl.backbones.views import Residual
from frugalmtl.core.types import Pyramid
from frugalmtl.encoders._policy_tree import GatedChain, TreePlan, plan_tree, run_tree

_PLANS = 64
"""Plans that are remembered: hard draws may be new in every step."""


def mixed_pyramids(
    network: Backbone,
    residuals: Mapping[str, Residual | None],
    image: Tensor,
    chances: Mapping[str, Tensor],
    first: int,
) -> dict[str, Pyramid]:
    r"""Image ``[B, 3, H, W]`` -> ``{task: pyramid}``; a gated block is left in part:

        x <- p after(shortcut(x) + branch(x)) + (1 - p) shortcut(x)

    What lies before the first block whose choice is open is run once for all tasks, and all levels from there are the
    same tensors; behind it every task has a pass of its own.

    Args:
        network: the shared backbone.
        residuals: views of its blocks by name; None for those that always run.
        image: normalised image.
        chances: per task the draw p for every gated block, ``[L]``; the tasks that run.
        first: number of the first gated block whose choice is open; those before it run.
    """
    if not chances:
        return {}
    states: dict[str, State] = dict.fromkeys(chances, image)
    kept: dict[str, dict[int, State]] = {task: {} for task in chances}
    common, gated = True, 0
    for info in network.blocks:
        block, residual = network.get_submodule(info.name), residuals[info.name]
        equal, common = common, common and (residual is None or gated < first)
        if common:
            states = dict.fromkeys(states, block(next(iter(states.values()))))
        elif residual is None:
            states = {task: block(state) for task, state in states.items()}
        elif equal:
            skipped, run = _both_ways(residual, next(iter(states.values())))
            states = {task: _mixed(skipped, run, chances[task][gated]) for task in states}
        else:
            states = {
                task: _mixed(*_both_ways(residual, state), chances[task][gated]) for task, state in states.items()
            }
        gated += residual is not None
        for task, state in states.items():
            kept[task][info.stage] = state
    if common:
        return dict.fromkeys(kept, network.pyramid(next(iter(kept.values()))))
    return {task: network.pyramid(stages) for task, stages in kept.items()}


def _both_ways(residual: Residual, state: State) -> tuple[Tensor, Tensor]:
    """The state of those that skip the block, and of those that run it."""
    if not isinstance(state, Tensor):
        raise TypeError("a block with a shortcut reads one tensor")
    skipped = residual.shortcut(state)
    return skipped, residual.after(skipped + residual.branch(state))


def _mixed(skipped: Tensor, run: Tensor, chance: Tensor) -> Tensor:
    return torch.lerp(skipped, run, chance.to(run.dtype))


class TreePasses:
    """Passes of discrete policies as prefix trees; a plan is made once for each policy.

    Args:
        chain: blocks of the network.
    """

    def __init__(self, chain: GatedChain) -> None:
        self.chain = chain
        self._plans: dict[tuple[tuple[str, tuple[bool, ...]], ...], TreePlan] = {}

    def run(self, network: Backbone, image: Tensor, policies: Mapping[str, Sequence[bool]]) -> dict[str, Pyramid]:
        """Image ``[B, 3, H, W]`` -> ``{task: pyramid}``, with all levels.

        Args:
            network: the shared backbone.
            image: normalised image.
            policies: per task whether a gated block runs, ``[L]``; the tasks that run.
        """
        key = tuple((task, tuple(row)) for task, row in policies.items())
        if key not in self._plans:
            if len(self._plans) >= _PLANS:
                self._plans.clear()
            self._plans[key] = plan_tree(self.chain, policies)
        return run_tree(self._plans[key], network, image)


class CutLayout:
    """The places of the tasks' levels among the tensors of the cut, where each tensor stands once.

    Attributes:
        places: per task the index of every level.
    """

    def __init__(self) -> None:
        self.places: dict[str, list[int]] = {}

    def pack(self, pyramids: Mapping[str, Pyramid]) -> list[Tensor]:
        """``{task: pyramid}`` -> the tensors of the cut, and the places of the levels in it."""
        cut: list[Tensor] = []
        numbers: dict[int, int] = {}
        self.places = {}
        for task, pyramid in pyramids.items():
            self.places[task] = []
            for level in pyramid:
                if id(level) not in numbers:
                    numbers[id(level)] = len(cut)
                    cut.append(level)
                self.places[task].append(numbers[id(level)])
        return cut

    def unpack(self, cut: Sequence[Tensor], tasks: Sequence[str]) -> dict[str, Pyramid]:
        """The tensors of the cut -> ``{task: pyramid}`` of those tasks, of the pass that was packed last."""
        return {task: [cut[index] for index in self.places[task]] for task in tasks}
