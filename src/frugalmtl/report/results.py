"""Results of a comparison, typed: ``results.json``, the one file that a report is built from.

Numbers that were not measured are NaN (null in the file), never zero.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal

from frugalmtl.core.checks import UserError, known, shown
from frugalmtl.core.documents import UnreadableError, parse_json
from frugalmtl.core.documents.json_values import json_text, number_of
from frugalmtl.core.files import read_text, write_text
from frugalmtl.core.schema import read
from frugalmtl.core.types import Heatmap, Scores
from frugalmtl.evaluation.aggregate import spread
from frugalmtl.report.costs import RowCost
from frugalmtl.report.image_pictures import ImagePictures, check_pictures

Mark = Literal["", "right", "wrong", "missed", "unknown"]


@dataclass
class Protocol:
    """Under which conditions every measured number came about; the report prints all of it.

    Attributes:
        dataset: name of the dataset.
        split: which split the scores were measured on.
        split_size: images in that split.
        image_size: (height, width) in pixels.
        epochs: length of the training, pre-training of the backbone not counted.
        seeds: seeds of the runs.
        hardware: processor or accelerator that the latency was measured on.
        versions: library -> version.
        flop_convention: what is counted as one operation.
        notes: further remarks, one paragraph each.
    """

    dataset: str
    split: str
    split_size: int
    image_size: list[int]
    epochs: float
    seeds: list[int]
    hardware: str
    versions: dict[str, str] = field(default_factory=dict)
    flop_convention: str = "1 MAC = one multiply-add; FLOPs = 2 x MACs"
    notes: list[str] = field(default_factory=list)


@dataclass
class TaskInfo:
    """The facts of a task that the report needs; they come from :class:`frugalmtl.tasks.base.Task`.

    Attributes:
        legend: ``{class: "#rrggbb"}`` of its pictures.
        reads: how its pictures are read, where there are no classes.
        classes: their names, in the order of the rows' confusion matrices.
    """

    name: str
    primary: str
    higher_is_better: bool
    kind: str = ""
    unit: str = ""
    weight: float = 1.0
    legend: dict[str, str] = field(default_factory=dict)
    reads: str = ""
    classes: list[str] = field(default_factory=list)


@dataclass
class SeedResult:
    """One finished run.

    Attributes:
        macs: multiply-adds of its deployed model; a method that prunes gives another network per seed.
        params: parameters of its deployed model.
        epochs: that were trained.
        kept_epoch: the epoch whose weights are kept, counted from 1.
    """

    seed: int
    scores: Scores
    train_seconds: float = math.nan
    history_file: str = ""
    macs: float = math.nan
    params: float = math.nan
    epochs: int | None = None
    kept_epoch: int | None = None


@dataclass
class Row:
    """One model of the comparison, over all its seeds.

    Attributes:
        name: key of the row; unique.
        title: what the reader sees; the name if empty.
        curve: rows with the same text are operating points of one method, joined by a line in the figures.
        scores_mean: mean over seeds; a task or metric may be missing.
        scores_std: sample standard deviation over seeds; empty or NaN for one seed.
        ratio_to_reference: fields of the deployed :class:`Cost` (``latency_ms`` as in the table), divided by the
            reference's; what is missing is computed from ``cost``.
        config: the resolved configuration of the runs.
        environment: versions, hardware and commit of the runs.
        run_dirs: where the runs lie.
        budget: what the deployed model was asked to cost, as the config says it; None if nothing was asked.
        target_macs: the budget in multiply-adds per image.
        target_latency_ms: the budget in milliseconds per image, for a budget of time.
        target_runtime: who runs the model in that time: ``eager`` PyTorch, or ``onnxruntime``.
        target_place: machine and runtime of a budget of time that another machine is to keep; empty for this one.
        milliseconds_there: per image on that machine, read off its latency file at the deployed model's multiply-adds.
        pictures: what the encoder of the first seed shows of itself.
        image_pictures: what it shows of single images; their numbers are those of :attr:`Results.examples`.
        affinity: ``{task that takes a step: {task that feels it: relative decrease of its loss}}``, mean over epochs
            and seeds; empty if it was not measured.
        confusions: ``{task: [C][C]}``: pixels of a class (rows) by what is predicted there (columns), over all seeds.
    """

    name: str
    title: str = ""
    encoder: str = ""
    decoder: str = ""
    balancer: str = ""
    backbone: str = ""
    seeds: list[SeedResult] = field(default_factory=list)
    scores_mean: Scores = field(default_factory=dict)
    scores_std: Scores = field(default_factory=dict)
    delta_mtl_mean: float = math.nan
    delta_mtl_std: float = math.nan
    mean_rank: float = math.nan
    cost: RowCost = field(default_factory=RowCost)
    ratio_to_reference: dict[str, float] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    run_dirs: list[str] = field(default_factory=list)
    curve: str = ""
    budget: str | None = None
    target_macs: float = math.nan
    target_latency_ms: float = math.nan
    target_runtime: str = "eager"
    target_place: str = ""
    milliseconds_there: float = math.nan
    pictures: list[Heatmap] = field(default_factory=list)
    affinity: dict[str, dict[str, float]] = field(default_factory=dict)
    image_pictures: ImagePictures = field(default_factory=ImagePictures)
    confusions: dict[str, list[list[int]]] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Title, or the name where no title is given."""
        return self.title or self.name


@dataclass
class PublishedRow:
    """Figures from a paper. They never mix with measured ones.

    Attributes:
        title: method as the paper calls it.
        source: paper and table.
        convention: how the paper counts operations and scores.
        values: task name, or ``delta_mtl``, ``mean_rank``, ``macs``, ``params``, ``latency_ms`` -> value in the unit of
            the measured column (operations and parameters as plain counts). Other keys are listed beneath the row.
    """

    title: str
    source: str
    convention: str = ""
    values: dict[str, float] = field(default_factory=dict)


@dataclass
class Epoch:
    """One line of a training history; what was not recorded is empty.

    Attributes:
        epoch: how many epochs were done, this one with them.
        loss: ``{task: mean training loss}``.
        metric: ``{task: primary metric on the validation split}``.
        weights: ``{task: mean weight of its loss, or of its gradient at what the tasks share}``.
        norms: ``{task: mean norm of the gradient of its unweighted loss}`` over the steps that compared gradients.
        cosines: ``{"a~b": mean cosine of the gradients of two tasks}`` over these steps.
        conflicts: ``{"a~b": share of these steps in which the cosine was below 0}``.
        statistics: ``{name: mean of a statistic of the encoder}``; names that begin alike up to their first dot
            (``run.depth``, ``run.normals``) are one group.
    """

    epoch: float
    loss: dict[str, float] = field(default_factory=dict)
    metric: dict[str, float] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    norms: dict[str, float] = field(default_factory=dict)
    cosines: dict[str, float] = field(default_factory=dict)
    conflicts: dict[str, float] = field(default_factory=dict)
    statistics: dict[str, float] = field(default_factory=dict)


@dataclass
class Word:
    """A word about an image and whether the label agrees."""

    text: str
    mark: Mark = ""


@dataclass
class Cell:
    """One label or prediction: a picture (path relative to the results file), or words; neither means "no label"."""

    picture: str = ""
    words: list[Word] | None = None


@dataclass
class Panel:
    """One image, its labels and what every row predicts.

    Attributes:
        name: identifier of the sample.
        image: picture, path relative to the results file.
        labels: ``{task: cell}``; empty for photographs.
        predictions: ``{row: {task: cell}}``.
    """

    name: str
    image: str
    labels: dict[str, Cell] = field(default_factory=dict)
    predictions: dict[str, dict[str, Cell]] = field(default_factory=dict)


@dataclass
class Results:
    """A comparison, complete: whatever the report says stands here.

    Attributes:
        created: date and time, ISO 8601.
        reference: name of the row that Delta_MTL and cost ratios are taken against.
        curves: ``{row: training history}``.
        panels: samples with labels.
        photos: images without labels.
        examples: photographs beneath what encoders show of single images, paths relative to the results file.
        colour_by: dotted key of the rows' configuration by whose value points are coloured; empty for none.
    """

    name: str
    created: str
    protocol: Protocol
    tasks: list[TaskInfo]
    reference: str
    rows: list[Row]
    published: list[PublishedRow] = field(default_factory=list)
    curves: dict[str, list[Epoch]] = field(default_factory=dict)
    panels: list[Panel] = field(default_factory=list)
    photos: list[Panel] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)
    colour_by: str = ""

    def row(self, name: str) -> Row:
        """The row called ``name``."""
        return next(row for row in self.rows if row.name == known("row", name, [row.name for row in self.rows]))

    def to_json(self) -> str:
        """The text of ``results.json``."""
        return json_text(self, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str = "results") -> Results:
        """Read and check the text of a results file.

        Raises:
            UserError: not JSON, a field is missing, unknown or of the wrong type, or names do not fit together.
        """
        try:
            content = parse_json(text)
        except UnreadableError as error:
            raise UserError(f"{where} is not JSON ({error}); was the file cut off? Write it again") from None
        results: Results = read(cls, content, where, readers={float: number_of})
        results.check(where)
        return results

    def check(self, where: str = "results") -> None:
        """Check that the names fit together.

        Raises:
            UserError: a name is doubled or unknown, a picture of an encoder is empty or has holes, or a picture's
                file lies outside the report's folder.
        """
        names = _unique(f"{where}.rows", [row.name for row in self.rows])
        tasks = _unique(f"{where}.tasks", [task.name for task in self.tasks])
        known(f"{where}.reference (a row)", self.reference, names)
        for row in self.rows:
            scored = set(row.scores_mean) | set(row.scores_std) | {task for seed in row.seeds for task in seed.scores}
            _all_known(f"task in the scores of row {row.name!r}", scored, tasks)
            _check_confusions(row, {task.name: len(task.classes) for task in self.tasks})
            every = [*row.pictures, *row.image_pictures.all()]
            check_pictures(f"row {row.name!r}", every, len(self.examples))
        _all_known(f"row in {where}.curves", self.curves, names)
        for panel in [*self.panels, *self.photos]:
            _all_known(f"row in panel {panel.name!r}", panel.predictions, names)
            for cells in [panel.labels, *panel.predictions.values()]:
                _all_known(f"task in panel {panel.name!r}", cells, tasks)
        for path in [*self.pictures(), *self.examples]:
            if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
                raise UserError(f"picture {shown(path)} must be a path inside the folder of the results file")

    def pictures(self) -> list[str]:
        """Every picture that the panels and photographs point to, each once."""
        paths: dict[str, None] = {}
        for panel in [*self.panels, *self.photos]:
            paths[panel.image] = None
            for cells in [panel.labels, *panel.predictions.values()]:
                paths.update({cell.picture: None for cell in cells.values() if cell.picture})
        return list(paths)


def load_results(path: str | os.PathLike[str]) -> Results:
    """Read ``results.json``.

    Raises:
        UserError: the file is missing or broken.
    """
    return Results.from_json(read_text(path, "results file"), str(path))


def save_results(results: Results, path: str | os.PathLike[str]) -> None:
    """Check and write ``results.json`` atomically.

    Raises:
        UserError: names do not fit together, or the file cannot be written.
    """
    results.check()
    write_text(path, results.to_json())


def summarise_seeds(seeds: Sequence[SeedResult]) -> tuple[Scores, Scores]:
    """Mean and sample standard deviation (n - 1) of every metric over ``seeds``; no deviation for a single value.

    >>> mean, std = summarise_seeds([SeedResult(0, {"a": {"m": 1.0}}), SeedResult(1, {"a": {"m": 3.0}})])
    >>> mean, round(std["a"]["m"], 3)
    ({'a': {'m': 2.0}}, 1.414)
    """
    mean: Scores = {}
    std: Scores = {}
    for task, metric in dict.fromkeys(
        (task, key) for seed in seeds for task, keys in seed.scores.items() for key in keys
    ):
        values = [seed.scores[task][metric] for seed in seeds if metric in seed.scores.get(task, {})]
        summary = spread(values)
        mean.setdefault(task, {})[metric] = summary.mean
        if summary.count > 1:
            std.setdefault(task, {})[metric] = summary.std
    return mean, std


def _unique(where: str, names: list[str]) -> list[str]:
    if not names:
        raise UserError(f"{where} is empty: a report needs at least one")
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{where} holds {name!r} more than once: names must be unique")
    return names


def _check_confusions(row: Row, classes: dict[str, int]) -> None:
    for task, counts in row.confusions.items():
        known(f"task in the confusion matrices of row {row.name!r}", task, classes)
        lengths = [len(line) for line in counts]
        if lengths != [classes[task]] * classes[task] or any(count < 0 for line in counts for count in line):
            raise UserError(
                f"the confusion matrix of task {task!r} of row {row.name!r} must hold counts of {classes[task]} by "
                f"{classes[task]} classes, but has rows of {lengths}"
            )


def _all_known(what: str, used: Any, names: list[str]) -> None:
    for name in used:
        known(what, name, names)
