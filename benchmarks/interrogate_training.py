"""What a training step of InterroGate costs, in the form of the paper's table 11: forward and backward over plain MTL.

python benchmarks/interrogate_training.py --out benchmarks/interrogate_training.md

Rounds are interleaved over all rows of a table; read the ratios. Half of all gates are open, at random, in widths that
are multiples of 8; while gates learn all branches are computed all the same.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from interrogate_latency import random_gates
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from frugalmtl.balancing import ForwardPass
from frugalmtl.core.files import write_text
from frugalmtl.core.types import Batch
from frugalmtl.deployment import plan_encoder
from frugalmtl.encoders.interrogate import InterroGate
from frugalmtl.engine.regime import build_optimizer
from frugalmtl.engine.settings import TrainSettings
from frugalmtl.evaluation.cost.latency import rotation
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.measure.training_cost import noise_batch
from frugalmtl.experiment.runs.build import Built, build
from frugalmtl.experiment.runs.environment import environment, hardware
from frugalmtl.losses import Criterion
from frugalmtl.model import MultiTaskModel

PASCAL: list[dict[str, object] | str] = [
    {"kind": "segmentation", "classes": 21},
    {"kind": "normals"},
    {"kind": "saliency"},
    {"kind": "edges"},
    {"kind": "human_parts", "parts": 7},
]
"""The first three, four or five are taken."""
MULTIPLE = 8
GATED: dict[str, object] = {"name": "interrogate", "multiple": MULTIPLE, "pretrain_share": 0.0, "frozen_share": 0.5}
HARD, LEARNING, FROZEN = "hard sharing (MTL)", "InterroGate, gates learn", "InterroGate, gates frozen"
ROWS: dict[str, dict[str, Any]] = {
    HARD: {},
    "single-task networks": {"encoder": {"name": "single_task"}},
    "cross-stitch": {"encoder": {"name": "cross_stitch"}},
    LEARNING: {"encoder": GATED},
    FROZEN: {"encoder": GATED},
    "hard sharing, PCGrad at the representation": {"balancer": {"name": "pcgrad"}},
}
EVERY = 16
COLUMNS = ("forward", "backward", "step", "with update")
EPOCHS = 4
"""Of a stage: gates learn in the first half and are frozen in the last one."""
OWN = 0.5
"""Share of open gates."""
EXPECTED = 1.6
"""Largest ratio to hard sharing that we ask of a step with three tasks."""


@dataclass(frozen=True)
class Setting:
    """One table.

    Attributes:
        title: what it is.
        backbone: section of the backbone.
        head: section of the head.
        batch: images of a step.
    """

    title: str
    backbone: dict[str, Any]
    head: dict[str, Any]
    batch: int


SETTINGS = {
    "pascal": Setting(
        "ResNet-18 at output stride 8, aspp heads",
        {"name": "timm", "model": "resnet18", "output_stride": 8},
        {"name": "aspp"},
        4,
    ),
    "light": Setting(
        "ResNet-18 at stride 32, hrnet heads of 64 channels",
        {"name": "timm", "model": "resnet18"},
        {"name": "hrnet", "width": 64},
        8,
    ),
}


@dataclass
class Row:
    """The objects of one row, the share of the stage that is done, and the seconds of every round."""

    built: Built
    settings: TrainSettings
    done: float
    forward: list[float] = field(default_factory=list)
    backward: list[float] = field(default_factory=list)
    update: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stage = self.built.model.recipe()[-1]
        self.criterion = Criterion(self.built.tasks)
        self.optimizer = build_optimizer(self.built.model, self.built.balancer, self.stage, self.settings)

    def step(self, batch: Batch) -> None:
        """One step as the engine takes it."""
        model, balancer = self.built.model, self.built.balancer
        begin = time.perf_counter()
        model.enter_step(self.done)
        cut = balancer.cut()
        predictions = model(batch.image, cut)
        losses = self.criterion(predictions, batch)
        terms = [predictions.penalties[name] * weight for name, weight in self.stage.penalties.items()]
        penalty = torch.stack(terms).sum() if terms else None
        middle = time.perf_counter()
        balancer.backward(ForwardPass(model, losses.by_task, penalty, cut, Tensor.backward))
        end = time.perf_counter()
        self.optimizer.step()
        after = time.perf_counter()
        self.forward.append(middle - begin)
        self.backward.append(end - middle)
        self.update.append(after - end)
        self.optimizer.zero_grad(set_to_none=True)

    def medians(self) -> list[float]:
        """Milliseconds of forward, backward, both, and both with the update, without the first round."""
        rounds = list(zip(self.forward, self.backward, self.update, strict=True))[1:]
        sums = [(ahead, back, ahead + back, ahead + back + update) for ahead, back, update in rounds]
        return [1000 * statistics.median(column) for column in zip(*sums, strict=True)]


def row(name: str, setting: Setting, tasks: int, size: int) -> Row:
    """A model in the middle of its training."""
    config = Experiment(
        image_size=(size, size),
        tasks=PASCAL[:tasks],
        backbone=setting.backbone,
        decoder={"name": "independent", "head": setting.head},
    )
    for key, section in ROWS[name].items():
        setattr(config, key, section)
    built, settings = build(config), TrainSettings()
    model = built.model.to(memory_format=settings.memory_format).train()
    plan_encoder(model, (size, size))
    model.enter_stage(model.recipe()[-1].name)
    if isinstance(model.encoder, InterroGate):
        random_gates(model.encoder, OWN)
    epoch = EPOCHS - 1 if name == FROZEN else 0
    model.enter_epoch(epoch, EPOCHS)
    model.enter_step(epoch / EPOCHS)
    if isinstance(model.encoder, InterroGate) and model.encoder.frozen != (name == FROZEN):
        raise RuntimeError("gates are frozen in another epoch than was thought")
    return Row(built, settings, epoch / EPOCHS)


def giga_macs(model: MultiTaskModel, image: Tensor) -> float:
    """Multiply-adds per image of a training forward pass, in 10^9; moves the running statistics."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(image)
    return float(counter.get_total_flops()) / 2e9 / len(image)


def table(setting: Setting, tasks: int, size: int, rounds: int, batch: int) -> list[str]:
    """Markdown lines of one interleaved run."""
    rows = {name: row(name, setting, tasks, size) for name in ROWS}
    sample = noise_batch(rows[HARD].built.tasks, (size, size), batch)
    sample.image = sample.image.contiguous(memory_format=TrainSettings().memory_format)
    macs = {name: giga_macs(timed.built.model, sample.image) for name, timed in rows.items()}
    for number in range(rounds + 1):
        for name in rotation(list(rows), number):
            rows[name].step(sample)
    medians = {name: timed.medians() for name, timed in rows.items()}
    base = medians[HARD]
    lines = [
        f"## {setting.title}, {tasks} tasks, batch {batch}, {size} x {size}",
        "",
        "| method | GMAC | forward ms | backward ms | step ms | with update ms "
        "| GMAC / MTL | forward / MTL | backward / MTL | step / MTL | with update / MTL |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, values in medians.items():
        cells = [f"{macs[name]:.2f}", *(f"{value:.0f}" for value in values), f"{macs[name] / macs[HARD]:.2f}"]
        cells += [f"{value / other:.2f}" for value, other in zip(values, base, strict=True)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    if LEARNING in medians and FROZEN in medians:
        pairs = zip(medians[LEARNING], medians[FROZEN], strict=True)
        rare = [(one + (EVERY - 1) * other) / EVERY for one, other in pairs]
        ratios = ", ".join(f"{what} {value / of:.2f}" for what, value, of in zip(COLUMNS, rare, base, strict=True))
        lines += [
            "",
            f"With `gate_every: {EVERY}` one step in {EVERY} learns gates and the others run what the gates leave; the "
            f"mean of the two rows, so weighed, over MTL: {ratios}.",
        ]
    return [*lines, ""]


def main() -> None:
    """Measure, print and optionally write the tables."""
    parser = argparse.ArgumentParser(description="Training steps of InterroGate against plain hard sharing.")
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=list(SETTINGS), help="tables")
    parser.add_argument("--tasks", nargs="+", type=int, choices=[2, 3, 4, 5], default=[3], help="numbers of tasks")
    parser.add_argument("--batch", type=int, help="images of a step; that of the setting if not given")
    parser.add_argument("--size", type=int, default=256, help="height and width of the images in pixels")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds, of which the median is taken")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    parser.add_argument("--out", help="file for the markdown tables")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    facts = environment()
    versions = ", ".join(f"{name} {facts['versions'][name]}" for name in ("torch", "timm", "torchjd"))
    head = [
        "# Training step of InterroGate",
        "",
        f"{hardware(facts)}, load {os.getloadavg()[0]:.1f} at the start; {versions}; float32, channels-last; medians "
        f"of {options.rounds} interleaved rounds after one that is not counted; without data loading. GMAC: 10^9 "
        "multiply-adds of convolutions in the forward pass of one image, as it is run. Forward includes the losses; "
        "step is forward and backward; the update is that of the run's and the gates' optimisers. Made by "
        "`benchmarks/interrogate_training.py`.",
        "",
        f"PASCAL-Context's tasks. InterroGate: half of all gates open at random, widths rounded to multiples of "
        f"{MULTIPLE}. When gates learn, all branches are computed; when they do not, what they leave. We ask for "
        f"a step of at most {EXPECTED} x plain MTL with three tasks. The paper's figures (V100, batch 4, PASCAL, five "
        "tasks; forward / backward ms): MTL 60 / 299, InterroGate 76-119 / 324-426, cross-stitch 132 / 454, PCGrad "
        "60 / 495.",
        "",
    ]
    print("\n".join(head))
    lines: list[str] = []
    for name in options.settings:
        for tasks in options.tasks:
            setting = SETTINGS[name]
            part = table(setting, tasks, options.size, options.rounds, options.batch or setting.batch)
            print("\n".join(part), flush=True)
            lines += part
            gc.collect()
    if options.out:
        write_text(options.out, "\n".join([*head, *lines]).rstrip() + "\n")


if __name__ == "__main__":
    main()
