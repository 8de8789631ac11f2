"""Forward pass of gated branches: all in step, or the program that frozen gates leave."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from frugalmtl.channels import ChannelPlan, FrozenProgram, Graph, Mask
from frugalmtl.encoders.interrogate.gates import merge, pick


def run_branches(
    graph: Graph,
    branches: Sequence[nn.Module],
    image: Tensor,
    choices: Sequence[Tensor],
    mixes: Sequence[Tensor],
    projections: Mapping[int, nn.Module],
) -> list[Tensor]:
    """Image ``[B, 3, H, W]`` -> by level the tasks' features; at levels that only heads read, all branches'.

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
    tasks = len(branches) - 1
    return [tensor for index in graph.outputs for tensor in (values[index][:tasks] if users[index] else values[index])]


def level_features(
    graph: Graph,
    tensors: Sequence[Tensor],
    choices: Sequence[Tensor],
    program: FrozenProgram | None,
) -> list[list[Tensor]]:
    """The tensors of the cut -> by level the features of every task.

    Args:
        graph: of one branch.
        tensors: what :func:`run_branches` or the program returned.
        choices: per site G ``[T, C]``.
        program: None if the branches ran in step.
    """
    users, rest = graph.users(), list(tensors)
    levels: list[list[Tensor]] = []
    for number, index in enumerate(graph.outputs):
        node = graph.nodes[index]
        if program is not None and program.levels[number] is not None:
            levels.append(program.concatenate(number, rest, node.axis))
            continue
        features = [rest.pop(0) for _ in choices[0]]
        if not users[index] and node.site is not None:
            features = pick(choices[node.site], node.axis, rest.pop(0), features)
        levels.append(features)
    return levels


class ProgramOfGates:
    """The program that the present gates leave, built anew only when they change.

    Attributes:
        current: None if the branches must run in step.
    """

    def __init__(self) -> None:
        self.current: FrozenProgram | None = None
        self.masks: list[Mask] = []

    def clear(self) -> None:
        """Forget the program: the branches run in step until the next update."""
        self.current, self.masks = None, []

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
        if self.masks and all((old == new).all() for old, new in zip(self.masks, private, strict=True)):
            return
        self.masks = private
        planned = plan(private)
        # Balancers compare the tasks' gradients where these meet; the branches in step let them meet at every end.
        self.current = FrozenProgram(planned, branches, projections) if planned.branches_meet() else None
