"""The start of a training: another run's weights, and the command that starts again from a run that diverged."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from frugalmtl.core.checks import UserError
from frugalmtl.core.documents import parse_json
from frugalmtl.core.registry import Spec
from frugalmtl.engine.checkpoints import FINAL, load_matching_weights, read_state
from frugalmtl.engine.optimizers import OPTIMIZERS
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.runs.folder import CONFIG
from frugalmtl.experiment.runs.run import Run
from frugalmtl.model import MultiTaskModel


@dataclass(frozen=True)
class Start:
    """Weights that a training starts from.

    Attributes:
        run: whose they are.
        checkpoint: its folder.
        moment: when in that run they were written, in words.
    """

    run: Path
    checkpoint: Path
    moment: str

    def load(self, model: MultiTaskModel) -> str:
        """Fill what fits into a model; returns a line that says what came from where.

        Raises:
            UserError: the checkpoint is damaged, or nothing fits.
        """
        return f"start from {self.run} ({self.moment}): {load_matching_weights(model, self.checkpoint)}"


def start_weights(config: Experiment, source: Path | None = None) -> Start | None:
    """The weights that training starts from, if from a run's: its final ones, or those of its last checkpoint.

    Args:
        config: the experiment.
        source: folder of the run that ``config.init_from`` stands for, if that is not a path itself.

    Raises:
        UserError: no run there, or one without a checkpoint.
    """
    if config.init_from is None:
        return None
    try:
        run = Run.open(source or config.init_from)
    except UserError as error:
        raise UserError(f"init_from: {error}") from None
    checkpoint = run.checkpoint()
    if checkpoint is None:
        raise UserError(
            f"init_from: {run.folder} has no checkpoint yet: let it train until it has one (train.checkpoint_every), "
            "or leave init_from out"
        )
    if checkpoint.name == FINAL:
        return Start(run.folder, checkpoint, "finished")
    state = read_state(checkpoint, {"steps", "history"})
    try:
        epochs = len(parse_json(state["history"]))
    except (ValueError, TypeError):
        raise UserError(
            f"init_from: {checkpoint} is damaged: train {run.folder} again, or leave init_from out"
        ) from None
    moment = f"not finished: step {state['steps']}, {epochs} of {run.config.train.epochs} epochs"
    return Start(run.folder, checkpoint, moment)


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
