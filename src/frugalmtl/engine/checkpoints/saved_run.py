"""Saved runs: the state of a training beside its weights, from which it goes on exactly."""

from __future__ import annotations

import io
import json
import pickle
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from lightning_fabric import Fabric

from frugalmtl.core.checks import UserError
from frugalmtl.core.documents import parse_json, require_stored
from frugalmtl.engine.checkpoints.folder import FINAL, STATE, Checkpoints, verified
from frugalmtl.engine.checkpoints.identity import require_same
from frugalmtl.engine.logs.means import Means
from frugalmtl.engine.randomness import set_random_state

_COMMON = {"identity", "history", "seconds", "steps"}
_RUNNING = _COMMON | {"stage", "epoch", "step", "optimizer", "scaler", "random", "sums", "counts"}


@dataclass(frozen=True)
class SavedRun:
    """The state of an interrupted or finished run.

    Attributes:
        folder: of the checkpoint.
        state: as it was written.
        history: one record per finished epoch.
        seconds: time spent training.
        steps: optimiser steps of the whole run.
    """

    folder: Path
    state: Mapping[str, Any]
    history: list[dict[str, Any]]
    seconds: float
    steps: int

    @staticmethod
    def common(facts: Mapping[str, Any], history: list[dict[str, Any]], seconds: float, steps: int) -> dict[str, Any]:
        """The part of a state that running and finished trainings share."""
        return {"identity": json.dumps(facts), "history": json.dumps(history), "seconds": seconds, "steps": steps}

    @property
    def finished(self) -> bool:
        """Whether the training is complete."""
        return self.folder.name == FINAL

    @property
    def stage(self) -> int:
        """Index of the stage that was under way."""
        return int(self.state["stage"])

    @property
    def epoch(self) -> int:
        """Epoch of that stage (0-based)."""
        return int(self.state["epoch"])

    @property
    def step(self) -> int:
        """Finished steps of that epoch."""
        return int(self.state["step"])

    def restore_training(
        self,
        optimizer: torch.optim.Optimizer,
        fabric: Fabric,
        restore_stage: Callable[[Mapping[str, Any]], None] = lambda _: None,
    ) -> Means:
        """Set optimiser, loss scale, what the stage remembers and random generators; the means of the epoch so far.

        Args:
            optimizer: of the stage.
            fabric: launched.
            restore_stage: restores what the stage remembers beside its weights, from the state.

        Raises:
            UserError: the state does not fit.
        """
        try:
            optimizer.load_state_dict(self.state["optimizer"])
            fabric.strategy.precision.load_state_dict(self.state["scaler"])
            restore_stage(self.state)
            means = Means(self.state["sums"], self.state["counts"])
            set_random_state(self.state["random"][fabric.global_rank], fabric.device)
        except (ValueError, KeyError, IndexError, TypeError, RuntimeError, AttributeError) as error:
            raise UserError(f"the state in {self.folder} does not fit this training: {error}") from error
        return means


def find_saved_run(
    checkpoints: Checkpoints,
    facts: Mapping[str, Any],
    epochs: Sequence[int],
    resume: bool | Literal["auto"],
    defaults: Mapping[str, Any] | None = None,
) -> SavedRun | None:
    """The saved run in a folder that a training goes on from; None to begin anew.

    Args:
        checkpoints: of the run.
        facts: see :meth:`~frugalmtl.engine.job.TrainJob.facts`.
        epochs: of each stage.
        resume: see :func:`~frugalmtl.engine.train`.
        defaults: facts that a run of an earlier version did not know yet.

    Raises:
        UserError: there is one, or none, against ``resume``; it is damaged, or another training's.
    """
    folder, run_dir = checkpoints.latest(), checkpoints.folder.parent
    if folder is None:
        if resume is True:
            raise UserError(f"there is no checkpoint in {run_dir} to continue from: check the folder")
        return None
    if resume is False:
        raise UserError(f"{run_dir} holds a run already: continue it, or choose another folder")
    state = read_state(folder, _COMMON if folder.name == FINAL else _RUNNING)
    try:
        history, seconds, steps = parse_json(state["history"]), float(state["seconds"]), int(state["steps"])
        require_same(parse_json(state["identity"]), facts, run_dir, defaults)
        if folder.name != FINAL and not 0 <= state["epoch"] < epochs[state["stage"]]:
            raise IndexError(f"there is no epoch {state['epoch']} in stage {state['stage']}")
    except UserError:
        raise
    except (ValueError, TypeError, IndexError, AttributeError) as error:
        raise UserError(f"the state in {folder} does not belong to this training: {error}") from None
    return SavedRun(folder, state, history, seconds, steps)


def facts_at_start(folder: Path) -> dict[str, Any]:
    """The facts with which the run of a checkpoint started (:meth:`~frugalmtl.engine.job.TrainJob.facts`).

    Raises:
        UserError: the state is damaged.
    """
    try:
        facts = parse_json(read_state(folder, _COMMON)["identity"])
    except (ValueError, TypeError):
        facts = None
    if not isinstance(facts, dict):
        raise UserError(f"{folder / STATE} does not say how its training started: it is damaged")
    return facts


def read_state(folder: Path, keys: set[str]) -> dict[str, Any]:
    """The state of a checkpoint, on the CPU. Nothing in the file is executed.

    Raises:
        UserError: damaged, not made of plain values, or without one of ``keys``.
    """
    path = folder / STATE
    data = verified(folder, STATE)
    require_stored(io.BytesIO(data), path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about foreign pickles, which are refused below
            state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(f"{path} holds more than plain values, so it was not loaded: it is not ours") from None
    except Exception as error:  # the unpickler raises whatever a malformed file leads it to
        raise UserError(f"{path} is damaged: {error}") from None
    if not isinstance(state, dict) or not keys <= state.keys():
        raise UserError(f"{path} is not the state of a training: it was not written by this program")
    return state
