"""InterroGate's encoder: T task branches and a shared one in step, with a gate at every site."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from frugalmtl.backbones import Backbone
from frugalmtl.channels import (
    ChannelPlan,
    Mask,
    branch_of,
    graph_of,
    node_macs,
    plan_channels,
    projection_macs,
    site_macs,
    static_network,
)
from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import Stage
from frugalmtl.core.types import Features, Heatmap
from frugalmtl.encoders.base import (
    Encoder,
    ModelContext,
    SeparateNetworks,
    SharedPyramid,
    consecutive_pyramids,
    wanted_of,
)
from frugalmtl.encoders.interrogate.assembly import channel_weighting, gate_places, projections_of
from frugalmtl.encoders.interrogate.budget.control import BudgetControl
from frugalmtl.encoders.interrogate.budget.time import (
    come_whole,
    cost_in_time,
    multiples_on,
    resolved_multiple,
    saved_time,
    table_for,
    whole_gates,
    with_multiples,
)
from frugalmtl.encoders.interrogate.forward import ProgramOfGates, cut_tensors, level_features, run_branches
from frugalmtl.encoders.interrogate.gates import Gates, times_gradient
from frugalmtl.encoders.interrogate.options import (
    GateOptions,
    GateTraining,
    SavingOptions,
    SparsityOptions,
    check_together,
)
from frugalmtl.encoders.interrogate.pictures import pictures
from frugalmtl.encoders.interrogate.schedule import SHARED, SINGLE_TASK, GateSchedule
from frugalmtl.encoders.interrogate.sparsity import penalty_scale, private_shares, sparsity


class InterroGate(Encoder):
    """The method of :func:`~frugalmtl.encoders.interrogate.interrogate`, which describes it, for code.

    Args:
        backbone: copied T + 1 times.
        tasks: names of the tasks.
        penalty: the sparsity loss.
        budget: what the deployed model may cost.
        gates: how gates are built.
        training: how gates are trained.

    Attributes:
        graph: of the backbone.
        networks: the task branches, by task.
        shared: the shared branch.
        gates: gates and mixing weights of all sites.
        projections: between the mix of a site and the shared branch, by the site's number.
        goal: multiply-adds of the deployed model to aim at; 0 without a budget.
        schedule: when gates learn.
        budget_control: None without a budget and with widths as they come.

    Raises:
        UserError: a value out of its range, or a backbone with operations whose effect on channels is not known.
    """

    gates: Gates
    views = ("channels",)
    learns_cost = True
    decisions: tuple[str, ...] = ("gates.cost", "gates.price", "goal", "multiples")
    choices = ("gates.alpha",)
    weighting: Tensor
    tau: Tensor | None
    goal: Tensor
    multiples: Tensor
    steps: Tensor

    def __init__(
        self,
        backbone: Backbone,
        tasks: Sequence[str],
        *,
        penalty: SparsityOptions | None = None,
        budget: SavingOptions | None = None,
        gates: GateOptions | None = None,
        training: GateTraining | None = None,
    ) -> None:
        super().__init__()
        self.penalty, self.saving = penalty or SparsityOptions(), budget or SavingOptions()
        self.gate_options, schedule = gates or GateOptions(), training or GateTraining()
        options = self.gate_options
        check_together(self.penalty, self.saving, options, schedule)
        target = self.saving.target()
        self.task_names, self.budget = tuple(tasks), self.saving.text()
        self.target_latency_ms = target.value if target is not None and target.kind == "ms" else None
        self.target_runtime = "eager" if target is None else target.runtime
        hinge = self.penalty.penalty == "hinge"
        tau = torch.tensor(self.penalty.private_targets(self.task_names)) if hinge else None
        self.register_buffer("tau", tau, persistent=False)
        self.channels, self.strides = list(backbone.channels), list(backbone.strides)
        self.graph = graph_of(backbone)
        multiple = 1 if self.saving.multiple == "auto" else self.saving.multiple
        places, groups = gate_places(self.graph, options, multiple)
        self.networks = nn.ModuleDict({task: branch_of(backbone, self.graph) for task in self.task_names})
        self.shared = branch_of(backbone, self.graph)
        drawn = options.gates == "random"
        weights = options.importance_weights(self.task_names)
        if options.gates != "learned":  # drawn or measured anew, whatever run the weights come from
            self.decisions = (*self.decisions, "gates.alpha")
        self.gates = Gates(len(self.task_names), places, options.initial, spread=float(drawn), weights=weights)
        self.projections = projections_of(self.graph, backbone) if options.projection else nn.ModuleDict()
        macs = places.macs(site_macs(self.graph, node_macs(self.graph, backbone, backbone.probe_size)))
        relative = macs / macs.mean()
        if not drawn:  # else the price is one threshold for all, whatever they cost
            self.gates.cost.copy_(relative)
        weighting = channel_weighting(places, relative, self.penalty.weighting, self.penalty.reduction)
        self.register_buffer("weighting", weighting, persistent=False)
        self.penalty_scale = penalty_scale(places, self.penalty.reduction)
        self.register_buffer("goal", torch.zeros(()))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        if self.saving.on_a_machine:  # kept with the weights: other machines go on with the widths of this one
            self.register_buffer("multiples", torch.ones(2, len(groups), dtype=torch.int64))
        steered = target is not None or self.saving.multiple != 1
        self.budget_control = BudgetControl(self.gates, target, groups) if steered else None
        self.node_macs: list[float] = []
        self.decoder_macs = 0.0
        self.schedule = GateSchedule(
            schedule,
            trained=options.gates in ("learned", "importance"),
            frozen_share=schedule.frozen(self.saving),
        )
        self.program = ProgramOfGates()
        self.register_load_state_dict_post_hook(_forget_program)  # type: ignore[no-untyped-call]  # as torch has it

    @property
    def target_macs(self) -> float | None:
        """Multiply-adds that the deployed model is to have; None without a budget."""
        return float(self.goal) or None

    # --- forward

    def encode(self, image: Tensor, tasks: Collection[str] | None = None) -> list[Tensor]:
        """Image ``[B, 3, H, W]`` -> by level the wanted tasks' features; where only heads read it, the shared one too.

        While the single-task networks train alone, only the wanted tasks' run. Later all branches do, whatever is
        wanted, for the shared one reads a mix of all of them, and every task may pick of it.
        """
        wanted = wanted_of(self.task_names, tasks)
        if self.schedule.stage == SINGLE_TASK:
            return [level for task in wanted for level in self.networks[task](image)]
        if not wanted:
            return []
        if self.schedule.stage == SHARED:
            return list(self.shared(image))
        program = self.program.current
        if program is not None and not self.schedule.learning:
            return program(image, self.gates.mixes(), training=self.training)
        choices = self.gates.choices(self.schedule.gradient_factor(training=self.training))
        values = run_branches(self.graph, _branches(self), image, choices, self.gates.mixes(), _projections(self))
        return cut_tensors(self.graph, values, [self.task_names.index(task) for task in wanted])

    def branch(self, shared: list[Tensor], tasks: Collection[str] | None = None) -> Features:
        """The tensors of the cut -> pyramids of the wanted tasks, penalty and statistics."""
        wanted = wanted_of(self.task_names, tasks)
        if self.schedule.stage == SHARED:
            return Features({task: list(shared) for task in wanted})
        if self.schedule.stage == SINGLE_TASK:
            return Features(consecutive_pyramids(shared, wanted, len(self.channels)))
        learning = self.schedule.learning
        choices = self.gates.choices(self.schedule.gradient_factor(training=self.training))
        program = None if learning else self.program.current
        rows = [self.task_names.index(task) for task in wanted]
        levels = level_features(self.graph, shared, choices, program, rows) if wanted else []
        soft = self.gates.soft() if learning else self.gates.soft().detach()
        penalty = sparsity(soft, self.weighting, self.tau, self.penalty_scale)
        penalty = times_gradient(penalty, self.schedule.options.gate_every)
        scores = self.gates.scores().detach()[:, self.gates.columns]
        statistics = private_shares(scores, self.weighting, self.task_names)
        return Features(
            {task: [level[number] for level in levels] for number, task in enumerate(wanted)},
            {"sparsity": penalty},
            statistics | {"price": self.gates.price.detach().clone()},
        )

    # --- training

    def recipe(self) -> tuple[Stage, ...]:
        """Single-task networks, then all together; gates with SGD of their own."""
        return self.schedule.recipe(self.penalty.weight(budget=self.budget is not None))

    def check_stage(self, stage: str, epochs: int) -> None:
        """Check that gates have an epoch to learn in before they are frozen.

        Raises:
            UserError: they have none.
        """
        self.schedule.check_stage(stage, epochs)

    def enter_stage(self, stage: str) -> None:
        """The branches run in step, unless some of them train alone."""
        self.schedule.enter_stage(stage)
        self.program.clear()

    def enter_epoch(self, epoch: int, epochs: int) -> None:
        """Freeze the gates at the first of the last epochs."""
        if not self.schedule.joint or self.schedule.frozen_share == 0.0:
            return
        freezes = self.schedule.enter_epoch(epoch, epochs)
        self.program.clear()
        if freezes and self.budget_control is not None:
            self.budget_control.freeze(self.macs_of, float(self.goal))

    def enter_step(self, share: float) -> None:
        """Set the price so that the cost is where it should be by now; with frozen gates, build what is left to run."""
        if not self.schedule.joint:
            return
        self.schedule.enter_step(self.steps)
        self.steps += 1
        if self.schedule.learning:
            self.program.stale = True
            if self.budget_control is not None and self.schedule.pricing:
                progress = self.schedule.progress(share, self.saving.ramp)
                self.budget_control.steer(self.macs_of, float(self.goal), progress)
        elif self.program.stale:
            self.program.update(
                self.gates.private(),
                lambda private: self.plan_of(private, all_levels=True),
                _branches(self),
                _projections(self),
            )

    # --- cost

    def plan(self, context: ModelContext) -> None:
        """Set the multiply-adds to aim at, from the cost of the rest of the model; prices and widths of the machine.

        Raises:
            UserError: the budget is below one shared network, or above T single-task networks; or times of layers are
                needed and lacking.
        """
        self.node_macs = node_macs(self.graph, self.shared, context.image_size)
        self.decoder_macs = context.decoder_macs
        if self.budget_control is not None:
            macs = self.gates.places.macs(site_macs(self.graph, self.node_macs))
            if self.saving.on_a_machine:
                _settle(self, macs, context)
            self.goal.fill_(self.budget_control.plan(self.macs_of, macs, context.latency))

    def macs_of(self, private: Sequence[Mask] | None = None) -> float:
        """Multiply-adds per image of the whole model deployed now, or with other gates (per site ``[T, C]``).

        Raises:
            UserError: :meth:`plan` has not been called.
        """
        if not self.node_macs:
            raise UserError(
                "a budget needs to know the rest of the model: "
                "call frugalmtl.deployment.plan_encoder(model, image_size)"
            )
        projections = {int(site): projection_macs(self.graph, self.node_macs, int(site)) for site in self.projections}
        return self.plan_of(private).macs(self.node_macs, projections) + self.decoder_macs

    def plan_of(self, private: Sequence[Mask] | None = None, *, all_levels: bool = False) -> ChannelPlan:
        """What a network deployed now computes.

        Args:
            private: other gates, per site ``[T, C]``.
            all_levels: heads may read every level, as auxiliary ones do in training.
        """
        levels = [tuple(range(len(self.channels)))] * len(self.task_names) if all_levels else self.levels()
        return plan_channels(
            self.graph, self.gates.private() if private is None else private, levels, _projections(self)
        )

    def levels(self) -> list[tuple[int, ...]]:
        """Per task the levels of its pyramid that are read."""
        read = self.read_levels or {}
        return [tuple(read.get(task, range(len(self.channels)))) for task in self.task_names]

    # --- after training

    def deploy(self) -> nn.Module:
        """A static network of smaller layers; while the branches train alone, single-task networks."""
        if self.schedule.stage == SHARED:
            return SharedPyramid(self.shared, self.read_tasks())
        if self.schedule.stage == SINGLE_TASK:
            return SeparateNetworks(self.networks, self.read_tasks())
        return static_network(
            self.plan_of(), _branches(self), self.gates.mixes(), self.task_names, self.levels(), _projections(self)
        )

    def pictures(self) -> list[Heatmap]:
        """Own channels per layer and task, and what the shared branch reads of each (the paper's figures 3 and 4)."""
        return pictures(self.graph, self.gates, self.task_names) if self.schedule.joint else []


def _branches(encoder: InterroGate) -> list[nn.Module]:
    """The task branches in order, then the shared one."""
    return [*encoder.networks.values(), encoder.shared]


def _projections(encoder: InterroGate) -> dict[int, nn.Module]:
    return {int(site): module for site, module in encoder.projections.items()}


def _settle(encoder: InterroGate, macs: Tensor, context: ModelContext) -> None:
    """Prices and widths of the machine that the network is for."""
    saving, graph, places = encoder.saving, encoder.graph, encoder.gates.places
    _, groups = gate_places(graph, encoder.gate_options, resolved_multiple(saving, context))
    whole = torch.zeros(places.gates, dtype=torch.bool)
    if saving.price == "time":
        times, layers = table_for(saving, graph, encoder.shared, context)
        whole = whole_gates(graph, places, times, layers)
    multiples = multiples_on(groups, whole)
    encoder.multiples.copy_(multiples)
    if saving.price == "time":
        saved = saved_time(graph, places, times, layers, come_whole(groups, multiples, places.gates))
        encoder.gates.cost.copy_(cost_in_time(saved, macs))
    _take_widths(encoder)


def _take_widths(encoder: InterroGate) -> None:
    """Let gates be rounded to the widths that were settled, here or where the weights come from."""
    control = encoder.budget_control
    if control is not None and encoder.saving.on_a_machine:
        control.groups = with_multiples(control.groups, encoder.multiples)


def _forget_program(encoder: nn.Module, _keys: object) -> None:
    """A program of other gates is void after loading; widths are those that come with the weights."""
    if isinstance(encoder, InterroGate):
        _take_widths(encoder)
        encoder.schedule.learning, encoder.schedule.step = not encoder.schedule.frozen, None
        encoder.program.clear()
