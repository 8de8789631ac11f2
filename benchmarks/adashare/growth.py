"""Growth of deployed networks with the number of tasks: parameters and multiply-adds of AdaShare and its baselines.

python benchmarks/adashare/growth.py --out benchmarks/adashare_growth.md --picture docs/images/adashare_growth.png

Policies are drawn, not learned: every block of every task runs with a given probability, by fixed seeds; the policies
of the first tasks stay as they are when tasks are added. Costs are counted per block and added up over the prefix tree;
the first draw of every row is deployed, and its counted operations and parameters must be these. Nothing is timed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from frugalmtl.backbones.views import macs_per_block
from frugalmtl.core.files import atomic_write, write_text
from frugalmtl.deployment import deploy
from frugalmtl.encoders._policy_tree import GatedChain, Policies, TreeCost, plan_tree
from frugalmtl.encoders.adashare.encoder import AdaShare
from frugalmtl.evaluation.cost import count
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.runs.build import build
from frugalmtl.model import MultiTaskModel
from frugalmtl.report.drawing.canvas import Look
from frugalmtl.report.drawing.small_multiples import panels

Mask = NDArray[np.bool_]

TASKS: list[dict[str, object] | str] = [
    {"kind": "segmentation", "classes": 17},
    {"kind": "normals"},
    {"kind": "depth"},
    {"kind": "depth", "name": "keypoints"},
    {"kind": "edges"},
]
"""Those of Tiny-Taskonomy; the first two, three or all are taken. Key points are a map of one channel, as depth is."""
BACKBONE: dict[str, object] = {"name": "timm", "model": "resnet34", "output_stride": 8}
HEADS: dict[str, dict[str, object]] = {
    "backbone": {"name": "linear"},
    "whole model": {"name": "deeplab_v2"},
}
SIZE = 232
"""Pixels: 29 x 29 features at stride 8, the grid that the published code gets from 224 pixels."""
COUNTS = (2, 3, 5)
SINGLE, HARD = "single-task networks", "hard sharing"
MARKERS = ("D", "o", "^", "s", "v", "P")
APART = 0.09
"""Tasks by which the points of neighbouring rows stand apart, so that none hides another."""


@dataclass(frozen=True)
class Draw:
    """How policies are drawn.

    Attributes:
        chance: of every block to run.
        prefix: share of the blocks, from the first, that run for all tasks.
    """

    chance: float
    prefix: float = 0.0

    def policy(self, blocks: int, seed: int) -> Mask:
        """Policies of as many tasks as there are, ``[T, L]``."""
        policy = np.random.default_rng(seed).random((len(TASKS), blocks)) < self.chance
        policy[:, : round(self.prefix * blocks)] = True
        return policy


DRAWS = {
    "AdaShare, P(run) 0.9 behind a common half": Draw(0.9, 0.5),
    "AdaShare, P(run) 0.9": Draw(0.9),
    "AdaShare, P(run) 0.5 behind a common half": Draw(0.5, 0.5),
    "AdaShare, P(run) 0.5": Draw(0.5),
}


@dataclass
class Costs:
    """Parameters and multiply-adds per image, one entry per draw."""

    params: list[float] = field(default_factory=list)
    macs: list[float] = field(default_factory=list)


def model_of(encoder: str, tasks: int, part: str) -> MultiTaskModel:
    """A model of the first tasks."""
    config = Experiment(
        image_size=(SIZE, SIZE),
        tasks=TASKS[:tasks],
        backbone=BACKBONE,
        encoder={"name": encoder},
        decoder={"name": "independent", "head": HEADS[part]},
    )
    return build(config).model


class DeployedCost:
    """Cost of the tree that some policies are deployed as, without its heads.

    Parameters are those of blocks that some task runs, and of projections on the shortcuts of others that some task
    passes, as they stand in a deployed network: normalisation is folded into convolutions.

    Args:
        tasks: how many.
    """

    def __init__(self, tasks: int) -> None:
        model = model_of("adashare", tasks, "backbone")
        self.encoder = _adashare(model)
        self.names = self.encoder.task_names
        self.chain = GatedChain.of(self.encoder.network)
        self.tree = TreeCost(self.chain, macs_per_block(self.encoder.network, (SIZE, SIZE)), self.names)
        whole = np.ones((tasks, len(self.chain.gated)), dtype=bool)
        plain = deployed(model, whole).get_submodule("encoder.network")
        self.blocks = {block.name: _numbers(plain.get_submodule(block.name)) for block in self.chain.blocks}
        # A block that no task runs keeps its projection alone.
        without = deployed(model, ~whole).get_submodule("encoder.network")
        self.projections = {
            block.name: _numbers(without.get_submodule(block.name)) for block in self.chain.blocks if block.projects
        }

    def __call__(self, policy: Mask) -> tuple[float, float]:
        """``[T, L]`` -> parameters and multiply-adds per image."""
        plan = plan_tree(self.chain, self.policies(policy))
        params = sum(self.blocks[name] for name in plan.blocks)
        params += sum(self.projections[name] for name in plan.projections)
        return float(params), self.tree(policy)

    def policies(self, policy: Mask) -> Policies:
        """The rows by task."""
        return dict(zip(self.names, policy.tolist(), strict=True))


def deployed(model: MultiTaskModel, policy: Mask) -> torch.nn.Module:
    """The model deployed with these policies; random weights may sum up to more than trained ones."""
    encoder = _adashare(model)
    encoder.enter_stage("retrain")
    encoder.choice.decide(policy)
    return deploy(model, tolerance=1e-3)


def _adashare(model: MultiTaskModel) -> AdaShare:
    if not isinstance(model.encoder, AdaShare):
        raise TypeError("another encoder than was asked for")
    return model.encoder


def _numbers(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def costs_of(tasks: int, draws: int) -> dict[str, dict[str, Costs]]:
    """``{part: {row: costs}}`` of one number of tasks."""
    baselines = {
        part: {
            row: count(deploy(model_of(encoder, tasks, part), tolerance=1e-3), (SIZE, SIZE))
            for row, encoder in ((SINGLE, "single_task"), (HARD, "hard_sharing"))
        }
        for part in HEADS
    }
    cost = DeployedCost(tasks)
    full = cost(np.ones((tasks, len(cost.chain.gated)), dtype=bool))
    heads = {part: (rows[HARD].params - full[0], rows[HARD].macs - full[1]) for part, rows in baselines.items()}
    table: dict[str, dict[str, Costs]] = {part: {} for part in HEADS}
    for part, rows in baselines.items():
        # The light heads are there to build a model: the backbone is counted without them.
        less = heads[part] if part == "backbone" else (0.0, 0.0)
        for row, counts in rows.items():
            table[part][row] = Costs([counts.params - less[0]], [counts.macs - less[1]])
    model = model_of("adashare", tasks, "backbone")
    for row, draw in DRAWS.items():
        for part in HEADS:
            table[part][row] = Costs()
        for seed in range(draws):
            policy = draw.policy(len(cost.chain.gated), seed)[:tasks]
            params, macs = cost(policy)
            for part in HEADS:
                more = heads[part] if part != "backbone" else (0.0, 0.0)
                table[part][row].params.append(params + more[0])
                table[part][row].macs.append(macs + more[1])
            if seed == 0:
                counts = count(deployed(model, policy), (SIZE, SIZE))
                seen = (counts.params - heads["backbone"][0], counts.macs - heads["backbone"][1])
                if seen != (params, macs):
                    raise RuntimeError(f"{row}, {tasks} tasks: deployed {seen}, added up {(params, macs)}")
    return table


def lines_of(part: str, tables: Mapping[int, dict[str, dict[str, Costs]]]) -> list[str]:
    """Markdown lines of a part."""
    first = min(tables)
    lines = [
        f"| model | tasks | parameters, M | / single-task | GMAC | / single-task | / hard sharing | / {first} tasks |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in tables[first][part]:
        for tasks, table in tables.items():
            costs, single, hard = (table[part][name] for name in (row, SINGLE, HARD))
            macs = float(np.mean(costs.macs))
            lines.append(
                f"| {row} | {tasks} | {_range(costs.params, 1e6)} "
                f"| {np.mean(costs.params) / single.params[0]:.2f} | {_range(costs.macs, 1e9)} "
                f"| {macs / single.macs[0]:.2f} | {macs / hard.macs[0]:.2f} "
                f"| {macs / np.mean(tables[first][part][row].macs):.2f} |"
            )
    return [*lines, ""]


def reading(tables: Mapping[int, dict[str, dict[str, Costs]]]) -> list[str]:
    """Growth of the backbone, in words."""
    first, last = min(tables), max(tables)

    def growth(row: str, kind: str) -> str:
        ends = [float(np.mean(getattr(tables[tasks]["backbone"][row], kind))) for tasks in (first, last)]
        return f"{ends[1] / ends[0]:.2f}"

    rows = [
        f"{row.removeprefix('AdaShare, ')}: parameters {growth(row, 'params')}, multiply-adds {growth(row, 'macs')}"
        for row in DRAWS
    ]
    return [
        "## Reading",
        "",
        f"Growth of the backbone from {first} to {last} tasks, means over the draws (single-task networks: "
        f"{growth(SINGLE, 'params')} and {growth(SINGLE, 'macs')}): {'; '.join(rows)}. "
        "Parameters never exceed those of one network, whatever the number of tasks: that much of graceful "
        "growth holds for any policy. Multiply-adds do grow: behind the first block on which two tasks "
        "disagree their features differ, and a block that both run shares its weights and is computed twice. "
        "How far tasks agree from the image on decides what the next one costs; where they part at the first "
        "blocks, it is about as much as a network of its own with the same number of blocks. Hard sharing "
        "pays for its backbone once. In the whole model every row grows by one head per task.",
        "",
    ]


def _range(values: Sequence[float], unit: float) -> str:
    mean, low, high = (float(value) / unit for value in (np.mean(values), min(values), max(values)))
    return f"{mean:.2f}" if low == high else f"{mean:.2f} ({low:.2f} to {high:.2f})"


def picture(tables: Mapping[int, dict[str, dict[str, Costs]]], look: Look) -> bytes:
    """Parameters and multiply-adds over the number of tasks: means over the draws, with bars over their range."""
    rows = list(next(iter(tables.values()))["backbone"])
    colours = dict(zip(rows, (look.theme.ink, *look.theme.rows), strict=False))
    markers = dict(zip(rows, MARKERS, strict=True))

    def draw(part: str, kind: str, unit: float, words: str, axes: Any) -> None:
        for place, row in enumerate(rows):
            values = [[value / unit for value in getattr(table[part][row], kind)] for table in tables.values()]
            means = [float(np.mean(one)) for one in values]
            # A mean of equal values may lie beside them by rounding.
            below = [max(0.0, mean - min(one)) for mean, one in zip(means, values, strict=True)]
            above = [max(0.0, max(one) - mean) for mean, one in zip(means, values, strict=True)]
            across = [tasks + APART * (place - (len(rows) - 1) / 2) for tasks in tables]
            style = {"color": colours[row], "marker": markers[row], "markersize": 4.5, "linewidth": 1.3}
            axes.errorbar(across, means, (below, above), **style, elinewidth=0.9, capsize=1.8, zorder=2.5)
        axes.set_ylim(bottom=0)
        axes.set_xticks(list(tables))
        axes.set_xlabel("tasks")
        axes.set_ylabel(words)

    titles: dict[str, Callable[[Any], None]] = {}
    for part, title in (("backbone", "Backbone"), ("whole model", "Model")):
        titles[f"{title}: parameters"] = partial(draw, part, "params", 1e6, "10⁶ numbers")
        titles[f"{title}: multiply-adds"] = partial(draw, part, "macs", 1e9, "10⁹ per image")
    handles = [
        Line2D([], [], color=colours[row], marker=markers[row], markersize=4.5, linewidth=2, label=row) for row in rows
    ]
    return panels(titles, look, handles)


def main() -> None:
    """Count, print, and optionally write tables and picture."""
    sys.path.append(str(Path(__file__).parents[1]))  # what all benchmarks share lies one folder up
    from shared.machine import add_device, refuse_cuda

    parser = argparse.ArgumentParser(description="Cost of deployed networks against the number of tasks.")
    parser.add_argument("--tasks", nargs="+", type=int, choices=[2, 3, 4, 5], default=list(COUNTS), help="numbers")
    parser.add_argument("--draws", type=int, default=20, help="policies that are drawn for each row")
    add_device(parser)
    parser.add_argument("--out", help="file for the markdown tables")
    parser.add_argument("--picture", help="file for the picture (PNG)")
    options = parser.parse_args()
    refuse_cuda(options, "operations are counted, which is the same everywhere and done")
    torch.manual_seed(0)
    lines = [
        "# Cost of deployed networks against the number of tasks",
        "",
        f"ResNet-34 at output stride 8, images of {SIZE} x {SIZE} (29 x 29 features, the grid of the published code). "
        f"Policies are drawn, not learned: mean and range of {options.draws} draws with fixed seeds, in which every "
        "block of every task runs with the probability P(run), or only those of the last half while the first half "
        "runs for all tasks. Heads of the whole model: DeepLab-v2's, one per task. GMAC: 10^9 multiply-adds per image; "
        "counted, and the first draw of each row is deployed to hold what is added up against what it runs and "
        "stores. The last column is the growth from the first number of tasks. Made by "
        "`benchmarks/adashare/growth.py`.",
        "",
    ]
    tables = {tasks: costs_of(tasks, options.draws) for tasks in sorted(options.tasks)}
    for part in HEADS:
        lines += [f"## {part.capitalize()}", "", *lines_of(part, tables)]
    lines += reading(tables)
    print("\n".join(lines))
    if options.out:
        write_text(options.out, "\n".join(lines).rstrip() + "\n")
    if options.picture:
        with atomic_write(options.picture) as file:
            file.write_bytes(picture(tables, Look()))


if __name__ == "__main__":
    main()
