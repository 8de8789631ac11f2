"""The folder of a training: its config, what its network predicts, its history and its scores."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from frugalmtl.core.checks import UserError
from frugalmtl.core.files import read_text, write_text
from frugalmtl.core.names import path_part
from frugalmtl.core.schema import read
from frugalmtl.core.text.json_values import json_text, number_of, with_nan
from frugalmtl.core.types import Scores
from frugalmtl.evaluation.evaluator import Evaluation, Remarks
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.config.files import as_plain, parse, read_yaml, to_yaml
from frugalmtl.experiment.runs.build import Built
from frugalmtl.experiment.runs.environment import environment
from frugalmtl.experiment.runs.network import NetworkFacts

Kind = TypeVar("Kind")
CONFIG = "config.yaml"
ENVIRONMENT = "environment.json"
NETWORK = "network.json"
FREE = ("published", "name", "evaluate_split", "test_split")
"""Keys of a config that do not change what is learned; ``train`` has such keys of its own
(:meth:`~frugalmtl.engine.settings.TrainSettings.identity` leaves them out)."""


@dataclass
class RunFolder:
    """The folder of one training, and the records in it.

    Attributes:
        folder: where it is.
        config: the experiment, complete.
    """

    folder: Path
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
        begun = (folder / CONFIG).exists()
        if not begun:
            write_text(folder / ENVIRONMENT, json_text(environment()) + "\n")
            if built is not None:
                write_text(folder / NETWORK, NetworkFacts.of(built).to_json())
        if not begun or as_plain(cls.open(folder).config) != as_plain(config):
            write_text(folder / CONFIG, to_yaml(config))
        return cls(folder, config)

    @classmethod
    def check(cls, folder: Path, config: Experiment) -> None:
        """Whether a run of this config can begin in the folder or go on there; nothing is written.

        Raises:
            UserError: the folder holds a run of another config, or something else.
        """
        if (folder / CONFIG).exists():
            old, new = _binding(cls.open(folder).config), _binding(config)
            changed = [key for key, value in new.items() if old[key] != value]
            if changed:
                raise UserError(
                    f"{folder} holds a run whose config differs in {', '.join(changed)}: give the same config "
                    "to continue it, or another folder to begin anew"
                )
        elif folder.exists() and (not folder.is_dir() or any(not _begun(path) for path in folder.iterdir())):
            raise UserError(f"{folder} exists and holds no run: choose another folder")

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Open an existing run.

        Raises:
            UserError: no run there, or its config is damaged.
        """
        path = Path(folder)
        if not (path / CONFIG).is_file():
            raise UserError(
                f"{path} holds no run (no {CONFIG}): train one with 'frugalmtl train --config FILE --out {path}'"
            )
        return cls(path, parse(Experiment, read_yaml(path / CONFIG), str(path / CONFIG)))

    @property
    def weights(self) -> Path:
        """Folder of the final weights; exists once the training is complete."""
        return self.folder / "checkpoints" / "final"

    @property
    def finished(self) -> bool:
        """Whether the training is complete."""
        return self.weights.is_dir()

    def network(self) -> NetworkFacts:
        """What the trained network predicts and expects.

        Raises:
            UserError: it is not written down, or the file is damaged.
        """
        return NetworkFacts.read(self.folder / NETWORK)

    def write_scores(self, split: str, result: Evaluation) -> None:
        """Keep the scores of a split, and beside them the remarks on them."""
        write_text(self._kept("remarks", split), json_text(result.remarks) + "\n")
        write_text(self._kept("scores", split), json_text(result.scores) + "\n")

    def scores(self, split: str, *, missing_ok: bool = False) -> Scores:
        """The kept scores of a split; with ``missing_ok`` an empty mapping where there are none.

        Raises:
            UserError: the split was not evaluated, or the file is damaged.
        """
        path = self._kept("scores", split)
        return {} if missing_ok and not path.exists() else _read_kept(Scores, path)

    def remarks(self, split: str) -> Remarks:
        """The remarks on the kept scores of a split; none in a run of an earlier version.

        Raises:
            UserError: the file is damaged.
        """
        path = self._kept("remarks", split)
        return _read_kept(Remarks, path) if path.exists() else {}

    def _kept(self, what: str, split: str) -> Path:
        return self.folder / f"{what}-{path_part('split', split)}.json"

    @property
    def history(self) -> Path:
        """The engine's log, one JSON object per line."""
        return self.folder / "log.jsonl"

    def epochs(self) -> list[dict[str, Any]]:
        """One record per epoch: ``epoch``, ``stage``, ``losses``, ``seconds``, and ``scores`` where evaluated."""
        records = [with_nan(json.loads(line)) for line in read_text(self.history, "log").splitlines()]
        return [record for record in records if record["event"] == "epoch"]

    def train_seconds(self) -> float:
        """Time spent training, over all interruptions."""
        return float(self.epochs()[-1]["seconds"])

    def environment(self) -> dict[str, Any]:
        """Versions and hardware of the training."""
        facts: dict[str, Any] = json.loads((self.folder / ENVIRONMENT).read_text(encoding="utf-8"))
        return facts


def _read_kept(kind: type[Kind], path: Path) -> Kind:
    """The content of a file of scores, or of remarks on them."""
    try:
        return read(kind, json.loads(read_text(path, "scores")), str(path), readers={float: number_of})
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is damaged ({error}): delete it and evaluate again") from None


def _begun(path: Path) -> bool:
    """Whether a file is one that a run writes before its config; a killed process may have left it behind."""
    return path.name in (ENVIRONMENT, NETWORK) or (path.name.startswith(".") and path.suffix == ".tmp")


def _binding(config: Experiment) -> dict[str, Any]:
    """What a run may not be continued without; nested keys of ``train`` by their dotted names."""
    plain = {key: value for key, value in as_plain(config).items() if key not in FREE}
    settings = plain.pop("train")
    return plain | {f"train.{key}": settings[key] for key in config.train.identity()}
