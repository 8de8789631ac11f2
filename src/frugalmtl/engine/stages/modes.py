"""Modes of a stage and its turns: the parameters that train, and the layers in training mode."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import Stage, Turn
from frugalmtl.engine.stages.timetable import turns_of
from frugalmtl.model import MultiTaskModel


def freeze(model: nn.Module, stage: Stage, trainable: Mapping[str, bool], turn: Turn | None = None) -> None:
    """Let only those parameters take gradients that train in the stage, or in one of its turns.

    Args:
        model: the model.
        stage: its ``frozen`` patterns decide; of a stage with turns, what any of them trains.
        trainable: which parameters may train at all, by name; a name that is missing keeps its own flag.
        turn: one of the stage's; None for all of them.

    Raises:
        UserError: nothing is left to train.
    """
    turns = turns_of(stage) if turn is None else (turn,)
    for name, parameter in model.named_parameters():
        trains = any(trains_in(stage, one, name) for one in turns)
        parameter.requires_grad_(trainable.get(name, parameter.requires_grad) and trains)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        place = f"stage {stage.name!r}" + (f", turn {turn.name!r}," if turn is not None and stage.turns else "")
        raise UserError(f"{place} freezes every parameter of the model: nothing would train")


def set_modes(model: nn.Module, stage: Stage, turn: Turn | None = None) -> None:
    """Training mode, except that batch normalisation that does not train neither moves nor uses batch statistics.

    Args:
        model: the model.
        stage: its ``frozen`` patterns decide.
        turn: one of the stage's, whose ``trains`` decide too; the first if not given.
    """
    turn = turn or turns_of(stage)[0]
    model.train()
    for name, module in model.named_modules():
        if isinstance(module, _NormBase) and not trains_in(stage, turn, f"{name}.weight"):
            module.eval()


def trains_in(stage: Stage, turn: Turn, parameter: str) -> bool:
    """Whether the parameter of that name trains in a turn of a stage."""
    return stage.trains(parameter) and any(fnmatchcase(parameter, pattern) for pattern in turn.trains)


def enter_first_step(model: MultiTaskModel, stage: Stage, epochs: int, turn: Turn | None = None) -> Turn:
    """Bring a model to the first step of a stage of so many epochs, as a training does; returns its turn.

    Args:
        model: the model.
        stage: that begins.
        epochs: its length.
        turn: one of the stage's; the first if not given.
    """
    turn = turn or turns_of(stage)[0]
    model.enter_stage(stage.name)
    freeze(model, stage, {})
    model.enter_epoch(0, epochs)
    if stage.turns:
        model.enter_turn(turn.name, 0)
    enter_turn(model, stage, turn, {})
    model.enter_step(0.0)
    return turn


def enter_turn(model: nn.Module, stage: Stage, turn: Turn, trainable: Mapping[str, bool]) -> None:
    """Let only what trains in a turn take gradients, and put the layers in their modes.

    Args:
        model: the model.
        stage: that is under way.
        turn: one of the stage's.
        trainable: see :func:`freeze`.
    """
    if stage.turns:
        freeze(model, stage, trainable, turn)
    set_modes(model, stage, turn)


@contextlib.contextmanager
def still_statistics(model: nn.Module) -> Iterator[None]:
    """Run as in training, but leave running statistics as they are.

    Those are the buffers of normalisations, and of modules that say by an attribute ``running_statistics = True`` that
    every training pass moves theirs.
    """
    buffers = [buffer for module in model.modules() if _follows(module) for buffer in module.buffers(recurse=False)]
    kept = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        for buffer, before in zip(buffers, kept, strict=True):
            buffer.data.copy_(before)  # past autograd, which may still hold the buffer for the backward pass


def _follows(module: nn.Module) -> bool:
    """Whether a module's buffers follow what training passes show."""
    return (isinstance(module, _NormBase) and module.training) or getattr(module, "running_statistics", False)
