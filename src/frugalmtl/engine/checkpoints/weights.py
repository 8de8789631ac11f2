"""Weights from a checkpoint into a model: all of them, or those that fit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from frugalmtl.core.checks import UserError
from frugalmtl.core.documents import parse_json
from frugalmtl.core.recipe import stage_epochs
from frugalmtl.engine.checkpoints.folder import BALANCER, MODEL, STRUCTURE, verified
from frugalmtl.engine.checkpoints.tensors import parse_tensors
from frugalmtl.model import MultiTaskModel


def load_weights(module: nn.Module, folder: str | os.PathLike[str], file: str = MODEL) -> None:
    """Fill a module with the weights of a checkpoint folder, all of them or none.

    Raises:
        UserError: the folder is damaged, or the weights are another model's; names the first difference.
    """
    path = Path(folder) / file
    _fill(module, parse_tensors(path, verified(path.parent, file)), path)


def load_trained(model: MultiTaskModel, folder: str | os.PathLike[str], epochs: int) -> None:
    """Enter the last stage that a training of so many epochs ends with, and fill the model with its weights.

    What a model holds may depend on its stage and on what its method decided, so the weights come after both.

    Raises:
        UserError: see :func:`load_weights`.
    """
    recipe = model.recipe()
    pairs = zip(recipe, stage_epochs(recipe, epochs), strict=True)
    set_structure(model, Path(folder))
    model.enter_stage([stage.name for stage, length in pairs if length > 0][-1])
    load_weights(model, folder)


def read_structure(folder: Path) -> dict[str, Any] | None:
    """What the method of a checkpoint had decided about its own shape; None if nothing.

    Raises:
        UserError: the folder is damaged.
    """
    if not (folder / STRUCTURE).exists():
        return None
    try:
        structure = parse_json(verified(folder, STRUCTURE))
    except ValueError as error:
        raise UserError(f"{folder / STRUCTURE} is damaged: {error}") from None
    if not isinstance(structure, dict):
        raise UserError(f"{folder / STRUCTURE} is damaged: it holds no mapping")
    return structure


def set_structure(model: MultiTaskModel, folder: Path) -> None:
    """Give a model the shape that the method of a checkpoint had decided on, if it had.

    Raises:
        UserError: the folder is damaged, or the structure is another model's.
    """
    structure = read_structure(folder)
    if structure is None:
        return
    try:
        model.encoder.restructure(structure)
    except UserError as error:
        raise UserError(f"{folder / STRUCTURE}: {error}") from None


def begin_anew(model: nn.Module, initial: Path, patterns: Sequence[str]) -> None:
    """Set parameters and buffers that match a pattern to the values that the run began with.

    What is new since then, or has another shape, stays as it is.

    Raises:
        UserError: the folder of the initial weights is damaged.
    """
    stored, wanted = parse_tensors(initial / MODEL, verified(initial, MODEL)), model.state_dict()
    chosen = {
        name: tensor
        for name, tensor in stored.items()
        if any(fnmatchcase(name, pattern) for pattern in patterns)
        and name in wanted
        and wanted[name].shape == tensor.shape
    }
    model.load_state_dict(chosen, strict=False)


def load_matching_weights(
    module: nn.Module, folder: str | os.PathLike[str], file: str = MODEL, *, leave: Sequence[str] = ()
) -> str:
    """Fill what a module has in common with another model's checkpoint (same name and shape); the rest stays as it is.

    Args:
        module: the module.
        folder: of the checkpoint.
        file: in it.
        leave: shell patterns over names that stay as they are in any case.

    Returns:
        One line that says how much was taken and what was not.

    Raises:
        UserError: the folder is damaged, or nothing fits.
    """
    path = Path(folder) / file
    stored, wanted = (
        {name: tensor for name, tensor in tensors.items() if not any(fnmatchcase(name, pattern) for pattern in leave)}
        for tensors in (parse_tensors(path, verified(path.parent, file)), module.state_dict())
    )
    fitting = {name: tensor for name, tensor in stored.items() if name in wanted and wanted[name].shape == tensor.shape}
    if not fitting:
        raise UserError(f"{path} has no weights that this model could start from: check the config of both")
    module.load_state_dict(fitting, strict=False)
    new, unused = sorted(wanted.keys() - fitting.keys()), sorted(stored.keys() - fitting.keys())
    names = {"new here": new, "not used": unused}
    rest = [f"{len(some)} {words} ({some[0]}, ...)" for words, some in names.items() if some]
    return ", ".join([f"{len(fitting)} of {len(wanted)} tensors taken", *rest])


def restore(folder: Path, model: nn.Module, balancer: nn.Module) -> None:
    """Fill model and balancer; neither changes unless both fit.

    Raises:
        UserError: damaged files, or weights of another model.
    """
    tensors = parse_tensors(folder / MODEL, verified(folder, MODEL))
    state = parse_tensors(folder / BALANCER, verified(folder, BALANCER)) if balancer.state_dict() else {}
    _compare(folder / BALANCER, balancer, state)
    _fill(model, tensors, folder / MODEL)
    _fill(balancer, state, folder / BALANCER)


def _compare(path: Path, module: nn.Module, tensors: dict[str, Tensor]) -> None:
    wanted = module.state_dict()
    for name, tensor in wanted.items():
        if name not in tensors:
            raise UserError(f"{path} has no {name!r}, which this model needs: it is another model's checkpoint")
        if tensors[name].shape != tensor.shape:
            shape, expected = list(tensors[name].shape), list(tensor.shape)
            raise UserError(f"{path}: {name!r} has shape {shape}, but this model needs {expected}: check the config")
    extra = sorted(tensors.keys() - wanted.keys())
    if extra:
        raise UserError(f"{path} has {extra[0]!r} and {len(extra) - 1} more that this model has not: check the config")


def _fill(module: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    _compare(path, module, tensors)
    module.load_state_dict(tensors, strict=True)
