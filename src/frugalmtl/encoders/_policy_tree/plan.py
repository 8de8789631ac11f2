"""Plan of a prefix tree: the steps that run, each block once per distinct history."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

from frugalmtl.encoders._policy_tree.chain import ChainBlock, GatedChain, Policies, ReadLevels


@dataclass(frozen=True)
class TreeStep:
    """One block on one state, for all tasks whose history led to that state.

    Attributes:
        block: name of the block.
        source: number of the state that it reads; 0 is the image.
        ran: number of the state of those tasks that run it; None if all skip it.
        skipped: number of the state of those that skip it, where a projection stands on the shortcut; else None.
        last: numbers of the states that nothing reads after this step.
    """

    block: str
    source: int
    ran: int | None
    skipped: int | None
    last: tuple[int, ...] = ()


@dataclass(frozen=True)
class TreePlan:
    """The steps of a tree in order, and the states that its tasks end with.

    Attributes:
        steps: in order of execution.
        states: ``{task: {stage: number of the state after it}}`` of the stages that the task reads.
        levels: ``{task: levels that it reads}``.
        pyramid_stages: stages whose states a pyramid reads.
        level_count: levels of a pyramid.
    """

    steps: tuple[TreeStep, ...]
    states: dict[str, dict[int, int]]
    levels: dict[str, tuple[int, ...]]
    pyramid_stages: tuple[int, ...]
    level_count: int

    def calls(self, *, together: bool) -> list[list[TreeStep]]:
        """The steps by call of a block: each on its own, or all histories of a block together."""
        if not together:
            return [[step] for step in self.steps]
        return [list(steps) for _, steps in groupby(self.steps, key=lambda step: step.block)]

    @property
    def blocks(self) -> set[str]:
        """Names of the blocks that some task runs."""
        return {step.block for step in self.steps if step.ran is not None}

    @property
    def projections(self) -> set[str]:
        """Names of the blocks that no task runs and some task passes through a projection."""
        return {step.block for step in self.steps} - self.blocks


@dataclass
class _Growth:
    """Steps so far; tasks of every state."""

    groups: dict[int, list[str]]
    steps: list[TreeStep] = field(default_factory=list)
    count: int = 1

    def fresh(self) -> int:
        self.count += 1
        return self.count - 1

    def grow(self, block: ChainBlock, runs: dict[str, bool]) -> None:
        """All histories pass a block."""
        groups: dict[int, list[str]] = {}
        for source, tasks in self.groups.items():
            runners = [task for task in tasks if runs[task]]
            skippers = [task for task in tasks if not runs[task]]
            ran = self.fresh() if runners else None
            skipped = self.fresh() if skippers and block.projects else None
            if ran is not None:
                groups[ran] = runners
            if skippers:
                groups[source if skipped is None else skipped] = skippers
            if ran is not None or skipped is not None:
                self.steps.append(TreeStep(block.name, source, ran, skipped))
        self.groups = groups

    def leave(self, ended: set[str]) -> None:
        """Some tasks need nothing more."""
        left = {state: [task for task in tasks if task not in ended] for state, tasks in self.groups.items()}
        self.groups = {state: tasks for state, tasks in left.items() if tasks}


def plan_tree(chain: GatedChain, policies: Policies, read_levels: ReadLevels | None = None) -> TreePlan:
    """The prefix tree of policies.

    Tasks run together as long as their decisions agree on all blocks before; a block runs once per history that asks
    for it, a projection once per history, a block that is not gated once per history. A task leaves the tree behind the
    last stage that its levels need.

    Args:
        chain: of the backbone.
        policies: of the tasks that run.
        read_levels: levels that the tasks read; None for all.

    Raises:
        UserError: a policy of another length than the chain.
    """
    decisions = chain.checked(policies)
    levels = {task: chain.read(task, read_levels) for task in decisions}
    needed = {task: chain.stages_of(levels[task]) for task in decisions}
    growth = _Growth({0: [task for task in decisions if needed[task]]})
    states: dict[str, dict[int, int]] = {task: {} for task in decisions}
    for block, number, ends in _walk(chain):
        every = {task: number is None or decisions[task][number] for task in decisions}
        growth.grow(block, every)
        if not ends:
            continue
        for state, tasks in growth.groups.items():
            for task in tasks:
                if block.stage in needed[task]:
                    states[task][block.stage] = state
        growth.leave({task for task in decisions if not needed[task] or needed[task][-1] <= block.stage})
    steps = _with_last_reads(growth.steps, {state for task in states.values() for state in task.values()})
    return TreePlan(steps, states, levels, chain.pyramid_stages, len(chain.level_stages))


def _walk(chain: GatedChain) -> Iterator[tuple[ChainBlock, int | None, bool]]:
    """Every block with its number among the gated ones, and whether it ends its stage."""
    number = 0
    following = [*(block.stage for block in chain.blocks[1:]), None]
    for block, after in zip(chain.blocks, following, strict=True):
        yield block, number if block.gated else None, after != block.stage
        number += block.gated


def _with_last_reads(steps: list[TreeStep], kept: set[int]) -> tuple[TreeStep, ...]:
    """The steps, each with the states that nothing reads after it."""
    last = {step.source: index for index, step in enumerate(steps)}
    ends: dict[int, tuple[int, ...]] = {}
    for state, index in last.items():
        if state not in kept and state != 0:  # the image stands in for levels that are not read
            ends[index] = (*ends.get(index, ()), state)
    return tuple(
        TreeStep(step.block, step.source, step.ran, step.skipped, ends.get(index, ()))
        for index, step in enumerate(steps)
    )
