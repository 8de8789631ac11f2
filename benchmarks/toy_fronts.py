"""Paths of balancers on two-parameter problems whose Pareto front is known, drawn side by side.

Usage: python benchmarks/toy_fronts.py [--steps 8000] [--lr 0.01] [--out docs/images/balancing_trajectories.png]

``valleys`` is the problem of CAGrad (Liu et al. 2021, fig. 1) with the first loss scaled and the starting points as in
Nash-MTL (Navon et al. 2022, sec. 5.1); ``bowls`` is convex and its front a segment.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import brentq
from torch import Tensor

from frugalmtl.balancing import BALANCERS
from frugalmtl.balancing.aggregation.pareto_mtl import preference_vectors
from frugalmtl.core.seeding import seed_everything
from frugalmtl.tasks import TASKS

Array = npt.NDArray[np.float64]
Aggregate = Callable[[Tensor, Tensor], Tensor]
"""Gradients ``[2, 2]`` and losses ``[2]`` -> direction ``[2]``."""

TASKS_OF_TOYS = (TASKS.build("depth"), TASKS.build("edges"))
"""Two tasks, for their number alone."""


@dataclass(frozen=True)
class Problem:
    """Two losses of two parameters.

    Attributes:
        losses: points ``[..., 2]`` -> losses ``[..., 2]``.
        starts: usual starting points.
        front: points of the Pareto front in order, ``[N, 2]``.
    """

    losses: Callable[[Tensor], Tensor]
    starts: tuple[tuple[float, float], ...]
    front: Array

    def jacobian(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Points ``[S, 2]`` -> gradients ``[S, 2, 2]`` (start, loss, parameter) and losses ``[S, 2]``."""
        points = points.detach().requires_grad_()
        losses = self.losses(points)
        rows = [torch.autograd.grad(losses[:, task].sum(), points, retain_graph=True)[0] for task in (0, 1)]
        return torch.stack(rows, dim=1), losses.detach()

    def distance(self, point: Tensor) -> float:
        """From the front, in the space of parameters."""
        return float(np.linalg.norm(self.front - point.numpy(), axis=1).min())

    def gap(self, point: Tensor) -> float:
        """By how much the front is better in both losses at once, in units of their ranges on the front."""
        best = self.losses(torch.from_numpy(self.front))
        ranges = best.amax(dim=0) - best.amin(dim=0)
        return float(((self.losses(point) - best) / ranges).amin(dim=1).max())


def valley_losses(points: Tensor, scale: float = 0.1) -> Tensor:
    """CAGrad's toy losses, the first times ``scale``.

    Above the axis ``x_2 = 0``: logarithms of the distance from one curve each, so narrow valleys with walls that get
    ever steeper. Below it: wide bowls around (7, -8) and (-7, -8). ``tanh(x_2 / 2)`` passes from one to the other.
    """
    x, y = points[..., 0], points[..., 1]
    bend = torch.tanh(y)
    curves = torch.stack([(-x - 7) / 2 + bend, (3 - x) / 2 - bend + 2], dim=-1)
    valleys = curves.abs().clamp(min=5e-6).log() + 6
    bowls = torch.stack([(x - 7).square(), (x + 7).square()], dim=-1) / 10 + (y + 8).square()[..., None] / 100 - 20
    above = torch.tanh(y / 2)[..., None]
    # On the axis both slopes count, as in the authors' code: a start there must be able to leave.
    both = valleys * above * (above >= 0) - bowls * above * (above <= 0)
    return both * points.new_tensor([scale, 1.0])


def valley_front(count: int = 201) -> Array:
    """Points between the bowls at which the gradients are opposed, which lie close to ``x_2 = -8``."""

    def opposed(y: float, x: float) -> float:
        point = torch.tensor([x, y], dtype=torch.float64, requires_grad=True)
        first, second = valley_losses(point)
        one = torch.autograd.grad(first, point, retain_graph=True)[0]
        other = torch.autograd.grad(second, point)[0]
        return float(one[0] * other[1] - one[1] * other[0])

    return np.array([(x, brentq(opposed, -10.0, -6.0, args=(x,))) for x in np.linspace(-7, 7, count)])


def bowl_losses(points: Tensor) -> Tensor:
    """Squared distances from (-1, 0) and, half as much, from (1, 0)."""
    minima = points.new_tensor([[-1.0, 0.0], [1.0, 0.0]])
    return (points[..., None, :] - minima).square().sum(dim=-1) * points.new_tensor([1.0, 0.5])


VALLEYS = Problem(valley_losses, ((-8.5, 7.5), (0.0, 0.0), (9.0, 9.0), (-7.5, -0.5), (9.0, -1.0)), valley_front())
BOWLS = Problem(
    bowl_losses, ((-2.0, 1.5), (0.5, 2.0), (2.0, -1.5)), np.stack([np.linspace(-1, 1, 401), np.zeros(401)], axis=1)
)


def balancer(name: str, **options: Any) -> Aggregate:
    """A balancer of the library; the sum of both for ``"uniform"``."""
    if name == "uniform":
        return lambda gradients, _: gradients.sum(dim=0)
    aggregate: Aggregate = BALANCERS.build({"name": name, **options}, TASKS_OF_TOYS).aggregate
    return aggregate


def descend(problem: Problem, make: Callable[[], Aggregate], steps: int, lr: float) -> Tensor:
    """Points ``[steps + 1, S, 2]`` that Adam passes through from every start with the directions of a balancer."""
    points = torch.tensor(problem.starts, dtype=torch.float64)
    balancers = [make() for _ in problem.starts]
    optimizer = torch.optim.Adam([points], lr=lr, foreach=False)
    path = [points.clone()]
    for _ in range(steps):
        rows = zip(balancers, *problem.jacobian(points), strict=True)
        points.grad = torch.stack([aggregate(gradients, losses) for aggregate, gradients, losses in rows])
        optimizer.step()
        path.append(points.clone())
    return torch.stack(path)


def stationarity(problem: Problem, point: Tensor) -> float:
    """Length of the shortest vector in the hull of the gradients over their root mean square length: 0 on the front."""
    one, other = problem.jacobian(point[None])[0][0]
    span = one - other
    share = float((-(other @ span) / span.square().sum().clamp(min=1e-300)).clamp(0, 1))
    size = torch.stack([one, other]).square().sum(dim=1).mean().sqrt()
    return float((share * one + (1 - share) * other).norm() / size)


METHODS = {
    "uniform": "plain sum",
    "pcgrad": "PCGrad",
    "grad_drop": "GradDrop",
    "mgda": "MGDA",
    "cagrad": "CAGrad",
    "imtl_g": "IMTL-G",
    "nash_mtl": "Nash-MTL",
    "aligned_mtl": "Aligned-MTL",
    "upgrad": "UPGrad",
}
"""Panels of the picture: balancers and how they are called."""

PREFERENCES = 5
BOWL_STEPS = 1500
COLOURS = "plasma"
LEVELS = ("tab:blue", "tab:green")
START: dict[str, Any] = {"marker": "o", "color": "black", "markersize": 6}
END: dict[str, Any] = {"marker": "*", "color": (1.0, 0.84, 0.0, 0.55), "markeredgecolor": "black", "markersize": 13}
NEAR = 0.01
"""Largest :meth:`Problem.gap` of a path's end that counts as on the front."""


def paths(steps: int, lr: float) -> dict[str, Tensor]:
    """Paths ``[steps + 1, S, 2]`` of every method on the valleys; of Pareto MTL one per preference, on the bowls."""
    paths = {}
    for name in METHODS:
        seed_everything(0)
        paths[name] = descend(VALLEYS, lambda name=name: balancer(name), steps, lr)  # type: ignore[misc]
    numbers = iter(range(PREFERENCES))
    one_start = Problem(bowl_losses, ((0.4, 1.8),) * PREFERENCES, BOWLS.front)
    paths["pareto_mtl"] = descend(
        one_start, lambda: balancer("pareto_mtl", preferences=PREFERENCES, preference=next(numbers)), BOWL_STEPS, lr
    )
    return paths


def draw(paths: dict[str, Tensor], file: Path) -> None:
    """One panel per method, and a legend below."""
    from matplotlib import pyplot as plt
    from matplotlib.cm import ScalarMappable

    figure, axes = plt.subplots(2, 5, figsize=(15, 7), layout="constrained")
    for place, (name, path) in zip(axes.flat, paths.items(), strict=True):
        problem = VALLEYS if name in METHODS else BOWLS
        box = (-10.5, 10.5, -11.5, 10.5) if name in METHODS else (-1.6, 1.6, -0.9, 2.45)
        _levels(place, problem, box, cones=name not in METHODS)
        place.plot(*problem.front.T, color="white", linewidth=6, solid_capstyle="round", zorder=2)
        place.plot(*problem.front.T, color="0.15", linewidth=3, solid_capstyle="round", zorder=3)
        for index in range(path.shape[1]):
            _path(place, path[:, index].numpy())
            if name not in METHODS:
                place.annotate(str(index), path[-1, index].tolist(), (0, -20), textcoords="offset points", ha="center")
        reached = sum(problem.gap(end) < NEAR for end in path[-1])
        title = (
            f"{METHODS[name]}: {reached} of {path.shape[1]} on the front"
            if name in METHODS
            else "Pareto MTL: preferences 0 to 4"
        )
        place.set_title(title, fontsize=12)
        place.set(xlim=box[:2], ylim=box[2:], xticks=[], yticks=[])
        if name in METHODS:
            _counts(place, path[-1].numpy(), near=0.04 * (box[1] - box[0]))
    bar = figure.colorbar(ScalarMappable(cmap=COLOURS), ax=axes, aspect=40, pad=0.01, ticks=[0, 1])
    bar.ax.set_yticklabels(["first step", "last step"])
    figure.legend(handles=_legend(), loc="outside lower center", ncols=7, fontsize=11, frameon=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=90)
    plt.close(figure)


def _levels(place: Any, problem: Problem, box: tuple[float, float, float, float], *, cones: bool) -> None:
    """Level lines and minimum of each loss, on the sum of both brought to one scale, or on the preferences' cones."""
    x, y = np.meshgrid(np.linspace(*box[:2], 300), np.linspace(*box[2:], 300))
    losses = problem.losses(torch.from_numpy(np.stack([x, y], axis=-1)))
    ranks = losses.numpy().reshape(-1, 2).argsort(axis=0).argsort(axis=0).reshape(*x.shape, 2) / x.size
    if cones:
        nearest = (losses @ preference_vectors(2, PREFERENCES).T).argmax(dim=-1).numpy()
        place.pcolormesh(x, y, nearest % 2, cmap="Greys", vmin=0, vmax=6, zorder=0, rasterized=True)
    else:
        place.contourf(x, y, ranks.mean(axis=-1), 14, cmap="Greys", alpha=0.3, zorder=0)
    lowest = problem.losses(torch.from_numpy(problem.front)).argmin(dim=0).tolist()
    for task, colour in enumerate(LEVELS):
        place.contour(x, y, ranks[..., task], 9, colors=colour, linewidths=0.9, alpha=0.75, zorder=1)
        place.plot(*problem.front[lowest[task]], "D", color=colour, markeredgecolor="white", markersize=9, zorder=4)


def _path(place: Any, path: Array) -> None:
    from matplotlib.collections import LineCollection

    segments = np.stack([path[:-1], path[1:]], axis=1)
    progress = np.linspace(0, 1, len(segments))
    place.add_collection(LineCollection(list(segments), array=progress, cmap=COLOURS, linewidths=2.2, zorder=5))
    place.plot(*path[0], **START, zorder=6)
    place.plot(*path[-1], **END, zorder=7)


def _counts(place: Any, ends: Array, near: float) -> None:
    """How many stars lie within ``near`` of each other, below them where it is more than one."""
    from matplotlib import patheffects

    left = list(range(len(ends)))
    while left:
        group = [left.pop(0)]
        for member in group:
            close = [other for other in left if np.linalg.norm(ends[other] - ends[member]) < near]
            group += close
            left = [other for other in left if other not in close]
        if len(group) > 1:
            centre = ends[group].mean(axis=0).tolist()
            halo = [patheffects.withStroke(linewidth=2.5, foreground="white")]
            place.annotate(
                f"{len(group)}x", centre, (0, -20), textcoords="offset points", ha="center", path_effects=halo, zorder=8
            )


def _legend() -> list[Any]:
    from matplotlib.lines import Line2D

    names = ("first loss", "second loss")
    return [
        Line2D([], [], **START, linestyle="", label="start"),
        Line2D([], [], **END, linestyle="", label="end"),
        Line2D([], [], color="0.15", linewidth=3, label="Pareto front"),
        *(Line2D([], [], color=colour, label=f"levels: {name}") for colour, name in zip(LEVELS, names, strict=True)),
        *(
            Line2D([], [], color=colour, marker="D", markeredgecolor="white", linestyle="", label=f"minimum: {name}")
            for colour, name in zip(LEVELS, names, strict=True)
        ),
    ]


def main() -> None:
    """Walk and draw."""
    from shared.machine import add_device, refuse_cuda  # beside this script; tests import the problems without it

    parser = argparse.ArgumentParser(description="Draw the paths of balancers on problems with a known front.")
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--out", type=Path, default=Path("docs/images/balancing_trajectories.png"))
    add_device(parser)
    arguments = parser.parse_args()
    refuse_cuda(arguments, "problems of two parameters are solved")
    torch.set_num_threads(1)
    draw(paths(arguments.steps, arguments.lr), arguments.out)


if __name__ == "__main__":
    main()
