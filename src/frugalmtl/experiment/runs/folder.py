"""The folder of a training: its config, what its network predicts, its history and its scores."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from frugalmtl.core.checks import UserError
from frugalmtl.core.files import read_text, write_text
from frugalmtl.core.names import path_part
from frugalmtl.core.types import Scores
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.config.files import as_plain, parse, read_yaml, to_yaml
from frugalmtl.experiment.runs.build import Built
from frugalmtl.experiment.runs.environment import environment
from frugalmtl.experiment.runs.network import NetworkFacts

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
            write_text(folder / ENVIRONMENT, json.dumps(environment(), indent=1) + "\n")
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

    def write_scores(self, split: str, scores: Scores) -> None:
        """Keep the scores of a split."""
        write_text(self._scores(split), json.dumps(scores, indent=1) + "\n")

    def scores(self, split: str, *, missing_ok: bool = False) -> Scores:
        """The kept scores of a split; with ``missing_ok`` an empty mapping where there are none.

        Raises:
            UserError: the split was not evaluated, or the file is damaged.
        """
        path = self._scores(split)
        if missing_ok and not path.exists():
            return {}
        try:
            scores: Scores = json.loads(read_text(path, "scores"))
        except json.JSONDecodeError as error:
            raise UserError(f"{path} is damaged ({error}): delete it and evaluate again") from None
        return scores

    def _scores(self, split: str) -> Path:
        return self.folder / f"scores-{path_part('split', split)}.json"

    @property
    def history(self) -> Path:
        """The engine's log, one JSON object per line."""
        return self.folder / "log.jsonl"

    def epochs(self) -> list[dict[str, Any]]:
        """One record per epoch: ``epoch``, ``stage``, ``losses``, ``seconds``, and ``scores`` where evaluated."""
        records = [json.loads(line) for line in read_text(self.history, "log").splitlines()]
        return [record for record in records if record["event"] == "epoch"]

    def train_seconds(self) -> float:
        """Time spent training, over all interruptions."""
        return float(self.epochs()[-1]["seconds"])

    def environment(self) -> dict[str, Any]:
        """Versions and hardware of the training."""
        facts: dict[str, Any] = json.loads((self.folder / ENVIRONMENT).read_text(encoding="utf-8"))
        return facts


def _begun(path: Path) -> bool:
    """Whether a file is one that a run writes before its config; a killed process may have left it behind."""
    return path.name in (ENVIRONMENT, NETWORK) or (path.name.startswith(".") and path.suffix == ".tmp")


def _binding(config: Experiment) -> dict[str, Any]:
    """What a run may not be continued without; nested keys of ``train`` by their dotted names."""
    plain = {key: value for key, value in as_plain(config).items() if key not in FREE}
    settings = plain.pop("train")
    return plain | {f"train.{key}": settings[key] for key in config.train.identity()}
