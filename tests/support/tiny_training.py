"""Tiny networks and data for trainings of seconds: batch norm, dropout, stages, hooks, penalties."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from frugalmtl.balancing import BALANCERS, Balancer
from frugalmtl.core.recipe import ParameterGroup, Stage
from frugalmtl.core.seeding import derive_seed, seed_everything
from frugalmtl.core.types import Auxiliary, Batch, Features, Predictions, Scores
from frugalmtl.decoders import Decoder
from frugalmtl.encoders import Encoder
from frugalmtl.encoders.base import consecutive_pyramids, wanted_of
from frugalmtl.engine import TrainJob, TrainSettings, train
from frugalmtl.losses import task_losses
from frugalmtl.model import MultiTaskModel
from frugalmtl.tasks import TASKS, Task

Pyramids = dict[str, list[Tensor]]
Wanted = Collection[str] | None


@cache
def tasks() -> tuple[Task, ...]:
    """Three tasks of different losses and weights."""
    return (
        TASKS.build({"name": "segmentation", "classes": ["a", "b", "c"]}),
        TASKS.build("depth"),
        TASKS.build("edges"),
    )


def block(inputs: int, outputs: int, *, norm: bool = True) -> nn.Sequential:
    middle: list[nn.Module] = [nn.BatchNorm2d(outputs)] if norm else []
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), *middle, nn.ReLU())


class Shared(Encoder):
    """One trunk for all."""

    def __init__(self, names: tuple[str, ...], *, norm: bool = True, dropout: float = 0.2) -> None:
        super().__init__()
        self.task_names, self.channels, self.strides = names, [4], [1]
        self.trunk = nn.Sequential(block(3, 4, norm=norm), nn.Dropout(dropout), block(4, 4, norm=norm))

    def encode(self, image: Tensor, tasks: Wanted = None) -> list[Tensor]:
        return [self.trunk(image)] if wanted_of(self.task_names, tasks) else []

    def branch(self, shared: list[Tensor], tasks: Wanted = None) -> Features:
        return Features(dict.fromkeys(wanted_of(self.task_names, tasks), shared))


class Apart(Encoder):
    """One trunk per task."""

    def __init__(self, names: tuple[str, ...], *, norm: bool = True, dropout: float = 0.2) -> None:
        super().__init__()
        self.task_names, self.channels, self.strides = names, [4], [1]
        self.trunks = nn.ModuleDict({name: Shared(names, norm=norm, dropout=dropout).trunk for name in names})

    def encode(self, image: Tensor, tasks: Wanted = None) -> list[Tensor]:
        return [self.trunks[name](image) for name in wanted_of(self.task_names, tasks)]

    def branch(self, shared: list[Tensor], tasks: Wanted = None) -> Features:
        return Features(consecutive_pyramids(shared, wanted_of(self.task_names, tasks), 1))


class Stitched(Encoder):
    """One trunk per task that exchange features in a second stage; an epoch hook that draws; a penalty."""

    def __init__(self, names: tuple[str, ...], *, norm: bool = True, dropout: float = 0.2) -> None:
        super().__init__()
        self.task_names, self.channels, self.strides = names, [4], [1]
        self.first = nn.ModuleDict({name: block(3, 4, norm=norm) for name in names})
        self.second = nn.ModuleDict({name: block(4, 4, norm=norm) for name in names})
        self.units = nn.Parameter(torch.eye(len(names)))
        self.dropout = nn.Dropout(dropout)
        self.exchanging = False
        self.temperature = 1.0
        self.register_buffer("policy", torch.ones(len(names)))
        self.policy: Tensor

    def encode(self, image: Tensor, tasks: Wanted = None) -> list[Tensor]:
        wanted = wanted_of(self.task_names, tasks)
        running = self.task_names if self.exchanging and wanted else wanted
        states = {name: self.first[name](image) for name in running}
        if self.exchanging and wanted:
            mixed = torch.einsum("ij,jbchw->ibchw", self.units, torch.stack([*states.values()]))
            states = dict(zip(running, mixed, strict=True))
        policy = dict(zip(self.task_names, self.policy, strict=True))
        return [self.second[name](self.dropout(states[name])) * policy[name] * self.temperature for name in wanted]

    def branch(self, shared: list[Tensor], tasks: Wanted = None) -> Features:
        by_task = consecutive_pyramids(shared, wanted_of(self.task_names, tasks), 1)
        return Features(by_task, {"size": self.units.square().mean()}, {"units": self.units.detach()})

    def recipe(self) -> tuple[Stage, ...]:
        return (
            Stage("apart", 0.5, frozen=("encoder.units",)),
            Stage(
                "together",
                0.5,
                frozen=("encoder.first.*",),
                groups=(ParameterGroup("encoder.units", lr_factor=100.0, weight_decay=0.0),),
                penalties={"size": 0.1},
            ),
        )

    def enter_stage(self, stage: str) -> None:
        self.exchanging = stage == "together"
        if self.exchanging:  # a stage may start from values made of the weights of the one before
            with torch.no_grad():
                self.units += (
                    0.01 * torch.randn_like(self.units) + 0.01 * self.first[self.task_names[0]][0].weight.mean()
                )

    def enter_epoch(self, epoch: int, epochs: int) -> None:
        self.temperature = 1.0 / (1 + epoch)
        self.policy.copy_(0.5 + torch.rand(len(self.policy)))


class Gated(Stitched):
    """Its units train by an optimiser of their own at a constant rate, in the second stage and the third."""

    GATES = ParameterGroup(
        "encoder.units",
        optimizer={"name": "sgd", "lr": 0.1, "momentum": 0.5, "weight_decay": 0.0},
        scheduled=False,
    )

    def recipe(self) -> tuple[Stage, ...]:
        return (
            Stage("apart", 0.25, frozen=("encoder.units",)),
            Stage("together", 0.5, groups=(self.GATES, ParameterGroup("encoder.*", 0.5)), penalties={"size": 0.1}),
            Stage("together", 0.25, frozen=("encoder.first.*",), groups=(self.GATES,)),
        )


class Heads(Decoder):
    """One convolution per task and an auxiliary prediction for the first."""

    def __init__(self, channels: int, tasks: tuple[Task, ...]) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({task.name: nn.Conv2d(channels, task.channels, 1) for task in tasks})
        self.initial = nn.Conv2d(channels, tasks[0].channels, 1)
        self.first = tasks[0].name

    def forward(self, features: Pyramids, size: tuple[int, int]) -> Predictions:
        auxiliary = {"initial": Auxiliary({self.first: self.initial(features[self.first][0])})}
        return Predictions({name: head(features[name][0]) for name, head in self.heads.items()}, auxiliary)


ENCODERS = {"shared": Shared, "apart": Apart, "stitched": Stitched, "gated": Gated}


def build_model(encoder: str = "shared", *, norm: bool = True, dropout: float = 0.2) -> MultiTaskModel:
    """A model with fixed initial weights."""
    seed_everything(derive_seed(7, "weights"))
    chosen = tasks()
    encoder_module = ENCODERS[encoder](tuple(task.name for task in chosen), norm=norm, dropout=dropout)
    return MultiTaskModel(encoder_module, Heads(4, chosen), chosen)


def build_batch(seed: int, size: int = 2, *, holes: bool = True) -> Batch:
    """Random images and labels that depend on the seed alone."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    valid = {task.name: (draw(size, 6, 6) > 0.2) | (not holes) for task in tasks()}
    targets = {
        "segmentation": (draw(size, 6, 6) * 3).long(),
        "depth": draw(size, 1, 6, 6) * 5,
        "edges": (draw(size, 1, 6, 6) > 0.7).float(),
    }
    return Batch(draw(size, 3, 6, 6), targets, valid, [f"sample {seed}.{index}" for index in range(size)])


class TinyLoader:
    """Batches that depend on (epoch, index) alone, from a loader that draws from the global generators meanwhile."""

    def __init__(
        self,
        batches: int = 5,
        size: int = 2,
        *,
        rank: int = 0,
        world: int = 1,
        holes: bool = True,
        first: int = 0,
    ) -> None:
        self.batches_per_epoch, self.size, self.first = batches, size, first
        self.rank, self.world, self.holes = rank, world, holes

    def epoch(self, index: int, start: int = 0) -> Iterator[Batch]:
        torch.rand(3)  # as torch's own DataLoader does when it is opened
        for number in range(start, self.batches_per_epoch):
            torch.rand(1)
            whole = build_batch(derive_seed(index, self.first + number), self.size * self.world, holes=self.holes)
            part = slice(self.rank * self.size, (self.rank + 1) * self.size)
            yield Batch(
                whole.image[part],
                {name: value[part] for name, value in whole.targets.items()},
                {name: value[part] for name, value in whole.valid.items()},
                whole.names[part],
                whole.tasks,
            )


class SpoiledLoader(TinyLoader):
    """The third batch of the second epoch holds a depth that is no number."""

    def epoch(self, index: int, start: int = 0) -> Iterator[Batch]:
        for number, batch in enumerate(super().epoch(index, start), start=start):
            if (index, number) == (1, 2):
                batch.targets["depth"][1, 0, 3, 3] = float("nan")
                batch.valid["depth"][1, 3, 3] = True
                batch.names[1] = "spoiled.png"
            yield batch


class Scored:
    """Measures of a tiny training.

    Args:
        score: gives the scores of a model, on whatever.
        streams: samples of each stream, in batches.
    """

    def __init__(
        self, score: Callable[[MultiTaskModel], Scores], streams: Mapping[str, Sequence[Batch]] | None = None
    ) -> None:
        self.score, self.streams = score, dict(streams or {})

    def evaluate(self, model: MultiTaskModel) -> Scores:
        return self.score(model)

    def batches(self, stream: str) -> Sequence[Batch]:
        return self.streams[stream]

    def scores(self, model: MultiTaskModel, stream: str) -> Scores:
        """Losses on the stream, lower ones better."""
        model.eval()
        with torch.no_grad():
            rows = [task_losses(model(batch.image), batch, tasks()) for batch in self.streams[stream]]
        return {name: {"loss": float(sum(float(row[name]) for row in rows) / len(rows))} for name in rows[0]}

    def gain(self, scores: Scores, reference: Scores) -> float:
        changes = [1.0 - value["loss"] / reference[name]["loss"] for name, value in scores.items()]
        return sum(changes) / len(changes)

    def macs(self, model: MultiTaskModel) -> float:
        return float(sum(parameter.numel() for parameter in model.parameters()))

    def latency(self, model: MultiTaskModel, decisions: Sequence[Callable[[], None]] = ()) -> list[float]:
        times = []
        for decide in decisions or (lambda: None,):
            decide()
            times.append(self.macs(model) / 1e6)
        return times


def build_balancer(section: str | dict[str, Any] = "fixed") -> Balancer:
    balancer: Balancer = BALANCERS.build(section, tasks())
    return balancer


def run(
    folder: Path, encoder: str = "shared", balancer: str | dict[str, Any] = "fixed", **more: Any
) -> tuple[MultiTaskModel, Balancer, Any]:
    """Train a tiny model; settings, fields of the job and arguments of ``train`` by keyword."""
    names = set(TrainSettings.__dataclass_fields__)
    settings = TrainSettings(**{**DEFAULTS, **{key: value for key, value in more.items() if key in names}})
    rest = {key: value for key, value in more.items() if key not in names}
    model, weights = build_model(encoder), build_balancer(balancer)
    streams = {"train": rest.pop("loader", TinyLoader())}
    streams |= {"validation": rest.pop("validation")} if "validation" in rest else {}
    facts = {key: rest.pop(key) for key in ("seed", "identity") if key in rest}
    facts |= {"measures": Scored(rest.pop("evaluate"))} if "evaluate" in rest else {}
    return model, weights, train(TrainJob(model, weights, settings, streams, folder, **facts), **rest)


DEFAULTS: dict[str, Any] = {
    "epochs": 4,
    "batch_size": 2,
    "optimizer": {"name": "sgd", "lr": 0.01},
    "accelerator": "cpu",
    "log_every": 1,
}


def weights_of(model: nn.Module, balancer: nn.Module) -> dict[str, Tensor]:
    """Everything that is learned or counted."""
    return {**model.state_dict(), **{f"balancer.{name}": value for name, value in balancer.state_dict().items()}}


class Interrupted(Exception):  # noqa: N818  # it is no error
    """Stands for whatever ends a process."""


def stop_after(step: int) -> Any:
    def stop(done: int) -> None:
        if done == step:
            raise Interrupted

    return stop
