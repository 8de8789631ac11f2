"""The deployed form: one static network of smaller layers for all tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, fx, nn

from frugalmtl.channels.builder import Writer
from frugalmtl.channels.plan import Plan


def static_network(
    plan: Plan,
    networks: Sequence[nn.Module],
    mixes: Sequence[Tensor],
    tasks: Sequence[str],
    read_levels: Sequence[Sequence[int]],
    projections: Mapping[int, nn.Module] | None = None,
) -> fx.GraphModule:
    """The deployed form: image ``[B, 3, H, W]`` -> ``{task: pyramid}``.

    Layers hold the filters that are computed and nothing else.

    Args:
        plan: what is needed.
        networks: of the tasks in order, then the shared one; in eval mode.
        mixes: per site ``[T, C]``, shares of the tasks in the mix.
        tasks: names of the tasks.
        read_levels: per task the levels of its pyramid that are read; the image stands in for the others.
        projections: linear layers that the shared branch hears the mix of a site through.
    """
    writer = Writer(plan, networks, projections or {})
    outputs: dict[str, list[fx.Node]] = {}
    for task, (name, levels) in enumerate(zip(tasks, read_levels, strict=True)):
        outputs[name] = []
        for level, index in enumerate(plan.graph.outputs):
            every = tuple(range(plan.graph.nodes[index].channels))
            outputs[name].append(writer.exactly(index, task, every) if level in levels else writer.image)
    program = writer.finish(outputs)
    for name, mix in program.mixes.items():
        program.root.register_buffer(name, mix.value(mixes).detach().clone())
    return program.module("StaticBranches").to(mixes[0].device)
