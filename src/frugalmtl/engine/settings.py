"""Settings of a training: length, optimiser, precision, devices, logs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from frugalmtl.core.checks import UserError, positive
from frugalmtl.core.recipe import Stage
from frugalmtl.core.registry import SpecLike
from frugalmtl.core.schema.json_schema import Members
from frugalmtl.data.loading import Workers
from frugalmtl.engine.loggers import LOGGERS
from frugalmtl.engine.optimizers import OPTIMIZERS, check_optimizer
from frugalmtl.engine.schedules import SCHEDULES, Progress

if TYPE_CHECKING:
    import torch

Precision = Literal["32-true", "tf32", "bf16-mixed", "16-mixed"]
"""Numbers of a training step, in the words of Lightning Fabric; the last one with loss scaling. ``"32-true"`` is
float32 as torch has it (GPUs multiply matrices in float32 and convolve in TF32); ``"tf32"`` does both in TF32."""

Compile = bool | Literal["reduce-overhead"]
"""Whether ``torch.compile`` makes the step's kernels; the mode of its name captures them as CUDA graphs besides."""

FREE = (
    "accelerator strategy workers compile log_every checkpoint_every evaluate_every interference_every affinity_every "
    "tensorboard loggers progress"
).split()
"""Settings that may differ when a run goes on: they change where and how loudly it runs, not what comes out (beyond the
last bits, where gradients are compared)."""


LoggerSection = Annotated[dict[str, Any] | str, Members(LOGGERS)]


@dataclass(frozen=True)
class TrainSettings:
    """Settings of one training, checked when made.

    Attributes:
        epochs: passes over the training split, all stages together.
        batch_size: images per batch over all processes together.
        optimizer: section of ``engine/optimizers``: name and arguments.
        lr_factors: ``{pattern: factor}``: shell patterns over parameter names of the model (``"decoder.*"``) and what
            multiplies the learning rate of the parameters they match, in all stages. The first matching pattern wins,
            and what a stage of the method treats apart (its own parameter groups) keeps the method's rates.
        schedule: section of ``engine/schedules``; it runs over each stage anew.
        warmup_steps: optimiser steps at the start of each stage over which the rate grows linearly to its value.
        clip_norm: largest norm of the gradient of all parameters together; ``None`` does not clip.
        accumulate: batches per optimiser step; the last step of an epoch takes what is left.
        precision: ``"32-true"`` (float32 as torch has it: on GPUs convolutions may use TF32), ``"tf32"`` (products of
            matrices too; GPUs only), ``"bf16-mixed"``, or ``"16-mixed"`` (with loss scaling; GPUs only).
        compile: run the network's forward and backward passes compiled (``torch.compile``): the first step of each
            stage takes a minute or more, the later ones less time; results differ in the last bits.
            ``"reduce-overhead"`` captures them as CUDA graphs as well, for balancers that make one loss.
        accelerator: Fabric's: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"mps"``.
        devices: processes (one device each).
        strategy: Fabric's: ``"ddp"``, ``"ddp_find_unused_parameters_true"``, ...; ``"auto"`` takes the latter for
            several processes.
        workers: processes that load data, per training process; ``"auto"`` takes them from the cores that this process
            may use (:func:`~frugalmtl.data.loading.worker_count`): most of them beside a GPU, few or none on a CPU,
            where samples that lie decoded in memory get none.
        log_every: optimiser steps between two records of the log.
        checkpoint_every: optimiser steps between two checkpoints; 0 writes one after each epoch.
        interference_every: optimiser steps between two comparisons of the tasks' gradients (norms, cosines), which the
            log and the report show; 0 compares only where the balancer does so anyway. Costs little where the tasks
            meet in a shared representation, and a backward pass per task where they do not.
        affinity_every: optimiser steps between two measurements of inter-task affinity: what a step for one task does
            to the losses of the others. Each costs T + 1 forward and T backward passes; 0 never measures.
        evaluate_every: epochs between two evaluations; 0 never evaluates during training.
        keep: ``"best"`` ends with the weights of the epoch whose scores on ``evaluate_split`` were best, ``"last"``
            with the last ones. An epoch is better than the best one before it if the mean over the tasks of the
            relative change of their primary score is above 0. Epochs count from where the method decides nothing more
            about what the deployed model runs, in the last stage. Needs ``evaluate_every``.
        patience: evaluations in a row without a better epoch (see ``keep``) after which the training ends early; 0
            never ends it. The schedule is not stretched. Needs ``evaluate_every``.
        ema: decay of an exponential moving average of the weights over the steps of the last stage, such as 0.999;
            it is evaluated and kept in place of them. The first steps weigh less. ``None`` takes none.
        tensorboard: the logger ``tensorboard``, as if it stood in ``loggers``.
        loggers: sections of ``engine/loggers``: programs that get the figures of the log as well, by name (``csv``,
            ``tensorboard``, ``wandb``, ``mlflow``) or with options (``{name: wandb, project: rooms}``).
        progress: ``"auto"`` shows a bar on a terminal and nothing elsewhere, ``"plain"`` prints a line per epoch.
        deterministic: ask torch for deterministic kernels (matters on GPUs; slower).
        channels_last: keep images and weights in torch's channels-last layout, which makes convolutions faster on CPUs
            and on GPUs with tensor cores.

    Raises:
        UserError: a value out of range, or an unknown optimiser, schedule or argument.
    """

    epochs: int = 60
    batch_size: int = 8
    optimizer: Annotated[dict[str, Any], OPTIMIZERS] = field(default_factory=lambda: {"name": "adam"})
    lr_factors: dict[str, float] = field(default_factory=dict)
    schedule: Annotated[dict[str, Any], SCHEDULES] = field(default_factory=lambda: {"name": "poly"})
    warmup_steps: int = 0
    clip_norm: float | None = None
    accumulate: int = 1
    precision: Precision = "32-true"
    compile: Compile = False
    accelerator: str = "auto"
    devices: int = 1
    strategy: str = "auto"
    workers: Workers = "auto"
    log_every: int = 20
    checkpoint_every: int = 0
    evaluate_every: int = 0
    keep: Literal["last", "best"] = "last"
    patience: int = 0
    ema: float | None = None
    interference_every: int = 0
    affinity_every: int = 0
    tensorboard: bool = False
    loggers: list[LoggerSection] = field(default_factory=list)
    progress: Literal["auto", "plain", "off"] = "auto"
    deterministic: bool = False
    channels_last: bool = True

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulate", "devices", "log_every"):
            positive(name, getattr(self, name))
        counts = "warmup_steps checkpoint_every evaluate_every patience interference_every affinity_every"
        for name in counts.split():
            if getattr(self, name) < 0:
                raise UserError(f"{name} must be 0 or more, but got {getattr(self, name)!r}")
        if self.workers != "auto" and self.workers < 0:
            raise UserError(f"workers must be 'auto' or a number from 0 on, but got {self.workers!r}")
        if self.clip_norm is not None:
            positive("clip_norm", self.clip_norm)
        if self.ema is not None and not 0.0 < self.ema < 1.0:
            raise UserError(f"ema must be null or lie between 0 and 1, for example 0.999, but got {self.ema!r}")
        for pattern, factor in self.lr_factors.items():
            if not isinstance(pattern, str) or isinstance(factor, bool) or not isinstance(factor, int | float):
                raise UserError(f"lr_factors must be a mapping of patterns to numbers, but got {pattern!r}: {factor!r}")
            positive(f"the factor of {pattern!r} in lr_factors", factor)
        schedule = SCHEDULES.check(self.schedule)
        SCHEDULES.get(schedule.name)(Progress(0, 1, 0, 1), **schedule.args)
        check_optimizer("optimizer", self.optimizer)
        names = [LOGGERS.check(section).name for section in self.loggers]
        if doubled := [name for name in names if names.count(name) > 1]:
            raise UserError(f"each logger may stand once in 'loggers', but {doubled[0]!r} stands there again")

    @property
    def log_sections(self) -> list[SpecLike]:
        """The loggers of the run."""
        names = [LOGGERS.check(section).name for section in self.loggers]
        return [*self.loggers, *(["tensorboard"] if self.tensorboard and "tensorboard" not in names else [])]

    @property
    def memory_format(self) -> torch.memory_format:
        """Layout of images and four-dimensional weights."""
        import torch

        return torch.channels_last if self.channels_last else torch.contiguous_format

    @property
    def chosen_by_scores(self) -> str:
        """The setting by which scores decide what the training ends with, or when; empty without one."""
        return "keep: best" if self.keep == "best" else f"patience: {self.patience}" if self.patience else ""

    def in_stage(self, stage: Stage) -> TrainSettings:
        """The settings in one stage of a recipe, which may replace some.

        Raises:
            UserError: a value of the stage's does not fit; names the stage.
        """
        try:
            return replace(self, **stage.settings) if stage.settings else self
        except UserError as error:
            raise UserError(f"stage {stage.name!r}: {error}") from None

    def identity(self) -> dict[str, Any]:
        """The settings that must not change while a run is under way; ``lr_factors`` as texts, since order counts."""
        factors = [f"{pattern}: {float(factor)}" for pattern, factor in self.lr_factors.items()]
        facts = {key: value for key, value in asdict(self).items() if key not in FREE} | {"lr_factors": factors}
        return facts | ({"evaluate_every": self.evaluate_every} if self.chosen_by_scores else {})
