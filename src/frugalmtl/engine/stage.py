"""Stages of a recipe: the parameters that train in one, and the modes of its layers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import Stage
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


def enter_first_step(model: MultiTaskModel, stage: Stage, epochs: int) -> None:
    """Bring a model to the first step of a stage of so many epochs, as a training does."""
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
