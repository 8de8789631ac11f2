"""Config -> objects: the one place where rooms are wired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from frugalmtl.backbones import BACKBONES, Backbone
from frugalmtl.balancing import BALANCERS, SCALARIZERS, Balancer
from frugalmtl.core.checks import UserError, known, shown
from frugalmtl.core.names import task_name
from frugalmtl.core.schema import parameters, read_arguments
from frugalmtl.core.seeding import derive_seed, seed_everything
from frugalmtl.data import DATASETS, Dataset
from frugalmtl.data.files import Exif
from frugalmtl.decoders import DECODERS
from frugalmtl.decoders.heads import HEADS
from frugalmtl.deployment.elsewhere import LatencyFile, NetworkKind
from frugalmtl.encoders import ENCODERS
from frugalmtl.evaluation import METRICS
from frugalmtl.experiment.config.experiment import DatasetTask, Experiment
from frugalmtl.experiment.config.points import points_of
from frugalmtl.model import MultiTaskModel
from frugalmtl.tasks import Task, make_task

CHANGEABLE = ("weight", "auxiliary", "primary", "higher_is_better")
"""Facts of a dataset's task that an experiment may change."""


@dataclass
class Built:
    """The objects of an experiment.

    Attributes:
        tasks: what is predicted.
        backbone: facts of the backbone the encoder was made from (normalisation, size divisor); not trained itself.
        model: encoder + decoder.
        balancer: how losses or gradients are combined.
        image_size: height and width that the network sees.
        exif: whether its images are turned as their EXIF says.
        latency: the file that a budget of time is held against; None for this machine.
    """

    tasks: tuple[Task, ...]
    backbone: Backbone
    model: MultiTaskModel
    balancer: Balancer
    image_size: tuple[int, int]
    exif: Exif = "apply"
    latency: LatencyFile | None = None


def build_dataset(config: Experiment) -> Dataset:
    """The dataset of an experiment.

    Raises:
        UserError: the config has no ``data`` section, or it does not fit.
    """
    if config.data is None:
        raise UserError(f"experiment {config.name!r} has no section 'data': add one (see 'frugalmtl list data')")
    dataset: Dataset = DATASETS.build(config.data)
    return dataset


def build_tasks(config: Experiment, dataset: Dataset | None) -> tuple[Task, ...]:
    """The tasks of an experiment: the dataset's (all, or those named), or made from sections where there is no dataset.

    Raises:
        UserError: an unknown task, a name given twice, or nothing to predict.
    """
    if dataset is None:
        if not config.tasks:
            raise UserError(f"experiment {config.name!r} has neither 'data' nor 'tasks': add one of them")
        tasks = tuple(_task_from_section(section) for section in config.tasks)
    elif config.tasks is None:
        tasks = dataset.tasks
    else:
        tasks = tuple(_dataset_task(section, dataset.tasks) for section in config.tasks)
    for task in tasks:
        check_task(task)
    if not tasks:
        raise UserError("'tasks' is empty: name at least one task, or leave the key out for all of the dataset's")
    names = [task.name for task in tasks]
    if len(set(names)) != len(names):
        raise UserError(f"each task may stand once under 'tasks', but got {names}")
    if all(task.auxiliary for task in tasks):
        raise UserError(f"at least one task must not be auxiliary, but all of {names} are")
    return tasks


def check_task(task: Task) -> None:
    """Check that a task's name is one that modules and files can carry, its weight one that can be minimised, and that
    the score that counts exists.

    Raises:
        UserError: one of them is not so.
    """
    task_name(task.name)
    if not (isinstance(task.weight, int | float) and task.weight >= 0):
        raise UserError(f"the weight of task {task.name!r} must be 0 or more, but got {task.weight!r}")
    if not (isinstance(task.auxiliary, bool) and isinstance(task.higher_is_better, bool)):
        raise UserError(f"'auxiliary' and 'higher_is_better' of task {task.name!r} must be true or false")
    keys = {key: higher for spec in task.metrics for key, higher in METRICS.build(spec).directions.items()}
    known(f"score as primary of task {task.name!r}:", task.primary, keys)


def _task_from_section(section: Mapping[str, Any] | str) -> Task:
    if isinstance(section, str):
        raise UserError(
            f"task {section!r}: without a dataset a task is a section such as {{kind: depth}}; add 'data' or 'kind'"
        )
    name = section.get("name")
    if name is not None and not isinstance(name, str):
        raise UserError(f"the name of a task must be a text, but got {shown(name)}")
    return make_task({key: value for key, value in section.items() if key != "name"}, name)


def task_records(tasks: Sequence[Task]) -> list[dict[str, Any]]:
    """Tasks as plain values that :func:`tasks_from_records` reads back."""
    return [
        {"section": dict(task.section), "name": task.name, **{key: getattr(task, key) for key in CHANGEABLE}}
        for task in tasks
    ]


def tasks_from_records(records: Sequence[Mapping[str, Any]]) -> tuple[Task, ...]:
    """The tasks that :func:`task_records` wrote down."""
    return tuple(
        replace(_task_from_section(record["section"]), **{key: record[key] for key in ("name", *CHANGEABLE)})
        for record in records
    )


def _dataset_task(section: Mapping[str, Any] | str, tasks: Sequence[Task]) -> Task:
    changes: dict[str, Any] = {} if isinstance(section, str) else dict(section)
    name = section if isinstance(section, str) else changes.pop("name", None)
    if name is None:
        raise UserError(
            f"task section {shown(section)} lacks 'name': with a dataset a task is one of "
            f"{', '.join(task.name for task in tasks)}, given by its name"
        )
    if not isinstance(name, str):
        raise UserError(f"the name of a task must be a text, but got {shown(name)}")
    known("task of the dataset:", name, [task.name for task in tasks])
    accepted = {key: item for key, item in parameters(DatasetTask, positional=True).items() if key in CHANGEABLE}
    changes = read_arguments(f"task {name!r}", accepted, changes)
    kept = {key: value for key, value in changes.items() if value is not None}
    return replace(next(task for task in tasks if task.name == name), **kept)


def check(config: Experiment) -> None:
    """Check every section's name, keys and types without building or loading anything.

    Raises:
        UserError: the first thing that does not fit.
    """
    if config.data is not None:
        DATASETS.check(config.data)
    BACKBONES.check(config.backbone)
    points_of(config.encoder)
    decoder = DECODERS.check(config.decoder)
    for head in [decoder.args.get("head"), *(decoder.args.get("heads") or {}).values()]:
        if head is not None:
            HEADS.check(head)
    losses = BALANCERS.check(config.balancer).args.get("losses")
    if losses is not None:
        SCALARIZERS.check(losses)


def build(config: Experiment, dataset: Dataset | None = None, *, tasks: tuple[Task, ...] | None = None) -> Built:
    """Everything of an experiment but its data.

    Args:
        config: the experiment.
        dataset: gives tasks and image size; ``None`` if the config does.
        tasks: what is predicted, if it is decided already.

    Raises:
        UserError: a section does not fit, or the image size does not suit the backbone.
    """
    check(config)
    tasks = tasks or build_tasks(config, dataset)
    seed_everything(derive_seed(config.seed, "weights"))
    size = _image_size(config, dataset)
    backbone: Backbone = BACKBONES.build(config.backbone, size)
    _require_size(size, backbone)
    names = tuple(task.name for task in tasks)
    encoder = ENCODERS.build(config.encoder, backbone, names)
    decoder = DECODERS.build(config.decoder, encoder.channels, encoder.strides, tasks)
    model = MultiTaskModel(encoder, decoder, tasks)
    model.begin_predictions()
    balancer: Balancer = BALANCERS.build(config.balancer, tasks)
    balancer.attach(model)
    exif = "apply" if dataset is None else dataset.exif
    latency = None if config.latency is None else LatencyFile(config.latency, network_kind(config, tasks, size))
    return Built(tasks, backbone, model, balancer, size, exif, latency)


def network_kind(config: Experiment, tasks: Sequence[Task], image_size: tuple[int, int]) -> NetworkKind:
    """What the times of an experiment's networks depend on, but for what its method decides."""
    backbone, decoder = (
        shown({key: section[key] for key in sorted(section)}, room=200)
        for section in (without_weights(config).backbone, config.decoder)
    )
    channels = {task.name: task.channels for task in tasks if not task.auxiliary}
    return NetworkKind(image_size, config.encoder["name"], backbone, decoder, channels)


def _image_size(config: Experiment, dataset: Dataset | None) -> tuple[int, int]:
    size = config.size or (dataset.image_size if dataset is not None else None)
    if size is None:
        raise UserError(f"experiment {config.name!r} needs 'image_size: [height, width]'")
    return size


def _require_size(size: tuple[int, int], backbone: Backbone) -> None:
    divisor = backbone.size_divisor
    if any(length <= 0 or length % divisor for length in size):
        fitting = [max(divisor, round(length / divisor) * divisor) for length in size]
        raise UserError(
            f"image_size {list(size)} must be multiples of {divisor} for this backbone: for example {fitting}"
        )
    if backbone.image_size not in (None, size):
        raise UserError(
            f"image_size {list(size)} must be {list(backbone.image_size)} for this backbone, which takes no other"
        )


def without_weights(config: Experiment) -> Experiment:
    """The experiment with random initial weights, for where they do not matter."""
    options = {key: value for key, value in config.backbone.items() if key not in ("weights", "pretrained")}
    return replace(config, backbone=options)
