"""The typed config of one experiment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, cast

import msgspec

from frugalmtl.backbones import BACKBONES
from frugalmtl.balancing import BALANCERS
from frugalmtl.core.checks import UserError
from frugalmtl.core.names import path_part
from frugalmtl.core.schema.json_schema import Keys, Members
from frugalmtl.data import DATASETS, PRESETS, Augmentation
from frugalmtl.decoders import DECODERS
from frugalmtl.encoders import ENCODERS
from frugalmtl.engine.settings import TrainSettings
from frugalmtl.experiment.config.published import Published
from frugalmtl.tasks import TASKS


@dataclass(frozen=True)
class DatasetTask:
    """A task of the dataset with facts changed.

    Attributes:
        name: the dataset's name of it.
        weight: fixed weight of its loss.
        auxiliary: it helps training, and is neither scored nor deployed.
        primary: key of the score that counts.
        higher_is_better: whether more of that score is better.
    """

    name: str
    weight: float | None = None
    auxiliary: bool | None = None
    primary: str | None = None
    higher_is_better: bool | None = None


@dataclass(frozen=True)
class InitFrom:
    """Another run, and what a training takes from it before it begins.

    Attributes:
        run: run folder or, in a comparison, name of an earlier row.
        take: ``weights`` wherever name and shape agree, the ``structure`` that its method decided on, or both.
        seed: in a comparison, the seed of the earlier row's run that all runs of this row start from (default: each
            starts from the run of its own seed).
    """

    run: str
    take: list[Literal["weights", "structure"]] = field(default_factory=lambda: ["weights"])
    seed: int | None = None

    def __post_init__(self) -> None:
        if not self.run:
            raise UserError("init_from is empty: name a run folder, or leave it out")
        if not self.take:
            raise UserError("'take' is empty: name weights, structure or both, or leave init_from out")


_CLASSES = {"classes": int | tuple[str, ...], "parts": int | tuple[str, ...]}
TaskSection = Annotated[
    dict[str, Any] | str,
    Members(TASKS, key="kind", more={"name": str}, types=_CLASSES, instead=(DatasetTask,)),
]
Preset = Annotated[str, msgspec.Meta(extra_json_schema={"enum": sorted(PRESETS)})]


@dataclass
class Experiment:
    """One network, one training, one seed.

    A section such as ``encoder`` is the name of a member of its registry and its options: ``{name: cross_stitch,
    own: 0.8}``; ``frugalmtl list encoder`` shows them.

    Attributes:
        name: name of the experiment; a run folder is called after it.
        seed: seed of the initial weights, the order of the data and the augmentation.
        data: the dataset and its options; needed for everything but measuring cost.
        tasks: names of the dataset's tasks (default: all of them), each a name or ``{name: ..., weight: ...,
            auxiliary: ...}``. Without ``data``: task sections ``{kind: segmentation, classes: 40}``.
        image_size: height and width that the network sees, one number for both (default: the dataset's own).
        augmentation: preset name or arguments of the training augmentation; ``null`` for none.
        fit: how images of another size are brought to ``image_size``: stretched (the survey's protocol), or cut and
            padded (ATRC's).
        fill: label of corners that an augmentation uncovers: none (``"clean"``), or class 0 (``"reference"``, as in the
            survey's code).
        backbone: the network that turns an image into features, and its options.
        encoder: which features and weights the tasks share, and its options.
        decoder: how features become predictions, and its options.
        balancer: how the tasks' losses or gradients are combined, and its options.
        train: how long and how to optimise.
        latency: file of the times of another machine, as a calibration kit writes it there (``frugalmtl profile
            --calibration-kit``): a budget of time in onnxruntime counts that machine's milliseconds, not this one's.
        init_from: run folder (or, in a comparison, name of an earlier row) whose weights training starts from, wherever
            name and shape agree; how many do, and how many do not, is printed. An unfinished run gives its last
            checkpoint, and its step is printed. A section ``{run: ..., take: [structure]}`` says what is taken: the
            weights, the structure that its method decided on, or both.
        test_split: split that is evaluated at the end.
        evaluate_split: split that is evaluated during training.
        published: published figures that belong to this config; shown beside the measured ones.
    """

    name: str = "experiment"
    seed: int = 0
    data: Annotated[dict[str, Any], DATASETS] | None = None
    tasks: list[TaskSection] | None = None
    image_size: int | tuple[int, int] | None = None
    augmentation: Annotated[dict[str, Any], Keys(Augmentation)] | Preset | None = None
    fit: Literal["resize", "pad"] = "resize"
    fill: Literal["clean", "reference"] = "clean"
    backbone: Annotated[dict[str, Any], BACKBONES] = field(
        default_factory=lambda: {"name": "timm", "model": "resnet18"}
    )
    encoder: Annotated[dict[str, Any], ENCODERS] = field(default_factory=lambda: {"name": "hard_sharing"})
    decoder: Annotated[dict[str, Any], DECODERS] = field(default_factory=lambda: {"name": "independent"})
    balancer: Annotated[dict[str, Any], BALANCERS] = field(default_factory=lambda: {"name": "fixed"})
    train: TrainSettings = field(default_factory=TrainSettings)
    latency: str | None = None
    init_from: InitFrom | str | None = None
    test_split: str = "test"
    evaluate_split: str = "val"
    published: list[Published] | Published | None = None

    def __post_init__(self) -> None:
        path_part("name", self.name)
        if self.latency == "":
            raise UserError("latency is empty: name a latency file, or leave it out")
        if self.init_from == "":
            raise UserError("init_from is empty: name a run folder, or leave it out")
        if isinstance(self.image_size, int):  # kept as the two numbers that it stands for: the same run either way
            object.__setattr__(self, "image_size", (self.image_size, self.image_size))

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width that the network sees, where they are stated."""
        return None if self.image_size is None else cast(tuple[int, int], self.image_size)

    @property
    def start(self) -> InitFrom | None:
        """What the training starts from, whichever way it is written."""
        return InitFrom(self.init_from) if isinstance(self.init_from, str) else self.init_from

    def published_rows(self) -> list[Published]:
        """The published figures as a list."""
        rows = self.published or []
        return [rows] if isinstance(rows, Published) else rows
