"""AdaMTL's encoder: one transformer for all tasks, whose blocks and tokens run or not, image by image."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from frugalmtl.backbones import Backbone
from frugalmtl.backbones.views import require_tokens
from frugalmtl.core.budget import Budget
from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import HOLDOUT, Share, Stage
from frugalmtl.core.rng import drawn_apart
from frugalmtl.core.types import Decisions, Features, Picture
from frugalmtl.encoders._deciding import DecidingEncoder, chosen
from frugalmtl.encoders._training import StageView
from frugalmtl.encoders.adamtl.efficiency.calibration import Calibration
from frugalmtl.encoders.adamtl.efficiency.cost import ImageCost, mlp_macs_per_token, nearest_blocks, weights_per_token
from frugalmtl.encoders.adamtl.efficiency.held_out import HeldOutImages
from frugalmtl.encoders.adamtl.efficiency.steering import Steering
from frugalmtl.encoders.adamtl.efficiency.usage import KINDS
from frugalmtl.encoders.adamtl.layout import decision_names, gated_stages
from frugalmtl.encoders.adamtl.options import DecisionOptions, ExecutionOptions, LossOptions, ScheduleOptions
from frugalmtl.encoders.adamtl.parts import Rule, RuntimeParts
from frugalmtl.encoders.adamtl.pictures import SHOWN, image_pictures
from frugalmtl.encoders.adamtl.policy import Policies
from frugalmtl.encoders.adamtl.runtime import AdaMTLRuntime
from frugalmtl.encoders.adamtl.training import schedule
from frugalmtl.encoders.adamtl.training.deciders import AllOn, Drawn, Initialising, Settled
from frugalmtl.encoders.adamtl.training.forward import Decider, PlaceTables, run_gated
from frugalmtl.encoders.base import ModelContext, wanted_of


class AdaMTLEncoder(DecidingEncoder):
    """The method of :func:`~frugalmtl.encoders.adamtl.adamtl`, which describes it, for code.

    Args:
        backbone: copied once.
        tasks: names of the tasks.
        decision: what decides.
        execution: how gated blocks run.
        loss: targets and weight of the efficiency loss.
        training: its stages.
        points: operating points by name.

    Attributes:
        network: the shared backbone.
        stages: its gated blocks.
        policies: give logits.
        steering: factors of the efficiency losses.
        calibration: operating points.
        points: their names.
        weights: of a token of each block in the share of tokens.
        tables: windows of the blocks.
        statistics: of the last pass.
        cost: multiply-adds of the deployed model on each image, once planned.
        stage: name of the stage that was entered last; the last of the recipe at first.
        focus: the task whose masks count alone, of the turn that was entered last; None for all.

    Raises:
        UserError: a value out of its range, or a backbone without blocks of attention and MLP.
    """

    views = ("tokens",)
    learns_cost = True
    decisions = ("calibration.*", "policies.runs")
    focus: str | None

    def __init__(
        self,
        backbone: Backbone,
        tasks: Sequence[str],
        *,
        decision: DecisionOptions | None = None,
        execution: ExecutionOptions | None = None,
        loss: LossOptions | None = None,
        training: ScheduleOptions | None = None,
        points: Mapping[str, Budget] | None = None,
    ) -> None:
        super().__init__()
        self.decision, self.execution = decision or DecisionOptions(), execution or ExecutionOptions()
        self.loss, self.schedule = loss or LossOptions(), training or ScheduleOptions()
        self.task_names, self.points = tuple(tasks), tuple(points or ())
        self.channels, self.strides = list(backbone.channels), list(backbone.strides)
        require_tokens(backbone)
        self.stages = gated_stages(backbone)
        self.network = deepcopy(backbone)
        with drawn_apart("policies"):  # rows without them begin with the same weights
            self.policies = Policies(self.stages, tasks, self.decision, self.execution, self.loss.targets())
        self.steering = Steering(self.loss.targets(), active=self.loss.steered)
        self.calibration = Calibration(points or {}, decision_names(self.stages))
        widths = {block: stage.channels for stage in self.stages for block in stage.blocks}
        self.weights = weights_per_token(widths, mlp_macs_per_token(self.network, self.stages), self.loss.weighting)
        self.tables, self.statistics = PlaceTables(), dict[str, Tensor]()
        self.cost: ImageCost | None = None
        self.stage, self.focus = self.recipe()[-1].name, None

    # --- forward

    def encode(
        self, image: Tensor, tasks: Collection[str] | None = None, decisions: Decisions | None = None
    ) -> list[Tensor]:
        """Image ``[B, 3, H, W]`` -> the levels of the one pyramid, and what the efficiency losses read of each image.

        These are the shares of blocks and tokens that run, ``[B, 2]``; where policies learn to be on, what is off,
        ``[B]``.
        """
        self.statistics = {}
        wanted = wanted_of(self.task_names, tasks)
        if not wanted:
            return []
        decider = _decider(self, image, wanted, decisions)
        states = run_gated(self.network, self.stages, image, decider, self.execution, self.tables)
        cut = list(self.network.pyramid(states))
        if isinstance(decider, Initialising):
            cut.append(decider.off())
        elif isinstance(decider, Drawn | Settled):
            cut.append(decider.usage.shares())
            self.statistics = decider.usage.statistics()
        return cut

    def branch(self, shared: list[Tensor], tasks: Collection[str] | None = None) -> Features:
        """The tensors of the cut -> the pyramid of every wanted task, penalties, statistics."""
        wanted = wanted_of(self.task_names, tasks)
        count = len(self.channels)
        features = Features({task: list(shared[:count]) for task in wanted})
        zero = self.steering.factor.new_zeros(())
        features.penalties = dict.fromkeys((*KINDS, schedule.INITIAL), zero)
        read = shared[count:]
        if read and read[0].ndim == 1:
            features.penalties[schedule.INITIAL] = read[0].mean()
        elif read:
            if self.training:
                self.steering.observe(read[0])
            features.penalties |= dict(zip(KINDS, self.steering.penalties(read[0]).unbind(), strict=True))
            features.statistics = _told(self)
        return features

    def margins(
        self, image: Tensor, decisions: Decisions | None = None, tasks: Collection[str] | None = None
    ) -> dict[str, Tensor]:
        """How clearly blocks and tokens run, float by name of the decision: the largest logit of all wanted tasks."""
        return _settled(self, image, wanted_of(self.task_names, tasks), decisions).margins

    # --- training

    def recipe(self) -> tuple[Stage, ...]:
        """All on; policies that learn to be on; one task after the other; all tasks."""
        return schedule.recipe(
            self.schedule,
            self.loss,
            self.task_names,
            source=self.decision.policy,
            skip=self.execution.skip,
            task_aware=self.decision.task_aware,
            held_out=_held_out(self),
        )

    def streams(self) -> Mapping[str, Share]:
        """Disjoint parts of the training split: to train on, and to calibrate operating points on."""
        return schedule.streams(self.schedule, held_out=_held_out(self))

    def check_stage(self, stage: str, epochs: int) -> None:
        """Check that every task gets a turn.

        Raises:
            UserError: the stage is too short for that.
        """
        if stage == schedule.ADAPTIVE:
            schedule.check_turns(epochs, len(self.task_names), self.schedule)

    def enter_stage(self, stage: str) -> None:
        """All is on at first, then what the policies decide; no task is in focus."""
        self.stage, self.focus = stage, None

    def enter_turn(self, turn: str, cycle: int) -> None:  # noqa: ARG002 (all cycles are alike)
        """One task is in focus: its masks count alone."""
        self.focus = turn if turn in self.task_names else None

    def end_stage(self, stage: str, view: StageView) -> None:
        """Calibrate the operating points when the last stage ends."""
        if not _held_out(self) or stage != self.recipe()[-1].name:
            return
        if self.cost is None:
            raise RuntimeError("plan() comes before the end of a stage")
        decoder_macs = self.cost.decoder_macs
        images = [batch.image.cpu() for batch in view.batches(HOLDOUT)]
        if not images:
            raise UserError("no sample is held out to calibrate operating points on: raise holdout_data")
        device, tasks = next(self.network.parameters()).device, self.read_tasks()
        size = (images[0].shape[2], images[0].shape[3])

        @torch.no_grad()
        def decide(image: Tensor, rule: Rule) -> Decisions:
            return _decided(self, image.to(device), tasks, rule)

        def cost(sure: frozenset[str]) -> ImageCost:
            return self.image_cost(size, decoder_macs, sure)

        self.calibration.calibrate(HeldOutImages(images, self.policies.of(tasks), decide, cost))

    # --- cost

    def plan(self, context: ModelContext) -> None:
        """Count what can be skipped; set the goals of the operating points, and the blocks of a fixed policy.

        Raises:
            UserError: a point that cannot be reached, or images of another size than the policies were built for.
        """
        size = self.decision.image_size
        if self.decision.block_policy == "flatten" and self.policies.nets and size != tuple(context.image_size):
            raise UserError(
                f"block_policy: flatten was built for images of {list(size or ())}, but those of this run have "
                f"{list(context.image_size)}: set image_size of the encoder to that, or choose block_policy: pooled"
            )
        self.cost = self.image_cost(context.image_size, context.decoder_macs)
        tasks = len(self.read_tasks())
        self.calibration.plan(self.cost, tasks * self.cost.backbone + context.decoder_macs)
        if self.decision.policy == "static":
            runs = nearest_blocks(self.cost, float(self.calibration.goals[0]))
            self.policies.runs.copy_(torch.tensor(runs))
            self.calibration.keep(0, Rule(), self.cost.with_blocks(runs))

    def image_cost(
        self, image_size: tuple[int, int], decoder_macs: float = 0.0, sure: Collection[str] = ()
    ) -> ImageCost:
        """Multiply-adds of the deployed model on each image.

        Args:
            image_size: height and width.
            decoder_macs: of the deployed decoder.
            sure: names of decisions that are on for every image, so that no policy is computed for them.
        """
        policies, levels = self.policies.of(self.read_tasks(), sure=sure), _read_levels(self)
        return ImageCost(self.network, self.stages, policies, self.execution, image_size, decoder_macs, levels)

    # --- after training

    def deploy(self) -> nn.Module:
        """The network that computes what is on, at any batch size."""
        tasks = self.read_tasks()
        self.network.keep_levels(_read_levels(self))
        source = "always_on" if _whole(self) else self.policies.source
        parts = RuntimeParts(
            self.network,
            self.stages,
            self.policies.of(tasks, source),
            self.execution,
            tasks,
            self.calibration.rules() if source != "always_on" else {},
            self.read_levels,
        )
        return AdaMTLRuntime(parts)

    @torch.no_grad()
    def image_pictures(self, images: Tensor, decisions: Decisions | None = None) -> list[Picture]:
        """Masks of tokens over images, multiply-adds per image, and tokens that run in each block.

        Args:
            images: normalised, ``[K, 3, H, W]``.
            decisions: what runs of each; None for the encoder's own choice, and beside it that at every point.
        """
        tasks = self.read_tasks()
        rules = {SHOWN: Rule(), **self.calibration.rules()} if decisions is None else {}
        decided = {name: _decided(self, images, tasks, rule) for name, rule in rules.items()}
        cost = self.image_cost((images.shape[2], images.shape[3]))
        return image_pictures(decided if decisions is None else {SHOWN: decisions}, self.stages, cost)


def _settled(
    encoder: AdaMTLEncoder,
    image: Tensor,
    wanted: Sequence[str],
    decisions: Decisions | None = None,
    rule: Rule | None = None,
) -> Settled:
    """A pass without draws, for what it decided."""
    decider = _settler(encoder, image, wanted, decisions, rule)
    run_gated(encoder.network, encoder.stages, image, decider, encoder.execution, encoder.tables)
    return decider


def _decided(encoder: AdaMTLEncoder, image: Tensor, tasks: Sequence[str], rule: Rule) -> Decisions:
    return chosen(_settled(encoder, image, tasks, None, rule).margins)


def _settler(
    encoder: AdaMTLEncoder,
    image: Tensor,
    wanted: Sequence[str],
    decisions: Decisions | None,
    rule: Rule | None = None,
) -> Settled:
    """Decides without draws, as the deployed form does: for the tasks that are read, if there are any."""
    wanted = [task for task in wanted if task in encoder.read_tasks()] or wanted
    rule, policies = rule or Rule(), encoder.policies
    if _whole(encoder) or rule.sure:
        policies = policies.of(wanted, "always_on" if _whole(encoder) else None, rule.sure)
    groups = policies.groups(wanted)
    return Settled(policies, policies.keys(image), groups, encoder.weights, rule.threshold, decisions)


def _decider(encoder: AdaMTLEncoder, image: Tensor, wanted: Sequence[str], decisions: Decisions | None) -> Decider:
    """Decides in this pass: by mode, stage and turn."""
    if not encoder.training:
        return _settler(encoder, image, wanted, decisions)
    policies, focus = encoder.policies, encoder.focus
    groups = policies.groups(wanted if focus is None or focus not in wanted else (focus,))
    if encoder.stage == schedule.POLICY_INIT:
        return Initialising(policies, policies.keys(image), groups)
    if encoder.stage == schedule.STATIC and policies.source != "static":
        return AllOn()
    return Drawn(policies, policies.keys(image), groups, encoder.decision.union, encoder.weights)


def _whole(encoder: AdaMTLEncoder) -> bool:
    """Whether all runs in eval mode: in the stages before the policies count."""
    early = encoder.stage in (schedule.STATIC, schedule.POLICY_INIT) and encoder.policies.source != "static"
    return early and encoder.stage != encoder.recipe()[-1].name


def _read_levels(encoder: AdaMTLEncoder) -> set[int]:
    """Levels of the pyramid that some task reads."""
    read, every = encoder.read_levels or {}, range(len(encoder.channels))
    return {level for task in encoder.task_names for level in read.get(task, every)}


def _held_out(encoder: AdaMTLEncoder) -> bool:
    """Whether samples are held out to calibrate operating points on."""
    return bool(encoder.points) and encoder.decision.policy != "static"


def _told(encoder: AdaMTLEncoder) -> dict[str, Tensor]:
    """Shares of the last pass, their targets, and effective weights of the losses."""
    alpha = encoder.loss.alpha * encoder.steering.factor
    targets = {f"{kind}_target": encoder.steering.targets[number] for number, kind in enumerate(KINDS)}
    return {**encoder.statistics, **targets, **{f"alpha_{kind}": alpha[at] for at, kind in enumerate(KINDS)}}
