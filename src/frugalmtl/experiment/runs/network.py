"""The record of what a trained network predicts and expects."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frugalmtl.core.checks import UserError
from frugalmtl.core.documents import parse_json
from frugalmtl.core.files import read_text
from frugalmtl.core.schema import read
from frugalmtl.data.files import Exif, exif_rule
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.runs.build import Built, check_task, task_records, tasks_from_records
from frugalmtl.export import ModelFacts
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
            record = read(_Record, parse_json(read_text(path, "record of the network")), str(path))
            numbers = [*record.image_size, *record.mean, *record.std]
            if not all(map(math.isfinite, numbers)) or min(*record.image_size, *record.std) <= 0:
                raise ValueError(f"{path}: sizes and deviations must be above 0, and all numbers finite")
            tasks = tasks_from_records(record.tasks)
            for task in tasks:
                check_task(task)
            exif = exif_rule(record.exif)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            cause = str(error) if str(path) in str(error) else f"{path} is damaged ({error})"
            raise UserError(f"{cause}. It says what the network predicts: restore the file, or train again") from None
        return cls(record.image_size, record.mean, record.std, tasks, exif)

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


def model_facts(built: Built, config: Experiment, *, decoded: bool = False) -> ModelFacts:
    """What a program elsewhere has to know of an experiment's network.

    Args:
        built: the experiment's objects.
        config: how its images are brought to the network's size.
        decoded: whether normalisation and decoding are part of the exported network.
    """
    backbone = built.backbone
    return ModelFacts(
        tasks=tuple(task for task in built.tasks if not task.auxiliary),
        mean=backbone.mean,
        std=backbone.std,
        size_divisor=backbone.size_divisor,
        fit=config.fit,
        fill=backbone.mean if config.fill == "clean" else (0.0, 0.0, 0.0),
        exif=built.exif,
        decoded=decoded,
    )


@dataclass(frozen=True)
class _Record:
    """The file's content."""

    image_size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    tasks: list[dict[str, Any]]
    exif: str = "apply"
