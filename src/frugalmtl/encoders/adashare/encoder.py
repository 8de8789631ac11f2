"""AdaShare's encoder: one backbone, a policy per task over its residual blocks, run as a tree."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from frugalmtl.backbones import Backbone
from frugalmtl.backbones.views import require_residual, residual_blocks
from frugalmtl.core.recipe import Share, Stage
from frugalmtl.core.types import Features, Heatmap, Pyramid
from frugalmtl.encoders._policy_tree import GatedChain, PolicyTree, plan_tree
from frugalmtl.encoders._training import StageView
from frugalmtl.encoders.adashare import schedule
from frugalmtl.encoders.adashare.budget import Goal, Mask, Odds
from frugalmtl.encoders.adashare.choice import PolicyChoice
from frugalmtl.encoders.adashare.cost import ModelCost, macs_of_choices
from frugalmtl.encoders.adashare.forward import CutLayout, TreePasses, mixed_pyramids
from frugalmtl.encoders.adashare.options import WEIGHTS, PenaltyOptions, PolicyOptions, SearchOptions
from frugalmtl.encoders.adashare.penalties import sharing_penalty, sparsity_penalty
from frugalmtl.encoders.adashare.pictures import pictures
from frugalmtl.encoders.adashare.policy import SURE, History, Policy, temperature
from frugalmtl.encoders.adashare.structure import read_structure, written_structure
from frugalmtl.encoders.base import Encoder, ModelContext, wanted_of


class AdaShare(Encoder):
    """The method of :func:`~frugalmtl.encoders.adashare.adashare`, which describes it, for code.

    Args:
        backbone: copied once.
        tasks: names of the tasks.
        policy: where the policy comes from, and its budget.
        penalties: of the search.
        search: how policies are searched.

    Attributes:
        network: the shared backbone.
        residuals: views of its blocks by name; None for those that always run.
        gated: names of the blocks that have a choice, in order of execution.
        passes: of discrete policies.
        policy: logits of the tasks.
        history: run probabilities over the search.
        choice: the policy that was decided on.
        stage: name of the stage that was entered last; the last of the recipe at first.
        turn: name of the turn that was entered last in it; empty if none was.
        layout: places of the levels among the tensors of the cut, of the last pass.
        has_values: False of a network built on the meta device, to be counted: all its blocks run.

    Raises:
        UserError: a value out of its range, or a backbone with blocks whose shortcut is not known or without any.
    """

    views = ("residual",)
    learns_cost = True
    decisions = ("choice.*",)
    choices = ("policy.*",)
    branch_macs: Tensor
    always_macs: Tensor

    def __init__(
        self,
        backbone: Backbone,
        tasks: Sequence[str],
        *,
        policy: PolicyOptions | None = None,
        penalties: PenaltyOptions | None = None,
        search: SearchOptions | None = None,
    ) -> None:
        super().__init__()
        options = policy or PolicyOptions()
        self.penalties, self.search = penalties or PenaltyOptions(), search or SearchOptions()
        target = options.target()
        self.task_names, self.budget = tuple(tasks), options.budget_text()
        self.needs_structure = options.policy == "given"
        self.target_latency_ms = target.value if target is not None and target.kind == "ms" else None
        self.target_runtime = "eager" if target is None else target.runtime
        self.channels, self.strides = list(backbone.channels), list(backbone.strides)
        require_residual(backbone)
        self.network = deepcopy(backbone)
        self.residuals, chain = residual_blocks(self.network), GatedChain.of(self.network)
        self.gated, self.passes = chain.gated, TreePasses(chain)
        shape = len(self.task_names), len(self.gated)
        self.policy = Policy(self.task_names, shape[1], options.initial)
        self.history, self.choice = History(*shape), PolicyChoice(*shape, options)
        branch, always = macs_of_choices(self.network, chain, backbone.probe_size)
        self.register_buffer("branch_macs", branch, persistent=False)
        self.register_buffer("always_macs", always, persistent=False)
        self.stage, self.turn, self.layout = self.recipe()[-1].name, "", CutLayout()
        self.has_values = not branch.is_meta

    @property
    def target_macs(self) -> float | None:
        """The budget in multiply-adds per image, once planned or loaded; None without a budget."""
        return float(self.choice.goal) or None

    # --- forward

    def encode(self, image: Tensor, tasks: Collection[str] | None = None) -> list[Tensor]:
        """Image ``[B, 3, H, W]`` -> the levels of the wanted tasks' pyramids, each tensor once."""
        wanted = wanted_of(self.task_names, tasks)
        if self.stage == schedule.SEARCH and self.training:
            return self.layout.pack(_searched(self, image, wanted))
        return self.layout.pack(_run_tree(self, image, wanted, _discrete(self)))

    def branch(self, shared: list[Tensor], tasks: Collection[str] | None = None) -> Features:
        """The tensors of the cut -> pyramids, in a search also penalties and statistics."""
        by_task = self.layout.unpack(shared, wanted_of(self.task_names, tasks))
        if self.stage != schedule.SEARCH:
            return Features(by_task)
        logits, opened = self.policy.stacked(), self.choice.open_blocks
        penalties = {
            "sparsity": sparsity_penalty(logits, opened, self.penalties.sparsity),
            "sharing": sharing_penalty(logits, opened, self.penalties.sharing, self.branch_macs, self.always_macs),
        }
        means = _open_probability(self).mean(1)
        statistics = {f"run.{task}": mean for task, mean in zip(self.task_names, means, strict=True)}
        statistics |= {"tau": self.policy.tau.clone(), "open_blocks": means.new_tensor(float(opened))}
        return Features(by_task, penalties, statistics)

    # --- training

    def recipe(self) -> tuple[Stage, ...]:
        """All blocks for all tasks; weights and logits in turns; the chosen policy from the first weights."""
        if self.choice.options.policy != "learned":
            return schedule.retraining()
        return schedule.recipe(self.search, self.penalties)

    def streams(self) -> Mapping[str, Share]:
        """Disjoint parts of the training split for weights, logits and the choice of a policy; of a search alone."""
        options = self.choice.options
        return schedule.streams(self.search, scored=options.scores) if options.policy == "learned" else {}

    def check_stage(self, stage: str, epochs: int) -> None:
        """Check that the choice of every block is open before the search ends.

        Raises:
            UserError: it is not.
        """
        if stage == schedule.SEARCH:
            schedule.check_curriculum(epochs, len(self.gated), self.search)

    def enter_stage(self, stage: str) -> None:
        """All blocks run in the warm-up, as drawn in the search, as decided afterwards."""
        self.stage, self.turn = stage, ""

    def enter_turn(self, turn: str, cycle: int) -> None:
        """Temperature and open blocks of this cycle; what was decided on before the search is void."""
        self.turn = turn
        self.choice.reopen(schedule.open_blocks(cycle, len(self.gated), self.search.curriculum_speed))
        self.policy.tau.fill_(temperature(cycle))
        if turn == WEIGHTS:
            self.history.record(cycle, _open_probability(self))

    def end_stage(self, stage: str, view: StageView) -> None:
        """Decide on a policy at the end of the search."""
        if stage == schedule.SEARCH:
            self.choice.select(_log_odds(self), view)

    def structure(self) -> dict[str, Any] | None:
        """Policy, run probabilities and names of the blocks; None before a policy was decided on."""
        mask = self.choice.mask()
        if mask is None:
            return None
        return written_structure(mask, _probability(self), self.task_names, self.gated)

    def restructure(self, structure: Mapping[str, Any]) -> None:
        """Take a policy and the run probabilities behind it.

        Raises:
            UserError: it is of other tasks or another backbone.
        """
        policy, probability = read_structure(structure, self.task_names, self.gated)
        self.policy.set_probability(torch.from_numpy(probability))
        self.choice.decide(policy)

    # --- cost

    def plan(self, context: ModelContext) -> None:
        """Set the multiply-adds to aim at, and decide on a policy that no search finds.

        Raises:
            UserError: the budget cannot be kept.
        """
        cost = ModelCost(
            self.network,
            self.passes.chain,
            self.task_names,
            context.image_size,
            read_levels=self.read_levels,
            decoder_macs=context.decoder_macs,
        )
        shape = len(self.task_names), len(self.gated)
        goal = Goal(self.choice.options.target(), cost, cost.single_task, shape)
        self.choice.plan(goal, _log_odds(self), context.latency)

    # --- after training

    def deploy(self) -> nn.Module:
        """A prefix tree of the blocks that some task runs."""
        policies = _rows(self, _discrete(self), self.read_tasks())
        plan = plan_tree(self.passes.chain, policies, self.read_levels)
        return PolicyTree(plan, self.network)

    def pictures(self) -> list[Heatmap]:
        """The policy, its probabilities over the search, and the correlation of the tasks."""
        return pictures(_discrete(self), _probability(self), self.history, self.task_names, self.gated)


def _searched(encoder: AdaShare, image: Tensor, wanted: Sequence[str]) -> dict[str, Pyramid]:
    """``{task: pyramid}`` of one draw; a hard one runs as a tree where no logit learns from it."""
    draws = encoder.policy.sample(hard=encoder.search.hard)
    first = len(encoder.gated) - encoder.choice.open_blocks
    if encoder.search.hard and encoder.turn == WEIGHTS:
        mask = (draws.detach() > 0.5).cpu().numpy()
        mask[:, :first] = True
        return _run_tree(encoder, image, wanted, mask)
    chances = {task: draws[encoder.task_names.index(task)] for task in wanted}
    return mixed_pyramids(encoder.network, encoder.residuals, image, chances, first)


def _run_tree(encoder: AdaShare, image: Tensor, wanted: Sequence[str], mask: Mask) -> dict[str, Pyramid]:
    return encoder.passes.run(encoder.network, image, _rows(encoder, mask, wanted))


def _rows(encoder: AdaShare, mask: Mask, wanted: Sequence[str]) -> dict[str, list[bool]]:
    return {task: row for task, row in zip(encoder.task_names, mask.tolist(), strict=True) if task in wanted}


def _discrete(encoder: AdaShare) -> Mask:
    """Whether a block runs where nothing is drawn, ``[T, L]``."""
    shape = len(encoder.task_names), len(encoder.gated)
    mask = encoder.choice.mask()
    if encoder.stage == schedule.WARMUP or (mask is None and not encoder.has_values):
        return np.ones(shape, dtype=bool)
    return _log_odds(encoder) >= 0 if mask is None else mask


@torch.no_grad()
def _open_probability(encoder: AdaShare) -> Tensor:
    """``P(run)``, ``[T, L]``; 1 for blocks whose choice is not open."""
    probability = encoder.policy.run_probability().detach().clone()
    probability[:, : len(encoder.gated) - encoder.choice.open_blocks] = 1.0
    return probability


def _probability(encoder: AdaShare) -> Odds:
    values: Odds = _open_probability(encoder).double().cpu().numpy()
    return values


@torch.no_grad()
def _log_odds(encoder: AdaShare) -> Odds:
    """``log P(run) - log P(skip)``, ``[T, L]``; infinite for blocks whose choice is not open."""
    odds: Odds = encoder.policy.log_odds().double().cpu().numpy()
    odds[:, : len(encoder.gated) - encoder.choice.open_blocks] = SURE
    return odds
