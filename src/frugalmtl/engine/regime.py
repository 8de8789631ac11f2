"""What of a model trains in a stage, and at which rate."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from frugalmtl.balancing import Balancer
from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import ParameterGroup, Stage
from frugalmtl.engine.optimizer_set import OptimizerSet
from frugalmtl.engine.optimizers import OPTIMIZERS, check_optimizer
from frugalmtl.engine.schedules import SCHEDULES, Progress
from frugalmtl.engine.settings import TrainSettings
from frugalmtl.model import MultiTaskModel


def freeze(model: nn.Module, stage: Stage, trainable: Mapping[str, bool]) -> None:
    """Let only those parameters take gradients that train in the stage.

    Args:
        model: the model.
        stage: its ``frozen`` patterns decide.
        trainable: which parameters may train at all, by name; a name that is missing keeps its own flag.

    Raises:
        UserError: nothing is left to train.
    """
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(trainable.get(name, parameter.requires_grad) and stage.trains(name))
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UserError(f"stage {stage.name!r} freezes every parameter of the model: nothing would train")


def set_modes(model: nn.Module, stage: Stage) -> None:
    """Training mode, except that frozen batch normalisation neither moves nor uses batch statistics."""
    model.train()
    for name, module in model.named_modules():
        if isinstance(module, _NormBase) and not stage.trains(f"{name}.weight"):
            module.eval()


def stand_in(model: MultiTaskModel, stage: Stage, epochs: int) -> None:
    """Bring a model to where the engine has it at the first step of a stage of so many epochs, to try a step there."""
    model.enter_stage(stage.name)
    freeze(model, stage, {})
    model.enter_epoch(0, epochs)
    set_modes(model, stage)
    model.enter_step(0.0)


@contextlib.contextmanager
def still_statistics(model: nn.Module) -> Iterator[None]:
    """Normalise by the batch as in training, but leave running statistics as they are."""
    layers = [module for module in model.modules() if isinstance(module, _NormBase) and module.training]
    buffers = [buffer for layer in layers for buffer in layer.buffers(recurse=False)]
    kept = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        for buffer, before in zip(buffers, kept, strict=True):
            buffer.data.copy_(before)  # past autograd, which may still hold the buffer for the backward pass


def check_groups(model: nn.Module, recipe: Sequence[Stage], settings: TrainSettings) -> None:
    """Check the optimisers that the parameter groups of a recipe ask for, and the patterns that the settings name.

    Args:
        model: its parameters' names.
        recipe: its stages.
        settings: their ``lr_factors``.

    Raises:
        UserError: unknown optimiser or argument, or a value out of range; names the stage and the group. Or a pattern
            of the settings for which the model has no parameter that an earlier one does not match.
    """
    for stage in recipe:
        for group in stage.groups:
            if group.optimizer is not None:
                check_optimizer(f"stage {stage.name!r}, parameters {group.pattern!r}", group.optimizer)
    names = [name for name, _ in model.named_parameters()]
    left = names
    for pattern in settings.lr_factors:
        matched = [name for name in names if fnmatchcase(name, pattern)]
        if not matched:
            raise UserError(f"lr_factors: {pattern!r} matches no parameter of the model; one of them is {names[0]!r}")
        if not set(matched) & set(left):
            raise UserError(f"lr_factors: all that {pattern!r} matches falls to patterns before it: put it before them")
        left = [name for name in left if name not in matched]


def build_optimizer(model: nn.Module, balancer: Balancer, stage: Stage, settings: TrainSettings) -> OptimizerSet:
    """The stage's own optimisers: the run's, then one for each group that names its own.

    The settings' ``lr_factors`` act on what no group of the stage matches.
    Every group remembers its base rate, ``lr * lr_factor``, and whether it is ``scheduled``. The balancer's parameters
    form groups of their own, with the run's optimiser at its plain rate and without weight decay unless the balancer
    says otherwise. A group without parameters (all frozen, or matched before) is left out.

    Raises:
        UserError: an argument of an optimiser is out of range.
    """
    factors = (ParameterGroup(pattern, factor) for pattern, factor in settings.lr_factors.items())
    sorted_out = _sorted_out(model, (*stage.groups, *factors, ParameterGroup("*")))
    sorted_out += _sorted_out(balancer, (*balancer.groups(), ParameterGroup("*", weight_decay=0.0)))
    common: list[dict[str, Any]] = []
    sections: list[tuple[Mapping[str, Any], list[dict[str, Any]]]] = [(settings.optimizer, common)]
    for group, parameters in sorted_out:
        entry = {"params": parameters, "lr_factor": group.lr_factor, "scheduled": group.scheduled}
        if group.weight_decay is not None:
            entry["weight_decay"] = group.weight_decay
        if group.optimizer is None:
            common.append(entry)
        else:
            sections.append((group.optimizer, [entry]))
    optimizer = OptimizerSet([OPTIMIZERS.build(section, entries) for section, entries in sections if entries])
    for item in optimizer.param_groups:
        item["base_lr"] = item["lr"] * item["lr_factor"]
    return optimizer


def _sorted_out(module: nn.Module, groups: Sequence[ParameterGroup]) -> list[tuple[ParameterGroup, list[nn.Parameter]]]:
    """The trainable parameters of a module by the first group that matches them; the last group, which matches the
    rest, comes first, and groups that get none are left out.
    """
    buckets: list[list[nn.Parameter]] = [[] for _ in groups]
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            place = next(index for index, group in enumerate(groups) if fnmatchcase(name, group.pattern))
            buckets[place].append(parameter)
    pairs = [*zip(groups, buckets, strict=True)]
    return [(group, bucket) for group, bucket in (pairs[-1], *pairs[:-1]) if bucket]


class Rates:
    """The learning rate of every group at every step of a stage.

    Args:
        settings: schedule and warm-up.
    """

    def __init__(self, settings: TrainSettings) -> None:
        spec = SCHEDULES.check(settings.schedule)
        self.schedule = partial(SCHEDULES.get(spec.name), **spec.args)
        self.warmup_steps = settings.warmup_steps

    def apply(self, optimizer: torch.optim.Optimizer, progress: Progress) -> float:
        """Set the rates for one step; return the factor, which groups that are not scheduled do without."""
        factor: float = self.schedule(progress)
        if progress.step < self.warmup_steps:
            factor *= (progress.step + 1) / self.warmup_steps
        for group in optimizer.param_groups:
            scheduled = group.get("scheduled", True)  # states saved before groups could opt out do not say
            group["lr"] = group["base_lr"] * (factor if scheduled else 1.0)
        return factor
