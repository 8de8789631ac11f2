"""Parameter groups of a stage: optimisers, learning rates and their schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import torch
from torch import nn

from frugalmtl.balancing import Balancer
from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import ParameterGroup, Stage
from frugalmtl.engine.optimizers import OPTIMIZERS, OptimizerSet, check_optimizer
from frugalmtl.engine.schedules import SCHEDULES, Progress
from frugalmtl.engine.settings import TrainSettings


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
        if "lr_factors" in stage.settings:
            _check_factors(model, settings.in_stage(stage))
    _check_factors(model, settings)


def _check_factors(model: nn.Module, settings: TrainSettings) -> None:
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
        settings: schedule and warm-up of the stage.
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


def rates_of(optimizer: torch.optim.Optimizer) -> dict[str, dict[str, float]]:
    """The learning rate of every group, for the log: ``{"learning_rates": {"group1": rate, ...}}``."""
    return {"learning_rates": {f"group{n}": float(one["lr"]) for n, one in enumerate(optimizer.param_groups, start=1)}}
