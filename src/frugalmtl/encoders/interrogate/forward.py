"""Forward pass of gated branches: all in step, or the program that frozen gates leave."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from frugalmtl.channels import ChannelPlan, FrozenProgram, Graph, Mask
from frugalmtl.channels.frozen import meet
from frugalmtl.encoders.interrogate.gates import merge, pick


def run_branches(
    graph: Graph,
    branches: Sequence[nn.Module],
    image: Tensor,
    choices: Sequence[Tensor],
    mixes: Sequence[Tensor],
    projections: Mapping[int, nn.Module],
) -> dict[int, list[Tensor]]:
    """Image ``[B, 3, H, W]`` -> ``{index of a level's node: the features of every branch}``.

    Args:
        graph: of one branch.
        branches: of the tasks in order, then the shared one.
        image: normalised image.
        choices: per site G ``[T, C]``.
        mixes: per site ``[T, C]``, shares of the tasks in the mix.
        projections: linear layers between the mix of a site and the shared branch.
    """
    users, modules = graph.users(), [graph.modules(branch) for branch in branches]
    values: dict[int, list[Tensor]] = {0: [image] * len(branches)}
    for index, node in enumerate(graph.nodes[1:], start=1):
        inputs = list(zip(*(values[source] for source in node.inputs), strict=True))
        outputs = [node.operation.run(parts[index], *tensors) for parts, tensors in zip(modules, inputs, strict=True)]
        if node.site is not None and users[index]:
            *private, shared = outputs
            picked, mixed = merge(choices[node.site], mixes[node.site], node.axis, shared, private)
            outputs = [*picked, projections[node.site](mixed) if node.site in projections else mixed]
        values[index] = outputs
        for source in node.inputs:
            if users[source][-1] == index and source not in graph.outputs:
                del values[source]
    return {index: values[index] for index in graph.outputs}


def cut_tensors(graph: Graph, values: Mapping[int, list[Tensor]], rows: Sequence[int]) -> list[Tensor]:
    """By level the features of some tasks; at levels that no operation reads, before their gates, the shared branch's
    behind them.

    Args:
        graph: of one branch.
        values: what :func:`run_branches` returned.
        rows: numbers of the tasks.
    """
    users = graph.users()
    return [values[index][branch] for index in graph.outputs for branch in (rows if users[index] else [*rows, -1])]


def level_features(
    graph: Graph,
    tensors: Sequence[Tensor],
    choices: Sequence[Tensor],
    program: FrozenProgram | None,
    rows: Sequence[int],
) -> list[list[Tensor]]:
    """The tensors of the cut -> by level the features of some tasks.

    Args:
        graph: of one branch.
        tensors: what :func:`cut_tensors` or the program returned, the latter for all tasks.
        choices: per site G ``[T, C]``.
        program: None if the branches ran in step.
        rows: numbers of the tasks.
    """
    every = list(range(len(choices[0])))
    stored = list(rows) if program is None else every
    users, rest = graph.users(), list(tensors)
    anchor = rest.pop() if program is not None and program.anchored else None
    levels: list[list[Tensor]] = []
    for number, index in enumerate(graph.outputs):
        node = graph.nodes[index]
        if program is not None and program.levels[number] is not None:
            features = program.concatenate(number, rest, node.axis)
            features = features if anchor is None else [meet(feature, anchor) for feature in features]
        else:
            features = [rest.pop(0) for _ in stored]
            if not users[index] and node.site is not None:
                choice = (
                    choices[node.site] if stored == every else torch.stack([choices[node.site][row] for row in stored])
                )
                features = pick(choice, node.axis, rest.pop(0), features)
        levels.append(features if stored == list(rows) else [features[row] for row in rows])
    return levels


class ProgramOfGates:
    """The program that the present gates leave, built anew only when they change.

    Attributes:
        current: None if the branches must run in step.
        stale: gates may have moved since it was built.
    """

    def __init__(self) -> None:
        self.current: FrozenProgram | None = None
        self.masks: list[Mask] = []
        self.stale = True

    def clear(self) -> None:
        """Forget the program: the branches run in step until the next update."""
        self.current, self.masks, self.stale = None, [], True

    def update(
        self,
        private: list[Mask],
        plan: Callable[[list[Mask]], ChannelPlan],
        branches: Sequence[nn.Module],
        projections: Mapping[int, nn.Module],
    ) -> None:
        """Build the program of these gates, unless it is the current one.

        Args:
            private: per site ``[T, C]``.
            plan: plan of these gates, with all levels of all tasks.
            branches: see :func:`run_branches`.
            projections: see :func:`run_branches`.
        """
        self.stale = False
        if self.masks and all((old == new).all() for old, new in zip(self.masks, private, strict=True)):
            return
        self.masks = private
        self.current = FrozenProgram(plan(private), branches, projections)
