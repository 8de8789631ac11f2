"""Time and memory of a training step under every balancer, and of gradients at the parameters against a plain loop.

python benchmarks/balancing_step.py --out benchmarks/balancing_step.md
python benchmarks/balancing_step.py --device cuda --out benchmarks/balancing_step_cuda.md

Rounds are interleaved over all rows of a table; read the ratios. On a GPU (balancing_step_cuda.py) steps are counted by
their rate.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable, Sequence
from typing import Any

import torch
from balancing_step_cuda import on_a_gpu
from interrogate_training import PASCAL
from shared.machine import add_device, caption, chosen_device
from torch import Tensor, nn

from frugalmtl.balancing import BALANCERS, Balancer, BalancerReport, ForwardPass
from frugalmtl.balancing.aggregation.base import GramianWeightedAggregator
from frugalmtl.core.checks import UserError
from frugalmtl.core.files import write_text
from frugalmtl.engine.settings import TrainSettings
from frugalmtl.engine.step_timing import StepTimer, noise_batch
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.measure.training_cost import StepFigures, step_figures
from frugalmtl.experiment.runs.build import Built, build
from frugalmtl.tasks import Task

BASE = "uniform"
AT_PARAMETERS = [name for name in ("pcgrad", "mgda", "cagrad", "nash_mtl") if name in BALANCERS.names()]
HEADS: dict[str, dict[str, Any]] = {"linear": {"name": "linear"}, "hrnet": {"name": "hrnet", "width": 64}}
HEAD_TITLES = {"linear": "linear heads", "hrnet": "hrnet heads of 64 channels"}
TIME, MEMORY, LOOP = 1.25, 1.15, 0.8
"""Largest ratios we ask for: at the representation to the uniform step's time and memory, at the parameters to the
loop's time."""
TOLERANCE = 1e-3
"""Largest distance of two gradients, as a share of their length, that counts as rounding (float32)."""


class Loop(Balancer):
    """How libraries such as LibMTL 1.1.5 take gradients at the parameters, written plainly.

    Every loss goes back through the whole graph; the gradients of the encoder's parameters are copied into a zeroed
    vector, and that into a row of a matrix; the method works on the rows, and its direction is copied back. Weights on
    the simplex and the like are found as by our balancer, so the time of solvers does not differ.

    Args:
        tasks: the tasks.
        aggregate: rows ``[T, N]`` and losses ``[T]`` -> direction ``[N]``.
    """

    scale = "free"
    explicit_reduction = True

    def __init__(self, tasks: Sequence[Task], aggregate: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__(tasks)
        self.aggregate = aggregate

    def backward(self, step: ForwardPass) -> BalancerReport:
        """One backward pass per task, the direction on flat vectors, and back."""
        encoder, losses = step.model.get_submodule("encoder"), list(step.losses.values())
        parameters = list(encoder.parameters())
        sizes = [parameter.numel() for parameter in parameters]
        rows = torch.zeros(len(losses), sum(sizes))
        for index, loss in enumerate(losses):
            loss.backward(retain_graph=index + 1 < len(losses))
            vector = torch.zeros(sum(sizes))
            for piece, parameter in zip(torch.split(vector, sizes), parameters, strict=True):
                if parameter.grad is not None:
                    piece.copy_(parameter.grad.view(-1))
            rows[index] = vector
            encoder.zero_grad()
        direction = self.aggregate(rows, torch.stack([loss.detach() for loss in losses]))
        for piece, parameter in zip(torch.split(direction, sizes), parameters, strict=True):
            parameter.grad = piece.view_as(parameter).clone()
        return BalancerReport()


def project(rows: Tensor, _losses: Tensor) -> Tensor:
    """PCGrad on vectors; draws its orders as torchjd does."""
    projected = rows.clone()
    for index, row in enumerate(projected):
        for other in torch.randperm(len(rows)).tolist():
            product = torch.dot(row, rows[other])
            if other != index and product < 0:
                row -= product / rows[other].norm().square() * rows[other]
    return projected.sum(dim=0)


def weighted(balancer: GramianWeightedAggregator) -> Callable[[Tensor, Tensor], Tensor]:
    """A sum of vectors with a balancer's weights."""

    def aggregate(rows: Tensor, losses: Tensor) -> Tensor:
        weights = balancer.solve((rows @ rows.T).double(), losses.double())
        return torch.einsum("i,i...->...", weights.to(rows), rows)

    return aggregate


def build_row(options: argparse.Namespace, tasks: int, stride: int, head: str, balancer: dict[str, Any]) -> Built:
    """One row."""
    dilated = {} if stride == 32 else {"output_stride": stride}
    return build(
        Experiment(
            image_size=(options.pixels, options.pixels),
            tasks=PASCAL[:tasks],
            backbone={"name": "timm", "model": "resnet18", **dilated},
            decoder={"name": "independent", "head": HEADS[head]},
            balancer=balancer,
        )
    )


def sections(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """``{row: section}``: uniform first, then all others (gradients at the representation where the method allows it),
    then those at the parameters.

    Args:
        names: the balancers that are wanted.
    """
    rows: dict[str, dict[str, Any]] = {BASE: {"name": BASE}}
    for name in names:
        levels = getattr(BALANCERS.get(name), "levels", ()) if "gradients_at" in BALANCERS.schema(name) else ()
        if "representation" in levels:
            rows[f"{name}, representation"] = {"name": name, "gradients_at": "representation"}
        elif name != BASE:
            rows[name] = {"name": name}
    at_parameters = [name for name in AT_PARAMETERS if name in names]
    return rows | {f"{name}, parameters": {"name": name, "gradients_at": "parameters"} for name in at_parameters}


def measured(rows: dict[str, Built], options: argparse.Namespace, *, channels_last: bool) -> dict[str, StepFigures]:
    """Figures of one interleaved run."""
    settings = dict.fromkeys(rows, TrainSettings(channels_last=channels_last))
    return step_figures(rows, batch_size=options.batch, rounds=options.rounds, settings=settings)


def all_balancers(options: argparse.Namespace, tasks: int, stride: int, head: str) -> list[str]:
    """Markdown lines of one table."""
    rows: dict[str, Built] = {}
    left_out: list[str] = []
    for name, section in sections(options.balancers).items():
        try:
            rows[name] = build_row(options, tasks, stride, head, section)
        except UserError as error:
            left_out.append(f"{name} ({error})")
    figures = measured(rows, options, channels_last=True)
    base = figures[BASE]
    lines = [
        "| balancer | step ms | / uniform | memory MiB | / uniform |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    above = []
    for name, row in figures.items():
        time, memory = row.median_ms / base.median_ms, row.memory / base.memory
        lines.append(f"| {name} | {row.median_ms:.1f} | {time:.2f} | {row.memory / 2**20:.1f} | {memory:.2f} |")
        if name.endswith("representation") and (time > TIME or memory > MEMORY):
            above.append(name.split(",")[0])
    lines += ["", f"Above what we ask for at the representation: {', '.join(above) or 'none'}."]
    return lines + ([f"Left out: {'; '.join(left_out)}."] if left_out else [])


def against_the_loop(options: argparse.Namespace, tasks: int, stride: int, head: str) -> list[str]:
    """Markdown lines of one table; the gradients of every pair of rows are compared first."""
    rows: dict[str, Built] = {}
    distances: dict[str, float] = {}
    for name in [name for name in AT_PARAMETERS if name in options.balancers]:
        section = {"name": name, "gradients_at": "parameters"}
        ours, other = build_row(options, tasks, stride, head, section), build_row(options, tasks, stride, head, section)
        aggregate = project if name == "pcgrad" else weighted(BALANCERS.build(section, ours.tasks))
        other.balancer = Loop(ours.tasks, aggregate)
        distances[name] = distance(ours, other, options)
        if distances[name] > TOLERANCE:
            raise RuntimeError(f"{name} and its loop differ by {distances[name]:.1e} of the gradient's length")
        rows |= {name: ours, f"{name}, loop": other}
    figures = measured(rows, options, channels_last=False)
    lines = [
        "| balancer | loop ms | ours ms | ours / loop | loop MiB | ours MiB | ours / loop | gradients differ by |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, differing in distances.items():
        ours, loop = figures[name], figures[f"{name}, loop"]
        lines.append(
            f"| {name} | {loop.median_ms:.1f} | {ours.median_ms:.1f} | {ours.median_ms / loop.median_ms:.2f} "
            f"| {loop.memory / 2**20:.1f} | {ours.memory / 2**20:.1f} | {ours.memory / loop.memory:.2f} "
            f"| {differing:.0e} |"
        )
    return lines


def distance(one: Built, other: Built, options: argparse.Namespace) -> float:
    """How far the gradients of all parameters lie apart after one step with the same draws, over their length."""
    gradients = []
    batch = noise_batch(one.tasks, one.image_size, options.batch)
    for built in (one, other):
        torch.manual_seed(0)
        timer = StepTimer.at_stage(built.model, built.balancer, TrainSettings(channels_last=False), batch)
        timer.take()
        gradients.append(torch.cat([_gradient(parameter).reshape(-1) for parameter in built.model.parameters()]))
        timer.clear()
    return float((gradients[0] - gradients[1]).norm() / gradients[1].norm())


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def main() -> None:
    """Measure, print and optionally write the tables."""
    parser = argparse.ArgumentParser(description="Training steps under every balancer.")
    parser.add_argument("--tasks", nargs="+", type=int, choices=[2, 3, 4, 5], default=[3, 5], help="numbers of tasks")
    parser.add_argument("--strides", nargs="+", type=int, choices=[8, 16, 32], default=[32, 8], help="output strides")
    parser.add_argument("--heads", nargs="+", choices=list(HEADS), default=["hrnet"], help="heads")
    parser.add_argument("--balancers", nargs="+", choices=BALANCERS.names(), default=BALANCERS.names(), help="rows")
    parser.add_argument("--batch", type=int, default=8, help="images of a step")
    parser.add_argument("--pixels", type=int, default=128, help="height and width of the images")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds, of which the median is taken")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of torch")
    add_device(parser, "the table of rates on a GPU")
    parser.add_argument("--out", help="file for the markdown tables")
    options = parser.parse_args()
    if chosen_device(options).type == "cuda":
        lines = on_a_gpu(options.balancers)
        if options.out:
            write_text(options.out, "\n".join(lines) + "\n")
        return
    torch.set_num_threads(options.threads)
    lines = [
        "# Training step by balancer",
        "",
        f"{caption('cpu', 'timm', 'torchjd')}; "
        f"float32; medians of {options.rounds} interleaved rounds after one that is not counted. A step is forward, "
        f"losses and all that "
        "the balancer does, without data loading and the optimiser's update. Memory: bytes of all tensors alive at the "
        "worst moment beyond weights, state and batch. Hard sharing, PASCAL-Context's tasks, noise. Made by "
        "`benchmarks/balancing_step.py`.",
        "",
        f"Gradients at the representation shall cost at most {TIME} x the time and {MEMORY} x the memory of the "
        f"uniform step; at the parameters at most {LOOP} x the time of the loop that libraries such as LibMTL 1.1.5 "
        "run: every loss goes back through everything, gradients are copied into a vector per task, combined there, "
        "and copied back. The loop finds weights by our solvers, and its gradients are held against ours before "
        "timing. The first table of each pair is channels-last, as training is; the second contiguous, which the loop "
        "needs.",
        "",
    ]
    print("\n".join(lines))
    for stride in options.strides:
        for head in options.heads:
            for tasks in options.tasks:
                title = f"ResNet-18 at output stride {stride}, {HEAD_TITLES[head]}, {tasks} tasks"
                part = [f"## {title}, batch {options.batch}, {options.pixels} x {options.pixels}", ""]
                part += [*all_balancers(options, tasks, stride, head), "", "At the parameters, against the loop:", ""]
                part += [*against_the_loop(options, tasks, stride, head), ""]
                print("\n".join(part), flush=True)
                lines += part
                gc.collect()
    if options.out:
        write_text(options.out, "\n".join(lines).rstrip() + "\n")


if __name__ == "__main__":
    main()
