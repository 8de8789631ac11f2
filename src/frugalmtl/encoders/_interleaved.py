"""Networks in step: one per task, with units between their stages in which the tasks' features meet."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from copy import deepcopy
from itertools import islice
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from frugalmtl.backbones import Backbone, State, state_of, tensors_of
from frugalmtl.core.checks import UserError, fraction, positive
from frugalmtl.core.recipe import ParameterGroup, Stage
from frugalmtl.core.types import Features, Pyramid
from frugalmtl.encoders.base import Encoder, SeparateNetworks, wanted_of


class Unit(Protocol):
    """States of all tasks -> states of some tasks. An :class:`nn.Module`."""

    def __call__(self, states: list[State], rows: Sequence[int] | None = None) -> list[State]:
        """A state per task -> a state per wanted task.

        Args:
            states: one per task.
            rows: the tasks whose new states are wanted; None for all.
        """

    def of_rows(self, rows: Sequence[int]) -> nn.Module:
        """The unit that makes the states of some tasks only, for inference."""

    def mean(self) -> Tensor:
        """How much of each task's features (columns) goes into those of each task (rows), ``[T, T]``, detached."""


class InterleavedNetworks(Encoder):
    """One network per task; after each stage a unit makes every task's features of all tasks'.

    The networks are first trained alone (the units are bypassed), then together with the units, whose learning rate is
    ``lr_factor`` times higher.

    The cut holds the wanted tasks' features of every earlier stage that heads read directly, and what goes into the
    last unit: its inputs are read by every task, so :meth:`branch` applies that unit.

    While the units are bypassed, only the wanted tasks' networks run. Else every task's features are made of all
    networks', so these run up to the last unit whatever is wanted (of which only the wanted tasks' rows are computed).

    Args:
        backbone: copied once per task.
        tasks: names of the tasks.
        unit: makes the unit of a place from the channels of its state.
        after_stem: put a unit behind the first block too, which is the stem.
        lr_factor: learning rate of the units over that of the networks.
        pretrain_share: share of the epochs in which the networks train alone.

    Raises:
        UserError: a value out of its range.
    """

    def __init__(
        self,
        backbone: Backbone,
        tasks: Sequence[str],
        unit: Callable[[Sequence[int]], nn.Module],
        *,
        after_stem: bool,
        lr_factor: float,
        pretrain_share: float,
    ) -> None:
        super().__init__()
        if fraction("pretrain_share", pretrain_share) == 1.0:
            raise UserError("pretrain_share must be below 1: some epochs must train the units; or choose single_task")
        self.lr_factor, self.pretrain_share = positive("lr_factor", lr_factor), pretrain_share
        self.task_names = tuple(tasks)
        self.channels, self.strides = list(backbone.channels), list(backbone.strides)
        self.networks = nn.ModuleDict({task: deepcopy(backbone) for task in self.task_names})
        stem = [backbone.blocks[0].channels] if after_stem and len(cast(nn.Sequential, backbone.stages[0])) > 1 else []
        widths = [*stem, *backbone.stage_channels]
        self.units = nn.ModuleList(unit(channels) for channels in widths)
        self.sizes = [len(channels) for channels in widths]
        self.places = UnitPlaces(bool(stem), backbone.pyramid_stages)
        self.stitched = True

    def encode(self, image: Tensor, tasks: Collection[str] | None = None) -> list[Tensor]:
        """Image ``[B, 3, H, W]`` -> by stage that the pyramid reads, by wanted task: the tensors of the state; before
        the last unit, those of all tasks."""
        wanted = wanted_of(self.task_names, tasks)
        running = self._running(wanted)
        networks, last = [self.networks[task] for task in running], len(self.units) - 1
        states: list[State] = [image for _ in running]
        cut: list[Tensor] = []
        for place, unit in enumerate(self.units):
            states = self.places.advance(networks, place, states)
            if self.stitched and place < last and states:
                states = unit(states)
            if place in self.places.read:
                for task, state in zip(running, states, strict=True):
                    cut += tensors_of(state) if place == last or task in wanted else []
        return cut

    def branch(self, shared: list[Tensor], tasks: Collection[str] | None = None) -> Features:
        """The tensors of the cut -> pyramids of the wanted tasks, after the last unit."""
        wanted, last = wanted_of(self.task_names, tasks), len(self.units) - 1
        kept: dict[int, list[State]] = {}
        tensors = iter(shared)
        for place in self.places.read:
            stored = self._running(wanted) if place == last else wanted
            kept[place] = [state_of(list(islice(tensors, self.sizes[place]))) for _ in stored]
        if self.stitched and wanted:
            rows = [self.task_names.index(task) for task in wanted]
            kept[last] = self.units[last](kept[last], None if len(rows) == len(self.task_names) else rows)
        features = Features(self.places.pyramids(self.networks, kept, wanted))
        if self.stitched:
            features.statistics = {f"units.{index}": unit.mean() for index, unit in enumerate(self._units())}
        return features

    def _running(self, wanted: tuple[str, ...]) -> tuple[str, ...]:
        """The tasks whose networks run."""
        return self.task_names if self.stitched and wanted else wanted

    def recipe(self) -> tuple[Stage, ...]:
        """Networks alone, then all together with the units at a higher learning rate."""
        joint = Stage("joint", 1.0 - self.pretrain_share, groups=(ParameterGroup("encoder.units.*", self.lr_factor),))
        if self.pretrain_share == 0.0:
            return (joint,)
        return Stage("single_task", self.pretrain_share, frozen=("encoder.units.*",)), joint

    def enter_stage(self, stage: str) -> None:
        """Bypass the units while the networks train alone."""
        self.stitched = stage != "single_task"

    def deploy(self) -> nn.Module:
        """The networks in step with their units; without units if these are bypassed."""
        if not self.stitched:
            return SeparateNetworks(self.networks, self.read_tasks())
        return DeployedInStep(self.networks, self._units(), self.places, self.read_tasks())

    def _units(self) -> list[Unit]:
        return [cast(Unit, unit) for unit in self.units]


def initial_weights(tasks: int, diagonal: float, beside: float | None) -> Tensor:
    """What units begin with, ``[T, T]``: row i has the weight of each task's features for task i.

    Args:
        tasks: T.
        diagonal: weight of a task's own features.
        beside: of each other task's; None for (1 - diagonal) / (T - 1), so that a row adds up to 1.

    >>> initial_weights(3, 0.8, None)
    tensor([[0.8000, 0.1000, 0.1000],
            [0.1000, 0.8000, 0.1000],
            [0.1000, 0.1000, 0.8000]])
    """
    rest = (1.0 - diagonal) / max(1, tasks - 1) if beside is None else beside
    return torch.full((tasks, tasks), rest).fill_diagonal_(diagonal)


class UnitPlaces:
    """Places of the units: behind the stem, where there is one, and behind every stage.

    Args:
        stem: whether the first place is behind the stem.
        pyramid_stages: stages whose states heads read.

    Attributes:
        read: the places behind these stages.
    """

    def __init__(self, stem: bool, pyramid_stages: Sequence[int]) -> None:
        self.offset = int(stem)
        self.read = tuple(stage + self.offset for stage in pyramid_stages)

    def advance(self, networks: Iterable[nn.Module], place: int, states: Sequence[State]) -> list[State]:
        """Run every network on its own state up to the place, from the one before."""
        parts = (self._part(cast(Backbone, network), place) for network in networks)
        return [part(state) for part, state in zip(parts, states, strict=True)]

    def _part(self, network: Backbone, place: int) -> nn.Module:
        if not self.offset or place > 1:
            return network.stages[place - self.offset]
        first = cast(nn.Sequential, network.stages[0])
        return first[0] if place == 0 else first[1:]

    def pyramids(
        self, networks: nn.ModuleDict, kept: Mapping[int, Sequence[State]], tasks: Sequence[str]
    ) -> dict[str, Pyramid]:
        """``{place: a state per task}`` -> ``{task: pyramid}``."""
        return {
            task: cast(Backbone, networks[task]).pyramid(
                {place - self.offset: states[index] for place, states in kept.items()}
            )
            for index, task in enumerate(tasks)
        }


class DeployedInStep(nn.Module):
    """Deployed form: T networks in step, with the units between their stages.

    Args:
        networks: one per task.
        units: one per place.
        places: where they are.
        tasks: those whose pyramids are returned; all networks run for them.
    """

    def __init__(
        self, networks: nn.ModuleDict, units: Sequence[Unit], places: UnitPlaces, tasks: Sequence[str]
    ) -> None:
        super().__init__()
        self.task_names = tuple(tasks)
        self.rows = [list(networks).index(task) for task in tasks]
        self.networks = networks
        self.units = nn.ModuleList([*(cast(nn.Module, unit) for unit in units[:-1]), units[-1].of_rows(self.rows)])
        self.places = places

    def forward(self, image: Tensor) -> dict[str, Pyramid]:
        """Image ``[B, 3, H, W]`` -> ``{task: pyramid}``."""
        states: list[State] = [image for _ in self.networks]
        kept: dict[int, list[State]] = {}
        for place, unit in enumerate(self.units):
            last = place == len(self.units) - 1
            states = unit(self.places.advance(self.networks.values(), place, states))
            if place in self.places.read:
                kept[place] = states if last else [states[row] for row in self.rows]
        return self.places.pyramids(self.networks, kept, self.task_names)
