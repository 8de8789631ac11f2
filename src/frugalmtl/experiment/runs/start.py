"""The start of a training: what it takes from another run, and the command that starts again after a divergence."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from frugalmtl.core.checks import UserError
from frugalmtl.core.documents import parse_json
from frugalmtl.core.registry import Spec
from frugalmtl.engine.checkpoints import FINAL, load_matching_weights, read_state, read_structure
from frugalmtl.engine.optimizers import OPTIMIZERS
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.runs.folder import CONFIG
from frugalmtl.experiment.runs.run import Run
from frugalmtl.model import MultiTaskModel


@dataclass(frozen=True)
class Start:
    """What a training takes from another run before it begins.

    Attributes:
        run: folder of that run.
        checkpoint: folder of the checkpoint that it is taken from.
        moment: when in that run it was written, in words.
        weights: whether its weights are taken.
        structure: what its method decided on; None if that is not taken.
    """

    run: Path
    checkpoint: Path
    moment: str
    weights: bool = True
    structure: Mapping[str, Any] | None = None

    def restructure(self, model: MultiTaskModel) -> None:
        """Give a model the structure, if it is taken; before its weights.

        Raises:
            UserError: it does not fit.
        """
        if self.structure is None:
            return
        try:
            model.encoder.restructure(self.structure)
        except UserError as error:
            raise UserError(f"init_from: the structure of {self.run} does not fit this network: {error}") from None

    def load(self, model: MultiTaskModel) -> str:
        """Fill a model with the weights that fit, if they are taken; returns a line that says what came from where.

        Raises:
            UserError: the checkpoint is damaged, or nothing fits.
        """
        taken = ["structure taken"] if self.structure is not None else []
        if self.weights:
            leave = [f"encoder.{pattern}" for pattern in model.encoder.decisions]
            taken.append(load_matching_weights(model, self.checkpoint, leave=leave))
        return f"start from {self.run} ({self.moment}): {'; '.join(taken)}"


def start_of(config: Experiment, source: Path | None = None) -> Start | None:
    """What training starts from, if from a run: its final checkpoint, or its last one.

    Args:
        config: the experiment.
        source: folder of the run that ``config.init_from`` names, if that is a row of a comparison.

    Raises:
        UserError: no run there, or one without a checkpoint or without what is taken from it.
    """
    start = config.start
    if start is None:
        return None
    if source is None and start.seed is not None:
        raise UserError(
            f"init_from: 'seed' chooses a run of an earlier row of a comparison, but {start.run} is no row: name the "
            "folder of a run, without 'seed'"
        )
    try:
        run = Run.open(source or start.run)
    except UserError as error:
        raise UserError(f"init_from: {error}") from None
    checkpoint = run.checkpoint()
    if checkpoint is None:
        raise UserError(
            f"init_from: {run.folder} has no checkpoint yet: let it train until it has one (train.checkpoint_every), "
            "or leave init_from out"
        )
    moment = _moment(run, checkpoint)
    structure = read_structure(checkpoint) if "structure" in start.take else None
    if structure is None and "structure" in start.take:
        raise UserError(
            f"init_from: {run.folder} ({moment}) has no structure to take: its method decides on none, or has not yet; "
            "take weights alone, or train it to the end of the stage that decides"
        )
    return Start(run.folder, checkpoint, moment, "weights" in start.take, structure)


def _moment(run: Run, checkpoint: Path) -> str:
    """When in a run a checkpoint was written, in words."""
    if checkpoint.name == FINAL:
        return "finished"
    state = read_state(checkpoint, {"steps", "history"})
    try:
        epochs = len(parse_json(state["history"]))
    except (ValueError, TypeError):
        raise UserError(
            f"init_from: {checkpoint} is damaged: train {run.folder} again, or leave init_from out"
        ) from None
    return f"not finished: step {state['steps']}, {epochs} of {run.config.train.epochs} epochs"


def gentler_command(run: Run) -> str:
    """The command that trains anew, with smaller steps, what diverged; and how to start from its last checkpoint.

    From the beginning, since weights that diverge are often far off before the first number is infinite.
    """
    begun = run.checkpoint() is not None
    free = (Path(f"{run.folder}-{number}") for number in count(2))
    folder = next(path for path in free if not path.exists()) if begun else run.folder
    rate = _rate(OPTIMIZERS.check(run.config.train.optimizer)) / 10
    arguments = ["--config", str(run.folder / CONFIG), "--out", str(folder), "--train.optimizer.lr", f"{rate:g}"]
    if run.config.train.clip_norm is None:
        arguments += ["--train.clip_norm", "1"]
    command = shlex.join(["frugalmtl", "train", *arguments])
    return (
        f"{command} (and {shlex.join(['--init_from', str(run.folder)])} to keep what it learned)" if begun else command
    )


def _rate(optimizer: Spec) -> float:
    rate = optimizer.args.get("lr", OPTIMIZERS.schema(optimizer.name)["lr"].default)
    return float(rate)
