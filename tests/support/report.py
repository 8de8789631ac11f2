"""Comparison for the report's tests: five rows, four tasks, random numbers and small random pictures."""

from __future__ import annotations

import copy
import itertools
import math
from pathlib import Path

import numpy as np
import torch

from frugalmtl.report import (
    Cost,
    Epoch,
    Latency,
    Protocol,
    PublishedRow,
    Results,
    Row,
    RowCost,
    SeedResult,
    Shown,
    TaskInfo,
    make_panels,
    summarise_seeds,
)
from frugalmtl.report.pictures import Drawing, drawings
from frugalmtl.report.write import render_page
from frugalmtl.tasks.base import Task
from frugalmtl.tasks.classification import classification
from frugalmtl.tasks.depth import depth
from frugalmtl.tasks.normals import normals
from frugalmtl.tasks.segmentation import segmentation

ATTRIBUTES = ("lamp", "window", "carpet", "mirror")
UNITS = {"miou": "%", "rmse": "m", "mean": "°", "accuracy": "%"}
TYPICAL = {"miou": 46.0, "rmse": 0.61, "mean": 21.0, "accuracy": 88.0}
ROWS = (
    # name, title, encoder, decoder, gain in %, G MACs as trained, G MACs deployed, ms
    ("single", "Single-task networks", "single_task", "independent", 0.0, 68.0, 68.0, 92.0),
    ("hard", "Hard sharing", "hard_sharing", "independent", -2.4, 24.0, 24.0, 31.0),
    ("mtinet", "MTI-Net", "hard_sharing", "mti_net", 1.6, 41.0, 39.5, 58.0),
    ("gated", "InterroGate, light", "interrogate", "independent", -0.4, 70.0, 27.5, 36.0),
    ("gated_large", "InterroGate + MTI-Net + CAGrad", "interrogate", "mti_net", 2.3, 85.0, 46.0, 71.0),
)


def room_tasks() -> tuple[Task, ...]:
    return (
        segmentation(classes=("floor", "wall", "bed", "chair", "table")),
        depth(),
        normals(),
        classification(classes=ATTRIBUTES),
    )


def _room(generator: np.random.Generator, size: tuple[int, int]) -> dict[str, torch.Tensor]:
    """Blocks in front of a wall: image, classes, metres and directions that belong together."""
    height, width = size
    rows, across = np.mgrid[:height, :width] / max(size)
    classes = (rows > 0.45).astype(np.int64) ^ 1
    metres = np.where(classes == 1, 4.0, 4.5 - 4.5 * rows) + 0.1 * across
    direction = np.where(classes[None] == 1, np.array([0, 0, 1.0])[:, None, None], np.array([0, 1.0, 0])[:, None, None])
    for label in (2, 3, 4):
        top, side = generator.uniform(0.1, 0.5), generator.uniform(0.0, 0.7)
        box = (rows > top) & (rows < top + 0.25) & (across > side) & (across < side + 0.25)
        classes[box], metres[box] = label, generator.uniform(1.0, 3.0)
        turned = np.array([generator.uniform(-0.7, 0.7), 0.2, 0.6])
        direction[:, box] = (turned / np.linalg.norm(turned))[:, None]
    colours = generator.uniform(60, 220, (5, 3))
    image = colours[classes] * (1.15 - metres[..., None] / 6) + generator.normal(0, 6, (*size, 3))
    return {
        "image": torch.from_numpy(image.clip(0, 255).astype(np.uint8)).permute(2, 0, 1),
        "segmentation": torch.from_numpy(classes),
        "depth": torch.from_numpy(metres.astype(np.float32))[None],
        "normals": torch.from_numpy(direction.astype(np.float32)),
        "classification": torch.from_numpy((generator.random(4) > 0.5).astype(np.float32)),
    }


def _guess(truth: dict[str, torch.Tensor], noise: float, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """What a model might say: the truth with errors."""
    classes = truth["segmentation"].clone()
    patches = torch.rand((classes.shape[0] // 8 + 1, classes.shape[1] // 8 + 1), generator=generator)
    wrong = patches.repeat_interleave(8, 0).repeat_interleave(8, 1)[: classes.shape[0], : classes.shape[1]] < noise
    classes[wrong] = (classes[wrong] + 1) % 5
    direction = truth["normals"] + noise * torch.randn(truth["normals"].shape, generator=generator)
    return {
        "segmentation": classes,
        "depth": truth["depth"] * (1 + noise * torch.randn(truth["depth"].shape, generator=generator)).clamp(0.2),
        "normals": torch.nn.functional.normalize(direction, dim=0),
        "classification": (truth["classification"] - (torch.rand(4, generator=generator) < noise).float()).abs(),
    }


def samples(size: tuple[int, int], *, labelled: bool = True, count: int = 3) -> list[Shown]:
    random, noise = np.random.default_rng(5), torch.Generator().manual_seed(5)
    shown = []
    for index in range(count):
        truth = _room(random, size)
        guesses = {row[0]: _guess(truth, 0.04 + 0.03 * place, noise) for place, row in enumerate(ROWS)}
        image = truth.pop("image")
        height, width = size
        truth["segmentation"][: height // 6, : width // 4] = 255
        truth["depth"][:, height // 2 : height // 2 + height // 5, : width // 5] = 0
        if index == 1:
            del truth["normals"]
        shown.append(Shown(f"room {index + 1}", image, truth if labelled else {}, guesses))
    return shown


def _row(index: int, seeds: int, generator: np.random.Generator, tasks: list[TaskInfo]) -> Row:
    name, title, encoder, decoder, gain, trained, deployed, milliseconds = ROWS[index]
    runs = []
    for seed in range(seeds):
        scores = {}
        for task in tasks:
            factor = 1 + (gain + generator.normal(0, 1.0)) / 100 * (1 if task.higher_is_better else -1)
            scores[task.name] = {task.primary: TYPICAL[task.primary] * factor, "second": generator.uniform(0.2, 0.9)}
        runs.append(SeedResult(seed, scores, 3600.0 + 700 * index, f"runs/{name}/seed{seed}/history.csv"))
    mean, std = summarise_seeds(runs)
    return Row(
        name,
        title,
        encoder,
        decoder,
        ("uniform", "uniform", "uniform", "uniform", "cagrad")[index],
        "resnet18",
        runs,
        mean,
        std,
        delta_mtl_mean=gain,
        delta_mtl_std=0.3 + 0.1 * index if seeds > 1 and index else math.nan,
        mean_rank=1.5 + 0.6 * ((index * 2) % 5),
        cost=RowCost(
            Cost(trained * 1e9, 2e9 * trained, 4.1e7, 1.65e8, 9.1e8, Latency(milliseconds * 1.3, milliseconds * 1.5)),
            Cost(deployed * 1e9, 2e9 * deployed, 3.1e7, 1.25e8, 7.1e8, Latency(milliseconds, milliseconds * 1.1)),
        ),
        config={
            "encoder": {"name": encoder},
            "decoder": {"name": decoder},
            "epochs": 100,
            "optimiser": {"name": "adam", "lr": 1e-4},
        },
        environment={"python": "3.11.2", "torch": "2.15.0", "commit": "0123abc"},
        run_dirs=[f"runs/{name}/seed{seed}" for seed in range(seeds)],
    )


def _history(index: int, generator: np.random.Generator, tasks: list[TaskInfo]) -> list[Epoch]:
    history = []
    for epoch in range(0, 100, 2):
        progress = 1 - math.exp(-epoch / (22 + 3 * index))
        metric, loss = {}, {}
        for task in tasks:
            noise = generator.normal(0, 0.008)
            sign = 1 if task.higher_is_better else -1
            metric[task.name] = TYPICAL[task.primary] * (
                1 - sign * 0.6 * (1 - progress) + noise + sign * ROWS[index][4] / 100
            )
            loss[task.name] = 1.4 * (1 - 0.8 * progress) + noise + 0.03 * index
        history.append(Epoch(epoch, loss, metric))
    return history


def build(folder: Path, *, seeds: int = 3, pictures: bool = True, size: tuple[int, int] = (48, 64)) -> Results:
    generator = np.random.default_rng(3)
    tasks = [
        TaskInfo(task.name, task.primary, task.higher_is_better, task.kind, UNITS[task.primary], task.weight)
        for task in room_tasks()
    ]
    return Results(
        name="Rooms with four tasks",
        created="2026-01-02T03:04:05+00:00",
        protocol=Protocol(
            "rooms",
            "test",
            654,
            [480, 640],
            100,
            list(range(seeds)),
            "1 processor, 2 threads",
            {"torch": "2.15.0", "timm": "1.0.31"},
            notes=["Scores are measured at the network's resolution."],
        ),
        tasks=tasks,
        reference="single",
        rows=[_row(index, seeds, generator, tasks) for index in range(len(ROWS))],
        published=[
            PublishedRow(
                "Some network",
                "Author et al. 2021, Table 3",
                "FLOPs are half of the multiply-adds",
                {"segmentation": 45.1, "depth": 0.58, "delta_mtl": -1.2, "macs": 4.2e10, "max_f": 0.7},
            )
        ],
        curves={row[0]: _history(index, generator, tasks) for index, row in enumerate(ROWS)},
        panels=make_panels(samples(size), room_tasks(), folder) if pictures else [],
        photos=make_panels(samples(size, labelled=False, count=2), room_tasks(), folder, stem="photo")
        if pictures
        else [],
    )


def add_curve(results: Results, name: str = "Gates", points: int = 6) -> list[str]:
    """Append operating points of one method, the dearest first; returns their names by cost."""
    names = []
    for index in reversed(range(points)):
        row = copy.deepcopy(results.row("gated"))
        share = 0.2 + 0.12 * index
        row.name, row.title, row.curve, row.budget = f"{name}_{index}", f"{name} {share:.2f}x", name, f"{share:.2f}x"
        row.delta_mtl_mean, row.cost.deployed.macs = 3 - 6 * (0.6**index), 68e9 * share
        row.cost.deployed.latency_ms.median = 20 + 70 * share
        results.rows.append(row)
        names.insert(0, row.name)
    return names


def add_interference(results: Results, *, without: tuple[str, ...] = ("single",), every: int = 1) -> Results:
    """Let all rows but some have compared gradients, one of them weigh tasks, and one have measured affinity.

    The first task fights with the second, all others get on; the last row is more peaceful than the others.
    """
    generator = np.random.default_rng(11)
    names = [task.name for task in results.tasks]
    for place, row in enumerate(results.rows):
        for index, epoch in enumerate(results.curves[row.name]):
            done = index / len(results.curves[row.name])
            epoch.weights = dict.fromkeys(names, 1.0)
            if row.name == results.rows[-1].name:
                drift = {name: 0.3 + 1.6 * (order + 1) / len(names) * done for order, name in enumerate(names)}
                epoch.weights = {name: value / math.fsum(drift.values()) for name, value in drift.items()}
            if row.name in without or index % every:
                continue
            epoch.norms = {
                name: 10 ** (-order) * (1 + place) * math.exp(generator.normal(0, 0.1) - done)
                for order, name in enumerate(names)
            }
            for one, other in itertools.combinations(range(len(names)), 2):
                base = -0.35 if (one, other) == (0, 1) else 0.25 - 0.05 * (one + other)
                peace = 0.25 if row.name == results.rows[-1].name else 0.0
                cosine = (base + peace) * (1 - 0.6 * done) + generator.normal(0, 0.02) + 0.01 * place
                pair = f"{names[one]}~{names[other]}"
                epoch.cosines[pair] = cosine
                epoch.conflicts[pair] = 1 / (1 + math.exp(8 * cosine))
    row = results.rows[-1]
    row.affinity = {
        one: {other: 0.02 if one == other else generator.normal(0.0005, 0.002) for other in names} for one in names
    }
    return results


def with_tasks(results: Results, count: int) -> Results:
    """The comparison with as many tasks, the further ones without scores."""
    more = ("edges", "saliency", "parts")
    results.tasks = [*results.tasks, *(TaskInfo(name, "f", True) for name in more)][:count]
    kept = {task.name for task in results.tasks}
    for row in results.rows:
        for scores in (row.scores_mean, row.scores_std, *(seed.scores for seed in row.seeds)):
            for name in set(scores) - kept:
                del scores[name]
    return results


def interference_drawings(results: Results) -> dict[str, Drawing]:
    """The drawings of the section on interference by name."""
    return {each.name: each for each in drawings(results) if each.section in ("interference", "affinity")}


def page_of(results: Results, folder: Path, *, figures: bool = True) -> str:
    """The page, with or without its figures."""
    return render_page(results, folder, drawings(results) if figures else [])
