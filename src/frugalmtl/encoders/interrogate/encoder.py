"""The encoder: T task branches and a shared one in step, with a gate at every site."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from frugalmtl.backbones import Backbone
from frugalmtl.channels import Mask, branch_of, graph_of
from frugalmtl.channels.cost import node_macs, projection_macs, site_macs
from frugalmtl.channels.frozen import LiveProgram
from frugalmtl.channels.plan import Plan, plan
from frugalmtl.channels.static import static_network
from frugalmtl.core.budget import Budget
from frugalmtl.core.checks import UserError, fraction, positive
from frugalmtl.core.recipe import ParameterGroup, Stage
from frugalmtl.core.types import Features, Heatmap, Pyramid
from frugalmtl.encoders.base import Encoder, ModelContext, SeparateNetworks
from frugalmtl.encoders.interrogate.assembly import (
    block_ends,
    cost_per_channel,
    identity_layer,
    places_of,
    targets_of,
    weight_per_layer,
)
from frugalmtl.encoders.interrogate.budget_control import BudgetControl
from frugalmtl.encoders.interrogate.gates import Gates, merge, times_gradient
from frugalmtl.encoders.interrogate.pictures import pictures
from frugalmtl.encoders.interrogate.sparsity import own_shares, sparsity

_PROBE = (64, 64)


class InterroGate(Encoder):
    r"""InterroGate: each task picks, channel by channel, its own features or shared ones; the rest is deleted.

    T + 1 copies of the backbone run in step. At every site (see :class:`~frugalmtl.channels.Graph`)

        phi'_t = G_t phi_t + (1 - G_t) psi               (2)   what task t goes on with; G_t in {0, 1} per channel
        psi'   = sum_t softmax_t(beta)_t phi'_t          (3)   what the shared branch goes on with

    The gates do not depend on the image, so a deployed network holds and computes only the filters whose channels
    somebody picked; if all gates are open it is T single-task networks, if all are closed one shared network.

    What drives gates to close is either the paper's sparsity loss (4), ``lambda_s / T sum_t max(0, mean_l mean_c
    sigmoid(alpha) - tau_t)``, or a **budget** for the deployed model, which the paper cannot guarantee: then a channel
    stays a task's own if it is worth its price, ``alpha > price * cost``, and the price is set before every step so
    that the cost falls from that of the single-task networks to the budget over the first ``ramp`` of the learning
    epochs and stays there. At the beginning of the last epochs (``frozen_share``) the gates are settled: widths are
    rounded to multiples of ``multiple``, the exact cost is brought to the budget, and the network adapts with the gates
    as they are.

    Training starts with the single-task networks (``pretrain_share``, or ``init_from`` a single-task run and 0), from
    which the task branches go on; the shared branch starts from the backbone's weights. Gates and mixing weights are
    trained by SGD without momentum, weight decay or schedule.

    Source: Ehteshami Bejnordi et al., "InterroGate: Learning to Share, Specialize, and Prune Representations for
    Multi-task Learning" (2024), section 3, algorithm 1, appendices A and C. Choices of ours, where the paper is silent:
    the first alpha, a small positive constant (the first network equals the single-task ones); beta zero; the mean over
    channels in (4); the gradient of beta by the gates' optimiser; sites after residual additions and not before, also
    in transformers; depthwise convolutions follow the gate behind them; squeeze-and-excitation and normalisation over
    channels run whole in every branch that goes on. Budgets, widths and whole heads are not in the paper.

    The cut holds the features of all levels; at levels that nothing but the heads read, before their gates, so that
    :meth:`branch` picks.

    Args:
        backbone: copied T + 1 times.
        tasks: names of the tasks.
        lambda_s: weight of the sparsity loss; None for 0.05, or 0 if there is a budget.
        penalty: ``"hinge"`` as in (4), or ``"l1"``, the same without targets.
        weighting: ``"layers"`` takes the mean over the channels of every layer, then over layers, as in (4);
            ``"macs"`` weighs every channel with the multiply-adds that it costs.
        tau: share that a task may keep for itself without penalty: for all tasks, or by task; of the hinge only.
        budget: of the deployed model per image: ``"0.6x"`` the multiply-adds of the single-task networks, multiply-adds
            (``"1.2G"``), or milliseconds on this machine's processor (``"35ms"``); a bare number is a share; None keeps
            none.
        ramp: share of the learning epochs over which the budget is approached.
        multiple: kept channels of every layer are rounded to multiples of this, since odd widths are slow; a layer
            whose width is no multiple is kept whole or not at all.
        attention: transformers: gates per channel of queries, keys and values (the paper), or ``"heads"``: one gate per
            head for all three, so that attention itself gets cheaper.
        projection: transformers: the shared branch hears the mix at the end of a block through a linear projection,
            which starts as the identity (the paper's appendix C; costs C^2 operations per position and block).
        initial: first alpha.
        gate_lr: learning rate of the gates.
        gate_every: gates learn at every so many steps, with as many times the gradient; in between, only what they
            leave is computed, as in the epochs with settled gates. More than 1 makes training cheaper (the paper's is
            1); rewriting what runs takes up to a few seconds for deep networks, so take 10 or more. Under explicit
            ``strategy: ddp`` this and ``frozen_share`` need ``ddp_find_unused_parameters_true``.
        pretrain_share: share of the epochs in which the single-task networks train alone.
        frozen_share: share of the remaining epochs, at their end, in which gates do not move.

    Raises:
        UserError: a value out of its range, or a backbone with operations whose effect on channels is not known.
    """

    gates: Gates
    learns_cost = True

    def __init__(
        self,
        backbone: Backbone,
        tasks: Sequence[str],
        *,
        lambda_s: float | None = None,
        penalty: Literal["hinge", "l1"] = "hinge",
        weighting: Literal["layers", "macs"] = "layers",
        tau: float | dict[str, float] = 0.0,
        budget: str | float | None = None,
        ramp: float = 0.5,
        multiple: int = 1,
        attention: Literal["channels", "heads"] = "channels",
        projection: bool = False,
        initial: float = 0.01,
        gate_lr: float = 0.1,
        gate_every: int = 1,
        pretrain_share: float = 0.5,
        frozen_share: float = 0.0,
    ) -> None:
        super().__init__()
        self.task_names = tuple(tasks)
        self.budget = f"{budget:g}x" if isinstance(budget, int | float) else budget
        asked = Budget.parse(self.budget) if self.budget is not None else None
        self._check(pretrain_share, frozen_share, ramp, multiple)
        self.target_latency_ms = asked.value if asked is not None and asked.kind == "ms" else None
        self.lambda_s = (0.0 if asked else 0.05) if lambda_s is None else lambda_s
        if self.lambda_s < 0:
            raise UserError(f"lambda_s must be 0 or more, but got {lambda_s!r}")
        self.penalty, self.gate_lr = penalty, positive("gate_lr", gate_lr)
        self.gate_every = int(positive("gate_every", gate_every))
        self.tau = targets_of(tau, self.task_names)
        self.pretrain_share, self.frozen_share, self.ramp = pretrain_share, frozen_share, ramp
        self.channels, self.strides = list(backbone.channels), list(backbone.strides)
        self.graph = graph_of(backbone)
        self.users = self.graph.users()
        places, blocks = places_of(self.graph, attention == "heads", multiple)
        self.networks = nn.ModuleDict({task: branch_of(backbone, self.graph) for task in self.task_names})
        self.shared = branch_of(backbone, self.graph)
        self.gates = Gates(len(self.task_names), places, positive("initial", initial))
        ends = block_ends(self.graph, backbone) if projection else []
        if projection and not ends:
            raise UserError("projection needs transformer blocks: leave it out, or choose another backbone")
        self.projections = nn.ModuleDict(
            {str(site): identity_layer(self.graph.nodes[self.graph.sites[site]].channels) for site in ends}
        )
        macs = places.macs(site_macs(self.graph, node_macs(self.graph, backbone, _PROBE)))
        self.gates.cost.copy_(macs / macs.mean())
        by_channel = cost_per_channel(self.gates) if weighting == "macs" else weight_per_layer(places)
        self.register_buffer("weighting", by_channel / by_channel.sum(), persistent=False)
        self.register_buffer("goal", torch.zeros(()))
        self.budget_control = BudgetControl(self.gates, asked, blocks) if asked or multiple > 1 else None
        self.node_macs: list[float] = []
        self.decoder_macs = 0.0
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.joined, self.frozen, self.learning = True, False, True
        self.live: LiveProgram | None = None
        self.written: list[Mask] = []  # the gates that the live program was written for
        self.register_load_state_dict_post_hook(_restart_after_loading)  # type: ignore[no-untyped-call]
        self.learning_share = 1.0

    weighting: Tensor
    goal: Tensor
    steps: Tensor

    @property
    def target_macs(self) -> float | None:
        """Multiply-adds that the deployed model is to have; None without a budget."""
        return float(self.goal) or None

    def _check(self, pretrain_share: float, frozen_share: float, ramp: float, multiple: int) -> None:
        if fraction("pretrain_share", pretrain_share) == 1.0:
            raise UserError("pretrain_share must be below 1: some epochs must train the gates; or choose single_task")
        if fraction("frozen_share", frozen_share) == 1.0:
            raise UserError("frozen_share must be below 1: some epochs must train the gates")
        fraction("ramp", ramp)
        positive("multiple", multiple)
        if (self.budget is not None or multiple > 1) and frozen_share == 0.0:
            raise UserError(
                "a budget, or widths that are multiples, needs epochs with settled gates: give frozen_share, e.g. 0.25"
            )

    # --- forward

    def encode(self, image: Tensor) -> list[Tensor]:
        """Image ``[B, 3, H, W]`` -> by level the tasks' features; at levels that only heads read, all branches'."""
        if not self.joined:
            return [level for network in self.networks.values() for level in network(image)]
        if self.live is not None and not self.learning:
            return self.live(image, self.gates.mixes(), training=self.training)
        choices, mixes = self._gates()
        branches = self._branches()
        modules = [self.graph.modules(branch) for branch in branches]
        values: dict[int, list[Tensor]] = {0: [image] * len(branches)}
        for index, node in enumerate(self.graph.nodes[1:], start=1):
            inputs = list(zip(*(values[source] for source in node.inputs), strict=True))
            made = [node.operation.run(own[index], *given) for own, given in zip(modules, inputs, strict=True)]
            if node.site is not None and self.users[index]:
                *own, shared = made
                picked, mixed = merge(choices[node.site], mixes[node.site], node.axis, shared, own, heard=True)
                made = [*picked, self._heard(node.site, mixed)]
            values[index] = made
            for source in node.inputs:
                if self.users[source][-1] == index and source not in self.graph.outputs:
                    del values[source]
        tasks = len(self.task_names)
        return [
            tensor
            for index in self.graph.outputs
            for tensor in (values[index][:tasks] if self.users[index] else values[index])
        ]

    def branch(self, shared: list[Tensor]) -> Features:
        """The tensors of the cut -> pyramids, penalty and statistics."""
        tasks, tensors = len(self.task_names), list(shared)
        if not self.joined:
            return Features({task: [tensors.pop(0) for _ in self.channels] for task in self.task_names})
        choices, mixes = self._gates()
        pyramids: dict[str, Pyramid] = {task: [] for task in self.task_names}
        for number, index in enumerate(self.graph.outputs):
            node = self.graph.nodes[index]
            if self.live is not None and not self.learning and self.live.ends[number] is not None:
                levels = self.live.join(number, tensors, node.axis)
            else:
                levels = [tensors.pop(0) for _ in range(tasks)]
                if not self.users[index] and node.site is not None:
                    shared_level = tensors.pop(0)
                    levels, _ = merge(
                        choices[node.site], mixes[node.site], node.axis, shared_level, levels, heard=False
                    )
            for pyramid, level in zip(pyramids.values(), levels, strict=True):
                pyramid.append(level)
        return Features(pyramids, {"sparsity": self._sparsity()}, self._statistics())

    def _gates(self) -> tuple[list[Tensor], list[Tensor]]:
        return self.gates.choices(self.gate_every if self.training and self.learning else 0), self.gates.mixes()

    def _heard(self, site: int, mixed: Tensor | None) -> Tensor:
        if mixed is None:
            raise ValueError("the mix was not asked for")
        if str(site) in self.projections:
            projected: Tensor = self.projections[str(site)](mixed)
            return projected
        return mixed

    def _sparsity(self) -> Tensor:
        soft = self.gates.soft() if self.learning else self.gates.soft().detach()
        targets = self.tau if self.penalty == "hinge" else None
        return times_gradient(sparsity(soft, self.weighting, targets), self.gate_every)

    def _statistics(self) -> dict[str, Tensor]:
        scores = self.gates.scores().detach()[:, self.gates.columns]
        return own_shares(scores, self.weighting, self.task_names) | {"price": self.gates.price.detach().clone()}

    # --- recipe

    def recipe(self) -> tuple[Stage, ...]:
        """Single-task networks, then all together; gates with SGD of their own."""
        sgd = {"name": "sgd", "lr": self.gate_lr, "momentum": 0.0, "weight_decay": 0.0}
        joint = Stage(
            "joint",
            1.0 - self.pretrain_share,
            groups=(ParameterGroup("encoder.gates.*", optimizer=sgd, weight_decay=0.0, scheduled=False),),
            penalties={"sparsity": self.lambda_s} if self.lambda_s > 0 else {},
        )
        if self.pretrain_share == 0.0:
            return (joint,)
        alone = ("encoder.gates.*", "encoder.shared.*", "encoder.projections.*")
        return Stage("single_task", self.pretrain_share, frozen=alone), joint

    def enter_stage(self, stage: str) -> None:
        """Single-task networks know nothing of each other."""
        self.joined, self.frozen = stage != "single_task", False
        self._restart()

    def check_stage(self, stage: str, epochs: int) -> None:
        """Gates must have an epoch to learn in before they are settled.

        Raises:
            UserError: they have none.
        """
        if stage == "joint" and self.frozen_share > 0 and self._first_settled(epochs) < 1:
            raise UserError(
                f"the stage 'joint' has {epochs} epochs, and frozen_share {self.frozen_share} leaves none for gates to "
                "learn: train longer, or lower pretrain_share or frozen_share"
            )

    def _first_settled(self, epochs: int) -> int:
        """The first of the last epochs of the joint stage."""
        return epochs - max(1, round(self.frozen_share * epochs))

    def enter_epoch(self, epoch: int, epochs: int) -> None:
        """Settle the gates at the first of the last epochs."""
        if not self.joined or self.frozen_share == 0.0:
            return
        first = self._first_settled(epochs)
        self.frozen, self.learning_share = epoch >= first, first / epochs
        self._restart()
        if epoch == first and self.budget_control is not None:
            self.budget_control.settle(self.macs_of, float(self.goal))

    def _restart(self) -> None:
        """All branches in step, until the next step says otherwise."""
        self.learning, self.live, self.written = not self.frozen, None, []

    def enter_step(self, share: float) -> None:
        """Set the price so that the cost is where it should be by now; with settled gates, see what is left to run."""
        if not self.joined:
            return
        self.learning = not self.frozen and int(self.steps) % self.gate_every == 0
        self.steps += 1
        if not self.learning:
            self._write()
        elif self.budget_control is not None:
            learned = share / self.learning_share
            way = min(1.0, learned / self.ramp) if self.ramp > 0 else 1.0
            self.budget_control.steer(self.macs_of, float(self.goal), way)

    def _write(self) -> None:
        """Write down what the gates leave, unless it is written already."""
        if self.frozen and self.written:
            return
        own = self.gates.own()
        if self.written and all((old == new).all() for old, new in zip(self.written, own, strict=True)):
            return
        self.written = own
        left = self._all_levels()
        # Balancers compare the tasks' gradients where these meet; the branches in step let them meet at every end.
        self.live = LiveProgram(left, self._branches(), self._projections()) if left.tasks_meet() else None

    def plan(self, context: ModelContext) -> None:
        """Learn what the rest of the model costs, and whether the budget can be kept.

        Raises:
            UserError: the budget is below one shared network, or above T single-task networks.
        """
        self.node_macs = node_macs(self.graph, self.shared, context.image_size)
        self.decoder_macs = context.decoder_macs
        if self.budget_control is None:
            return
        macs = self.gates.places.macs(site_macs(self.graph, self.node_macs))
        self.goal.fill_(self.budget_control.plan(self.macs_of, macs, context.latency))

    def macs_of(self, own: Sequence[Mask] | None = None) -> float:
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
        return self.plan_of(own).macs(self.node_macs, projections) + self.decoder_macs

    # --- after training

    def deploy(self) -> nn.Module:
        """A static network of smaller layers; while the branches train alone, single-task networks."""
        if not self.joined:
            return SeparateNetworks(self.networks)
        return static_network(
            self.plan_of(), self._branches(), self.gates.mixes(), self.task_names, self.levels(), self._projections()
        )

    def levels(self) -> list[tuple[int, ...]]:
        """Per task the levels of its pyramid that are read."""
        told = self.read_levels or {}
        return [tuple(told.get(task, range(len(self.channels)))) for task in self.task_names]

    def plan_of(self, own: Sequence[Mask] | None = None) -> Plan:
        """What a network deployed now computes, or with other gates (per site ``[T, C]``)."""
        return plan(self.graph, self.gates.own() if own is None else own, self.levels(), self._projections())

    def _all_levels(self) -> Plan:
        """What is needed where heads may read every level, as auxiliary ones do in training."""
        every = [tuple(range(len(self.channels))) for _ in self.task_names]
        return plan(self.graph, self.gates.own(), every, self._projections())

    def _branches(self) -> list[nn.Module]:
        return [*self.networks.values(), self.shared]

    def _projections(self) -> dict[int, nn.Module]:
        return {int(site): module for site, module in self.projections.items()}

    def pictures(self) -> list[Heatmap]:
        """Own channels per layer and task, and what the shared branch hears of each (the paper's figures 3 and 4)."""
        return pictures(self.graph, self.gates, self.task_names) if self.joined else []


def _restart_after_loading(encoder: nn.Module, _keys: object) -> None:
    """What was written for other gates is void."""
    if isinstance(encoder, InterroGate):
        encoder._restart()
