"""What of a model trains in a stage, and at which rate."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import Stage
from frugalmtl.engine.optimizers import OPTIMIZERS
from frugalmtl.engine.schedules import SCHEDULES, Progress
from frugalmtl.engine.settings import TrainSettings


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


def build_optimizer(
    model: nn.Module, balancer: nn.Module, stage: Stage, settings: TrainSettings
) -> torch.optim.Optimizer:
    """The stage's own optimiser; every group remembers its base rate, ``lr * lr_factor``.

    The balancer's parameters form a group of their own, with the plain rate and without weight decay.

    Raises:
        UserError: an argument of the optimiser is out of range.
    """
    buckets: list[list[nn.Parameter]] = [[] for _ in range(len(stage.groups) + 1)]
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            matches = (i for i, group in enumerate(stage.groups) if fnmatchcase(name, group.pattern))
            buckets[next(matches, -1)].append(parameter)
    groups: list[dict[str, Any]] = [{"params": buckets[-1], "lr_factor": 1.0}]
    for group, parameters in zip(stage.groups, buckets, strict=False):
        decay = {} if group.weight_decay is None else {"weight_decay": group.weight_decay}
        groups.append({"params": parameters, "lr_factor": group.lr_factor, **decay})
    own = [parameter for parameter in balancer.parameters() if parameter.requires_grad]
    groups.append({"params": own, "lr_factor": 1.0, "weight_decay": 0.0})
    optimizer: torch.optim.Optimizer = OPTIMIZERS.build(settings.optimizer, [g for g in groups if g["params"]])
    for item in optimizer.param_groups:
        item["base_lr"] = item["lr"] * item["lr_factor"]
    return optimizer


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
        """Set the rates for one step; return the factor."""
        factor: float = self.schedule(progress)
        if progress.step < self.warmup_steps:
            factor *= (progress.step + 1) / self.warmup_steps
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor
        return factor
