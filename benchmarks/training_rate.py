"""Images per second of a training by this library, against a plain PyTorch loop around the same network.

Both train the same network on the same batches by the same optimiser; the plain loop adds the tasks' losses up and
does nothing else: no checks, no log, no checkpoints, no random states. A row is ``train()`` itself from its tenth step
on, with its log. Rows are taken in turns; where others use the CPU, ``--processor-time`` takes them step by step
(sections ``loop`` and ``precision``).

python benchmarks/training_rate.py --out benchmarks/training_rate.md

``--sections`` runs parts of it: ``loop`` (batches lie ready), ``loading`` (batches come from the loader),
``precision``, ``waits`` (of the host for a GPU), ``compile`` (takes minutes: one turn will do).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
import unittest.mock
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from shared.machine import add_device, caption, chosen_device

from frugalmtl.balancing import BALANCERS
from frugalmtl.core.files import write_text
from frugalmtl.core.types import Batch
from frugalmtl.data import Augmentation, Loader, Sample, Transform
from frugalmtl.data.loading import worker_count
from frugalmtl.engine import TrainJob, TrainSettings, train
from frugalmtl.engine.job import EpochLoader
from frugalmtl.engine.step import FiniteCheck, StepSetup, setup
from frugalmtl.engine.step_timing import noise_batch
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.runs.build import Built, build
from frugalmtl.losses import Criterion

TASKS: list[dict[str, object] | str] = [{"kind": "segmentation", "classes": 16}, {"kind": "depth"}, {"kind": "normals"}]
WARM = 10
OnStep = Callable[[int], None]
Row = Callable[[OnStep], None]
"""A training that calls its argument with the number of steps done, after each."""


@dataclass
class Setting:
    """The size of every row, and the device that trains."""

    backbone: str
    batch: int
    pixels: int
    steps: int
    device: torch.device

    def build(self) -> Built:
        """The network, anew."""
        return build(
            Experiment(
                image_size=(self.pixels, self.pixels),
                tasks=TASKS,
                backbone={"name": "timm", "model": self.backbone},
                decoder={"name": "independent", "head": {"name": "hrnet", "width": 64}},
            )
        )


class Ready:
    """The same batch again and again, in page-locked memory where there is a GPU."""

    def __init__(self, batch: Batch, batches: int, device: torch.device) -> None:
        self.batches_per_epoch = batches
        self.batch = batch
        if device.type == "cuda":
            pinned = {
                key: {name: value.pin_memory() for name, value in getattr(batch, key).items()}
                for key in ("targets", "valid")
            }
            self.batch = Batch(batch.image.pin_memory(), pinned["targets"], pinned["valid"], batch.names)

    def epoch(self, _: int, start: int = 0) -> Iterator[Batch]:
        """So many batches."""
        for _ in range(start, self.batches_per_epoch):
            yield self.batch


class Noise:
    """A split of random images and labels, so large in bytes as pictures of rooms."""

    def __init__(self, built: Built, count: int, pixels: int) -> None:
        self.count = count
        self.batch = noise_batch(built.tasks, (pixels, pixels), 16)
        self.images = (self.batch.image * 40 + 128).clamp(0, 255).to(torch.uint8)

    def __len__(self) -> int:
        return self.count

    def load(self, index: int) -> Sample:
        """One of sixteen samples."""
        place = index % len(self.images)
        labels = {name: target[place] for name, target in self.batch.targets.items()}
        return Sample(self.images[place], labels, f"noise {index}")


class Rate:
    """Images per second between the tenth step and the last one."""

    def __init__(self, setting: Setting) -> None:
        self.setting, self.begin, self.rate = setting, 0.0, 0.0

    def __call__(self, done: int) -> None:
        """Look at the clock after a step."""
        if done not in (WARM, self.setting.steps):
            return
        if self.setting.device.type == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        if done == WARM:
            self.begin = now
        else:
            self.rate = self.setting.batch * (self.setting.steps - WARM) / (now - self.begin)


class Turns:
    """Rows that take their steps in turns, each in a thread of its own, timed by the processor time of the process.

    Whatever else the machine does falls on all rows alike.

    Args:
        setting: size and number of steps.
        rows: that many.
    """

    def __init__(self, setting: Setting, rows: int) -> None:
        self.setting = setting
        self.batons = [threading.Semaphore(0) for _ in range(rows)]
        self.times: list[list[float]] = [[] for _ in range(rows)]
        self.begin = 0.0

    def rates(self, rows: Sequence[Row]) -> list[list[float]]:
        """Images per second of every step of every row from the tenth on."""
        threads = [threading.Thread(target=self._take, args=(place, row)) for place, row in enumerate(rows)]
        for thread in threads:
            thread.start()
        self.batons[0].release()
        for thread in threads:
            thread.join()
        return [[self.setting.batch / elapsed for elapsed in times[WARM:]] for times in self.times]

    def _take(self, place: int, row: Row) -> None:
        self.batons[place].acquire()
        self.begin = time.process_time()

        def on_step(done: int) -> None:
            self.times[place].append(time.process_time() - self.begin)
            self.batons[(place + 1) % len(self.batons)].release()
            if done < self.setting.steps:
                self.batons[place].acquire()
                self.begin = time.process_time()

        row(on_step)


def by_library(setting: Setting, loader: EpochLoader, built: Built, on_step: OnStep, **settings: Any) -> None:
    """``train()``."""
    chosen = TrainSettings(
        epochs=1, batch_size=setting.batch, progress="off", accelerator=setting.device.type, **settings
    )
    with tempfile.TemporaryDirectory() as folder:
        train(TrainJob(built.model, built.balancer, chosen, {"train": loader}, Path(folder)), on_step=on_step)


def by_plain_loop(device: torch.device, loader: EpochLoader, built: Built, on_step: OnStep, **options: Any) -> None:
    """A loop as PyTorch's tutorials have it, with channels-last and chosen convolutions."""
    torch.backends.cudnn.benchmark = True
    model = built.model.to(device).to(memory_format=torch.channels_last).train()
    criterion = Criterion(built.tasks)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, weight_decay=1e-4, **options)
    for number, loaded in enumerate(loader.epoch(0), start=1):
        batch = loaded.to(device, non_blocking=True)
        predictions = model(batch.image.contiguous(memory_format=torch.channels_last))
        loss = sum(criterion(predictions, batch).by_task.values(), start=torch.zeros((), device=device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        on_step(number)
    torch.backends.cudnn.benchmark = False


def rows(setting: Setting, sections: list[str]) -> dict[str, dict[str, Row]]:
    """``{section: {row: measurement}}``; the first row of a section is what the others are compared with."""
    noise = noise_batch(setting.build().tasks, (setting.pixels, setting.pixels), setting.batch)
    ready, device = Ready(noise, setting.steps, setting.device), setting.device

    def loading(workers: int) -> Loader:
        built = setting.build()
        split = Noise(built, setting.batch * setting.steps, setting.pixels)
        transform = Transform(built.tasks, (setting.pixels, setting.pixels), Augmentation())
        return Loader(split, transform, batch_size=setting.batch, workers=workers)

    def ours(loader: EpochLoader | None = None, **settings: Any) -> Row:
        return lambda on_step: by_library(setting, loader or ready, setting.build(), on_step, **settings)

    def plain(loader: EpochLoader | None = None, **options: Any) -> Row:
        return lambda on_step: by_plain_loop(device, loader or ready, setting.build(), on_step, **options)

    def balanced(name: str) -> Row:
        built = setting.build()
        balancer = BALANCERS.build(name, built.tasks)
        return lambda on_step: by_library(setting, ready, replace(setting.build(), balancer=balancer), on_step)

    result: dict[str, dict[str, Row]] = {}
    if "loop" in sections:
        unfused = {"name": "adam", "foreach": True} if device.type == "cuda" else {"name": "adam", "fused": False}
        result["the loop; batches lie ready in memory"] = {
            "plain loop, Adam as torch has it": plain(),
            "plain loop, fused Adam": plain(fused=True),
            "frugalmtl": ours(),
            "frugalmtl, Adam not fused": ours(optimizer=unfused),
            "frugalmtl, uncertainty": balanced("uncertainty"),
            "frugalmtl, PCGrad": balanced("pcgrad"),
        }
    if "loading" in sections:
        automatic = worker_count("auto", on_cpu=device.type == "cpu", batches=setting.steps)
        counts = sorted({0, automatic, *([1] if device.type == "cpu" else [2, 4])})
        result[f"with the loader (`auto` is {automatic} here), augmentation by flips"] = {
            f"plain loop, fused Adam, {automatic} workers": plain(loading(automatic), fused=True),
            **{f"frugalmtl, {count} workers": ours(loading(count)) for count in counts},
        }
    if "precision" in sections:
        names = ["32-true", "bf16-mixed", *(["tf32", "16-mixed"] if device.type == "cuda" else [])]
        result["precision"] = {f"frugalmtl, {name}": ours(precision=name) for name in names}
    if "waits" in sections:
        result["what the engine's waits cost"] = {
            "frugalmtl": ours(),
            "the host waits before each update": changed(ours(), setup, "FiniteCheck", waiting),
            "each batch is copied when its step begins": changed(
                ours(), StepSetup, "upcoming", lambda _, groups: groups
            ),
        }
    if "compile" in sections:
        modes: list[bool | str] = [False, True, *(["reduce-overhead"] if device.type == "cuda" else [])]
        result["compile (its time is not counted)"] = {
            f"frugalmtl, compile: {str(mode).lower()}": ours(compile=mode) for mode in modes
        }
    return result


def waiting(optimizer: torch.optim.Optimizer, **_: Any) -> FiniteCheck:
    """The check that waits."""
    return FiniteCheck(optimizer)


def changed(row: Row, owner: Any, name: str, value: Any) -> Row:
    """A row that is measured with something replaced."""

    def measure(on_step: OnStep) -> None:
        with unittest.mock.patch.object(owner, name, value):
            row(on_step)

    return measure


def table(title: str, rates: dict[str, list[float]]) -> list[str]:
    """Markdown table of a section."""
    base = next(iter(rates))
    lines = [f"## {title[0].upper()}{title[1:]}", "", f"| row | images/s | ratio to {base} |", "| --- | ---: | ---: |"]
    for name, values in rates.items():
        ratio = statistics.median(here / there for here, there in zip(values, rates[base], strict=True))
        lines.append(
            f"| {name} | {statistics.median(values):.{0 if statistics.median(values) > 100 else 1}f} | {ratio:.2f} |"
        )
    return [*lines, ""]


def main() -> None:
    """Measure in turns, print the tables, write them if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--sections", nargs="+", help="loop loading precision by default, on a GPU waits too; compile takes minutes"
    )
    parser.add_argument("--backbone", default="tf_efficientnet_lite0")
    parser.add_argument("--batch", type=int, help="8 by default, on a GPU 32")
    parser.add_argument("--pixels", type=int, default=128)
    parser.add_argument("--steps", type=int, help="22 by default, on a GPU 60")
    parser.add_argument("--turns", type=int, help="3 by default, on a GPU 2")
    parser.add_argument("--processor-time", action="store_true", help="step by step in turns, with one thread")
    add_device(parser, "larger batches, more steps, and what the host's waits cost")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    device = chosen_device(arguments)
    on_gpu = device.type == "cuda"
    sections = arguments.sections or ["loop", "loading", "precision", *(["waits"] if on_gpu else [])]
    batch, steps = arguments.batch or (32 if on_gpu else 8), arguments.steps or (60 if on_gpu else 22)
    repeats = arguments.turns or (2 if on_gpu else 3)
    if arguments.processor_time:
        torch.set_num_threads(1)
    setting = Setting(arguments.backbone, batch, arguments.pixels, steps, device)
    turns = "steps taken in turns, by processor time" if arguments.processor_time else f"{repeats} turns"
    head = caption(device, "timm")
    lines = [
        "# Training rate",
        "",
        f"{setting.backbone}, three tasks, HRNet heads, batch {setting.batch}, {setting.pixels} x {setting.pixels}, "
        f"{setting.steps - WARM} steps a measurement, medians of {turns}; on {device.type}. "
        f"{head}. "
        "Made by `benchmarks/training_rate.py`.",
        "",
    ]
    for title, measurements in rows(setting, sections).items():
        if arguments.processor_time:
            taken = Turns(setting, len(measurements)).rates([*measurements.values()])
            rates = dict(zip(measurements, taken, strict=True))
        else:
            rates = {name: [] for name in measurements}
            for number in range(repeats):
                for name, row in measurements.items():
                    rate = Rate(setting)
                    row(rate)
                    rates[name].append(rate.rate)
                    print(f"turn {number}: {name}: {rate.rate:.0f} images/s", file=sys.stderr)
        lines += table(title, rates)
    text = "\n".join(lines)
    print(text)
    if arguments.out:
        write_text(arguments.out, text)


if __name__ == "__main__":
    main()
