"""Static network: one plain module of smaller layers for all branches of a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, fx, nn

from frugalmtl.channels.builder import ProgramBuilder
from frugalmtl.channels.plan import ChannelPlan


def static_network(
    plan: ChannelPlan,
    networks: Sequence[nn.Module],
    mixes: Sequence[Tensor],
    names: Sequence[str],
    read_levels: Sequence[Sequence[int]],
    projections: Mapping[int, nn.Module] | None = None,
) -> fx.GraphModule:
    """A plain module, image ``[B, 3, H, W]`` -> ``{name: pyramid}``, whose layers hold the computed filters alone.

    Args:
        plan: what is needed.
        networks: the private branches in order, then the shared one; in eval mode.
        mixes: per site ``[T, C]``, shares of the private branches in the mix.
        names: of the private branches.
        read_levels: per private branch the levels of its pyramid that are read; the image stands in for the others. A
            branch without a level is not returned.
        projections: linear layers between the mix of a site and the shared branch.
    """
    builder = ProgramBuilder(plan, networks, projections or {})
    outputs: dict[str, list[fx.Node]] = {}
    for branch, (name, levels) in enumerate(zip(names, read_levels, strict=True)):
        if not levels:
            continue
        outputs[name] = []
        for level, index in enumerate(plan.graph.outputs):
            every = tuple(range(plan.graph.nodes[index].channels))
            outputs[name].append(builder.in_order(index, branch, every) if level in levels else builder.draft.image)
    program = builder.draft.finish(outputs)
    for name, mix in program.mixes.items():
        program.root.register_buffer(name, mix.value(mixes).detach().clone())
    return program.module("StaticBranches").to(mixes[0].device)
