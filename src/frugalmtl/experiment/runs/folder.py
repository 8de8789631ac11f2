"""The folder of a training: its config, what its network predicts, its history and its scores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from frugalmtl.core.checks import UserError
from frugalmtl.core.disk.locks import HOLDER, LOCK
from frugalmtl.core.documents.json_values import json_text
from frugalmtl.core.files import write_text
from frugalmtl.engine.checkpoints import FINAL, INITIAL, Checkpoints
from frugalmtl.engine.loggers.base import FOLDER as LOGS
from frugalmtl.engine.stages.best import best_epoch
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.config.files import as_plain, parse, read_yaml, to_yaml
from frugalmtl.experiment.config.points import point_of
from frugalmtl.experiment.runs.build import Built
from frugalmtl.experiment.runs.environment import environment
from frugalmtl.experiment.runs.identity import binding
from frugalmtl.experiment.runs.kept.images import FILE as IMAGES
from frugalmtl.experiment.runs.kept.scores import KeptScores
from frugalmtl.experiment.runs.network import NetworkFacts
from frugalmtl.experiment.runs.records import read_environment, read_epochs

CONFIG = "config.yaml"
ENVIRONMENT = "environment.json"
NETWORK = "network.json"
HISTORY = "log.jsonl"
CHECKPOINTS = "checkpoints"
BEFORE_CHECKPOINTS = (CONFIG, ENVIRONMENT, NETWORK, IMAGES, HISTORY, LOCK, HOLDER, "tensorboard", LOGS)
"""What a run writes before its first checkpoint."""


@dataclass
class RunFolder(KeptScores):
    """The folder of one training, and the records in it.

    Attributes:
        folder: where it is.
        config: the experiment, complete.
        point: the operating point at which its model is deployed and scored; None for the model as it was trained.
    """

    config: Experiment

    @classmethod
    def create(cls, folder: Path, config: Experiment, built: Built | None = None) -> Self:
        """Begin a run, or return to one that was begun with the same config.

        Keys that do not change what is learned (workers, splits to evaluate, ...) may differ and are taken over. What
        the network predicts and expects is written down, so that a finished run can be used without its dataset and
        without the weights it started from.

        Args:
            folder: of the run.
            config: the experiment.
            built: its objects; needed to begin.

        Raises:
            UserError: see :meth:`check`.
        """
        cls.check(folder, config)
        begun = _begun(folder)
        if not begun:
            write_text(folder / ENVIRONMENT, json_text(environment()) + "\n")
            if built is not None:
                write_text(folder / NETWORK, NetworkFacts.of(built).to_json())
        if not _says(folder, config):
            write_text(folder / CONFIG, to_yaml(config))
        return cls(folder, config)

    @classmethod
    def check(cls, folder: Path, config: Experiment) -> None:
        """Whether a run of this config can begin in the folder or go on there; nothing is written.

        A run has begun when it has a checkpoint. Until then any config may begin anew where nothing but a run's own
        files lie: there is nothing to lose.

        Raises:
            UserError: the folder holds a run of another config, or something else.
        """
        if not folder.exists():
            return
        if not folder.is_dir():
            raise UserError(f"{folder} exists and holds no run: choose another folder")
        begun = _begun(folder)
        only_ours = all(_of_a_run(path) for path in folder.iterdir())
        if not begun and only_ours and ((folder / ENVIRONMENT).exists() or not (folder / CONFIG).exists()):
            return
        if not (folder / CONFIG).exists():
            lost = f"has checkpoints but no {CONFIG}: restore that file, or" if begun else "exists and holds no run:"
            raise UserError(f"{folder} {lost} choose another folder")
        old, new = binding(cls.open(folder).config), binding(config)
        changed = [key for key, value in new.items() if old[key] != value]
        if changed:
            raise UserError(
                f"{folder} holds a run whose config differs in {', '.join(changed)}: give the same config "
                "to continue it, or another folder to begin anew"
            )

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Open an existing run.

        Raises:
            UserError: no run there, or its config is damaged.
        """
        path = Path(folder)
        if not (path / CONFIG).is_file():
            raise UserError(_no_run(path))
        try:
            return cls(path, parse(Experiment, read_yaml(path / CONFIG), str(path / CONFIG)))
        except UserError as error:
            raise UserError(f"{error}. It is the record of a run: restore the file") from None

    def at(self, point: str) -> Self:
        """The same training at one of its operating points.

        Args:
            point: a budget (``"0.2x"``, ``"1.2G"``) that its encoder was calibrated for.

        Raises:
            UserError: there is no such point.
        """
        try:
            return replace(self, point=point_of(self.config.encoder, point))
        except UserError as error:
            raise UserError(f"{self.folder}: {error}") from None

    @property
    def weights(self) -> Path:
        """Folder of the final weights; exists once the training is complete."""
        return self.folder / CHECKPOINTS / FINAL

    @property
    def finished(self) -> bool:
        """Whether the training is complete."""
        return self.weights.is_dir()

    def checkpoint(self) -> Path | None:
        """Folder of the final weights, else of the last checkpoint, else None.

        Raises:
            UserError: the pointer to it is damaged.
        """
        return Checkpoints(self.folder / CHECKPOINTS).latest()

    def network(self) -> NetworkFacts:
        """What the trained network predicts and expects.

        Raises:
            UserError: it is not written down, or the file is damaged.
        """
        return NetworkFacts.read(self.folder / NETWORK)

    @property
    def history(self) -> Path:
        """The engine's log, one JSON object per line."""
        return self.folder / HISTORY

    def epochs(self) -> list[dict[str, Any]]:
        """One record per epoch: ``epoch``, ``stage``, ``losses``, ``seconds``, and ``scores`` where evaluated.

        Raises:
            UserError: neither the log nor the checkpoint holds them.
        """
        return read_epochs(self.history, self.checkpoint() if self.finished else None)

    def kept_epoch(self) -> int:
        """Number (0-based) of the epoch whose weights the run keeps: the best by its scores where these choose, else
        the last."""
        epochs = self.epochs()
        best = best_epoch(epochs) if self.config.train.keep == "best" else None
        return int(epochs[-1]["epoch"]) if best is None else best

    def train_seconds(self) -> float:
        """Time spent training, over all interruptions."""
        return float(self.epochs()[-1]["seconds"])

    def environment(self) -> dict[str, Any]:
        """Versions and hardware of the training; nothing where the record is lost, which is logged."""
        return read_environment(self.folder / ENVIRONMENT)


def _begun(folder: Path) -> bool:
    """Whether the folder holds a checkpoint."""
    return Checkpoints(folder / CHECKPOINTS).latest() is not None


def _of_a_run(path: Path) -> bool:
    """Whether a run writes a file or folder of this name before its first checkpoint; a killed process may have left it
    behind."""
    if path.name == CHECKPOINTS and path.is_dir():
        begun = (".step-", ".last.", "step-", f".{INITIAL}.", INITIAL)
        return all(entry.name.startswith(begun) for entry in path.iterdir())
    return path.name in BEFORE_CHECKPOINTS or (path.name.startswith(".") and path.suffix == ".tmp")


def _says(folder: Path, config: Experiment) -> bool:
    """Whether the folder's config is this one, in all keys."""
    try:
        return as_plain(RunFolder.open(folder).config) == as_plain(config)
    except UserError:
        return False


def _no_run(path: Path) -> str:
    """Why a path is no run, and what to do."""
    if path.is_file():
        return f"{path} is a file: expected the folder of a run, which 'frugalmtl train' makes"
    inner = sorted(str(one.parent) for one in path.glob(f"*/{CONFIG}"))[:3] if path.is_dir() else []
    if inner:
        return f"{path} holds no run (no {CONFIG}), but folders of runs: name one of them, such as {', '.join(inner)}"
    if path.exists() and any(path.iterdir()):
        return f"{path} holds no run (no {CONFIG}): expected the folder of a run, which 'frugalmtl train' makes"
    return f"{path} holds no run (no {CONFIG}): train one with 'frugalmtl train --config FILE --out {path}'"
