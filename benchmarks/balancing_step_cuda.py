"""Rate of training steps under every balancer on a GPU.

python benchmarks/balancing_step.py --device cuda --out benchmarks/balancing_step_cuda.md

Steps follow each other without waiting for the device, as in training, and it is waited for once after many; rounds are
interleaved over all rows. Afterwards the operations that make the host wait are counted in one step of each row.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from shared.machine import caption

from frugalmtl.balancing import BALANCERS
from frugalmtl.engine.settings import TrainSettings
from frugalmtl.engine.step import take_step
from frugalmtl.engine.step_timing import StepTimer, noise_batch
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.runs.build import build

BASE = "uniform"
BACKBONE, SIZE, BATCH = "tf_efficientnet_lite0", 128, 32
TASKS: list[str | dict[str, Any]] = [
    {"kind": "segmentation", "classes": 16},
    {"kind": "depth"},
    {"kind": "normals"},
]
HEAD = {"name": "independent", "head": {"name": "hrnet", "width": 64}}
ROUNDS, STEPS = 5, 8
MOST = 1.25
"""Largest ratio to the uniform step that we ask for at the representation."""
BUDGET_S = 62.0
"""No further round begins after so many seconds."""


def on_a_gpu(names: Sequence[str]) -> list[str]:
    """Markdown lines of the table; they are printed too.

    Args:
        names: the balancers that are wanted.
    """
    begin = time.perf_counter()
    torch.backends.cudnn.benchmark = True
    rows = {name: _timer(name) for name in dict.fromkeys([BASE, *names])}
    for timer in rows.values():
        _take(timer, 3)
    torch.cuda.synchronize()
    times: dict[str, list[float]] = {name: [] for name in rows}
    for number in range(ROUNDS):
        if times[BASE] and time.perf_counter() - begin > BUDGET_S:
            break
        order = list(rows)[number % len(rows) :] + list(rows)[: number % len(rows)]
        for name in order:
            times[name].append(_milliseconds(rows[name]))
    waits = {name: _waits(timer) for name, timer in rows.items()}
    lines = [*_heading(len(times[BASE])), *_table(times, waits, rows)]
    print("\n".join(lines), flush=True)
    return lines


def _timer(name: str) -> StepTimer:
    section: dict[str, Any] = {"name": name}
    if "gradients_at" in BALANCERS.schema(name) and "representation" in getattr(BALANCERS.get(name), "levels", ()):
        section["gradients_at"] = "representation"
    built = build(
        Experiment(
            image_size=(SIZE, SIZE),
            tasks=TASKS,
            backbone={"name": "timm", "model": BACKBONE},
            decoder=HEAD,
            balancer=section,
        )
    )
    built.model.to("cuda")
    batch = noise_batch(built.tasks, built.image_size, BATCH)
    return StepTimer.at_stage(built.model, built.balancer, TrainSettings(), batch, update=True)


def _take(timer: StepTimer, steps: int) -> None:
    for _ in range(steps):
        take_step(timer.setup, timer.batches, validation=timer.validation)


def _milliseconds(timer: StepTimer) -> float:
    """Of one step, from many in a row; two before them are not counted."""
    _take(timer, 2)
    torch.cuda.synchronize()
    start = time.perf_counter()
    _take(timer, STEPS)
    torch.cuda.synchronize()
    return 1000.0 * (time.perf_counter() - start) / STEPS


def _waits(timer: StepTimer) -> int:
    """Operations of one step that make the host wait, as far as torch sees them."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            _take(timer, 1)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(item.message) and "prototype" not in str(item.message) for item in seen)


def _heading(rounds: int) -> list[str]:
    return [
        "# Training step by balancer on a GPU",
        "",
        f"{caption('cuda', 'timm', 'torchjd')}; float32 as the "
        f"settings have it by default; medians (and the range) of {rounds} interleaved rounds of {STEPS} steps in a "
        "row with the optimiser's update, the device waited for once after them. "
        f"{BACKBONE}, batch {BATCH}, {SIZE} x {SIZE}, 3 tasks with hrnet heads of 64 channels, hard sharing, noise; "
        "gradients at the representation where the method allows it. Waits: operations of a step that make the host "
        "wait, as far as `torch.cuda.set_sync_debug_mode` sees them, the engine's own check among them; beside it what "
        "the method states of itself. Made by `benchmarks/balancing_step.py --device cuda`.",
        "",
    ]


def _table(times: dict[str, list[float]], waits: dict[str, int], rows: dict[str, StepTimer]) -> list[str]:
    base = statistics.median(times[BASE])
    lines = [
        "| balancer | step ms | range | / uniform | waits | of its own |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    above = []
    for name, values in times.items():
        median = statistics.median(values)
        if median / base > MOST:
            above.append(name)
        lines.append(
            f"| {name} | {median:.1f} | {min(values):.1f} to {max(values):.1f} | {median / base:.2f} | {waits[name]} "
            f"| {rows[name].setup.balancer.host_waits} |"
        )
    return [*lines, "", f"Above {MOST} x the uniform step: {', '.join(above) or 'none'}."]
