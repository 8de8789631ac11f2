"""The record of what a trained network predicts and expects."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from frugalmtl.core.checks import UserError
from frugalmtl.core.files import read_text
from frugalmtl.data.files import Exif, exif_rule
from frugalmtl.experiment.runs.build import Built, task_records, tasks_from_records
from frugalmtl.tasks import Task


@dataclass(frozen=True)
class NetworkFacts:
    """What a network predicts and expects, as long as its weights are not needed.

    Attributes:
        image_size: height and width that it sees.
        mean: mean of the colour channels that images are normalised with, RGB in [0, 1].
        std: their standard deviation.
        tasks: what it predicts.
        exif: whether its images were turned as their EXIF says.
    """

    image_size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    tasks: tuple[Task, ...]
    exif: Exif = "apply"

    @classmethod
    def of(cls, built: Built) -> NetworkFacts:
        """The facts of an experiment's objects."""
        return cls(built.image_size, built.backbone.mean, built.backbone.std, built.tasks, built.exif)

    @classmethod
    def read(cls, path: Path) -> NetworkFacts:
        """Read what :meth:`to_json` gave.

        Raises:
            UserError: no such file, or it is damaged.
        """
        try:
            facts = json.loads(read_text(path, "record of the network"))
            size, mean, std = (tuple(facts[key]) for key in ("image_size", "mean", "std"))
            return cls(size, mean, std, tasks_from_records(facts["tasks"]), exif_rule(facts.get("exif", "apply")))
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise UserError(f"{path} is damaged ({error!r}): train again, or restore the file") from None

    def to_json(self) -> str:
        """The facts as JSON text."""
        plain = {
            "image_size": self.image_size,
            "mean": self.mean,
            "std": self.std,
            "tasks": task_records(self.tasks),
            **({} if self.exif == "apply" else {"exif": self.exif}),
        }
        return json.dumps(plain, indent=1) + "\n"
