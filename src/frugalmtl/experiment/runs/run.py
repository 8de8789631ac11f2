"""The folder of one training: its config, weights, history, scores; and what can be made of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from frugalmtl.backbones import Backbone
from frugalmtl.core.checks import UserError
from frugalmtl.core.files import read_text, write_text
from frugalmtl.core.types import Scores
from frugalmtl.deployment import DeployedModel, deploy
from frugalmtl.engine.checkpoint import load_weights
from frugalmtl.evaluation.infer import infer
from frugalmtl.experiment.config.experiment import Experiment, as_plain, parse, read_yaml, to_yaml
from frugalmtl.experiment.runs.build import Built, build, task_records, tasks_from_records, without_weights
from frugalmtl.experiment.runs.environment import environment
from frugalmtl.export import EXPORTERS, Exported
from frugalmtl.tasks import Task
from frugalmtl.tasks.base import Image

CONFIG = "config.yaml"
ENVIRONMENT = "environment.json"
NETWORK = "network.json"
FREE = ("published", "name", "evaluate_split", "test_split")
"""Keys of a config that do not change what is learned; ``train`` has such keys of its own
(:meth:`~frugalmtl.engine.settings.TrainSettings.identity` leaves them out)."""
SUFFIXES = {"onnx": ".onnx", "torch_export": ".pt2", "safetensors": ".safetensors"}


@dataclass
class Run:
    """One training's folder.

    Attributes:
        folder: where it is.
        config: the experiment, complete.
    """

    folder: Path
    config: Experiment

    @classmethod
    def create(cls, folder: Path, config: Experiment, built: Built | None = None) -> Run:
        """Begin a run, or return to one that was begun with the same config.

        Keys that do not change what is learned (workers, splits to evaluate, ...) may differ and are taken over. What
        the
        network predicts and expects is written down, so that a finished run can be used without its dataset and without
        the weights it started from.

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
                write_text(folder / NETWORK, json.dumps(_network(built), indent=1) + "\n")
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
    def open(cls, folder: str | Path) -> Run:
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

    def build(self) -> Built:
        """The run's objects with random weights.

        Raises:
            UserError: what the network predicts is not written down, or the file is damaged.
        """
        path = self.folder / NETWORK
        try:
            facts = json.loads(read_text(path, "record of the network"))
            tasks = tasks_from_records(facts["tasks"])
            size, mean, std = (tuple(facts[key]) for key in ("image_size", "mean", "std"))
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise UserError(f"{path} is damaged ({error!r}): train again, or restore the file") from None
        built = build(replace(without_weights(self.config), image_size=size), tasks=tasks)
        for module in (built.backbone, *built.model.modules()):
            if isinstance(module, Backbone):
                module.mean, module.std = mean, std
        return built

    def load(self) -> Built:
        """The run's objects with the final weights, model in eval mode.

        Raises:
            UserError: the training is not complete, or the weights are damaged or of another model.
        """
        if not self.finished:
            raise UserError(f"{self.folder} is not trained to its end: run 'frugalmtl train' on it again to continue")
        built = self.build()
        load_weights(built.model, self.weights)
        built.model.eval()
        return built

    def deployed(self) -> tuple[Built, DeployedModel]:
        """The run's objects, and its model deployed."""
        built = self.load()
        return built, deploy(built.model)

    def predictor(self) -> Predictor:
        """What predicts photographs with the deployed model."""
        return Predictor(*self.deployed())

    def export(self, form: str, path: Path | None = None) -> Exported:
        """Write the deployed model to a file of a member of the room ``export``.

        Raises:
            UserError: see the exporter.
        """
        EXPORTERS.check(form)
        built, deployed = self.deployed()
        target = path or self.folder / "deployed" / f"{self.config.name}{SUFFIXES[form]}"
        config = {"config": as_plain(self.config)} if "config" in EXPORTERS.schema(form) else {}
        written: Exported = EXPORTERS.get(form)(deployed, target, built.image_size, **config)
        return written

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
        return self.folder / f"scores-{split}.json"

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
        """On what the run was trained."""
        facts: dict[str, Any] = json.loads((self.folder / ENVIRONMENT).read_text(encoding="utf-8"))
        return facts


def _begun(path: Path) -> bool:
    """Whether a file is one that a run's beginning writes before its config; a killed process may have left it."""
    return path.name in (ENVIRONMENT, NETWORK) or (path.name.startswith(".") and path.suffix == ".tmp")


def _network(built: Built) -> dict[str, Any]:
    """What a trained network predicts and expects."""
    return {
        "image_size": built.image_size,
        "mean": built.backbone.mean,
        "std": built.backbone.std,
        "tasks": task_records(built.tasks),
    }


def _binding(config: Experiment) -> dict[str, Any]:
    """What a run may not be continued without; nested keys of ``train`` by their dotted names."""
    plain = {key: value for key, value in as_plain(config).items() if key not in FREE}
    settings = plain.pop("train")
    return plain | {f"train.{key}": settings[key] for key in config.train.identity()}


class Predictor:
    """Photograph ``[H, W, 3]`` of any size -> decoded predictions of its size."""

    def __init__(self, built: Built, deployed: DeployedModel) -> None:
        self.tasks: tuple[Task, ...] = tuple(task for task in built.tasks if not task.auxiliary)
        self.built = built
        self.deployed = deployed

    def __call__(self, photo: Image) -> dict[str, Tensor]:
        """Predict every task.

        Raises:
            UserError: the photograph does not fit into memory.
        """
        backbone = self.built.backbone
        try:
            return infer(
                self.deployed, photo, self.tasks, mean=backbone.mean, std=backbone.std, divisor=backbone.size_divisor
            )
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "allocate" not in str(error):
                raise
            height, width = photo.shape[:2]
            raise UserError(f"a photograph of {height} x {width} needs more memory than there is: shrink it") from error
