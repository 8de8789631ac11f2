"""Training steps of AdaShare along the curriculum of a search, and of retraining, against plain hard sharing.

python benchmarks/adashare/search.py --out benchmarks/adashare_search.md

Rounds are interleaved over all rows of a table; read the ratios. A search draws softly, as published, so every open
block runs for each task; blocks before the first open one run once for all.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from frugalmtl.backbones import Backbone, State
from frugalmtl.core.files import write_text
from frugalmtl.core.types import Features, Pyramid
from frugalmtl.deployment import plan_encoder
from frugalmtl.encoders._policy_tree import GatedChain
from frugalmtl.encoders.adashare.encoder import AdaShare
from frugalmtl.encoders.adashare.forward import CutLayout
from frugalmtl.encoders.adashare.options import POLICY, WEIGHTS
from frugalmtl.encoders.adashare.schedule import SEARCH
from frugalmtl.encoders.base import wanted_of
from frugalmtl.encoders.hard_sharing import HardSharing
from frugalmtl.engine.settings import TrainSettings
from frugalmtl.engine.step_timing import StepTimer, noise_batch, time_steps
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.runs.build import build

TASKS: list[dict[str, object] | str] = [{"kind": "segmentation", "classes": 40}, {"kind": "normals"}, {"kind": "depth"}]
"""Those of NYU v2, with a linear head each: what is timed is the backbone."""
EPOCHS = 100
"""Long enough for the whole curriculum."""
HARD, SINGLE, RETRAIN = "hard sharing", "single-task networks", "AdaShare, retraining a random policy"
WEIGHT_STEP, POLICY_STEP, PLAIN = "AdaShare, weight step", "AdaShare, policy step", "plain passes"
"""Rows at a point of the curriculum."""
SECTIONS: dict[str, dict[str, object]] = {
    HARD: {"name": "hard_sharing"},
    SINGLE: {"name": "single_task"},
    RETRAIN: {"name": "adashare", "policy": "random"},
}
SEARCHED: dict[str, object] = {"name": "adashare", "policy": "learned"}
TURNS = {"weights": WEIGHTS, "policy": POLICY}
POLICY_GOAL, SEARCH_GOAL = 1.15, 1.10
"""Largest ratios we ask for: of a policy step to a weight step, and of a search step's share of time to its share of
multiply-adds, both of hard sharing's."""


class PlainPasses(HardSharing):
    """Hard sharing that runs its last gated blocks once per task: the operations of a soft search, and nothing else.

    Args:
        backbone: the network (copied).
        tasks: names of the tasks.
        opened: how many gated blocks, from the last.
    """

    def __init__(self, backbone: Backbone, tasks: Sequence[str], opened: int) -> None:
        super().__init__(backbone, tasks)
        self.first, self.layout = GatedChain.of(self.network).gated[-opened], CutLayout()

    def encode(self, image: Tensor, tasks: Collection[str] | None = None) -> list[Tensor]:
        """Image ``[B, 3, H, W]`` -> the levels of all pyramids."""
        names = [info.name for info in self.network.blocks]
        place = names.index(self.first)
        shared: dict[int, State] = {}
        state = self._passed(image, range(place), shared)
        pyramids: dict[str, Pyramid] = {}
        for task in wanted_of(self.task_names, tasks):
            stages = dict(shared)
            self._passed(state, range(place, len(names)), stages)
            pyramids[task] = self.network.pyramid(stages)
        return self.layout.pack(pyramids)

    def branch(self, shared: list[Tensor], tasks: Collection[str] | None = None) -> Features:
        """The pyramid of each task."""
        return Features(self.layout.unpack(shared, wanted_of(self.task_names, tasks)))

    def _passed(self, state: State, numbers: Sequence[int], stages: dict[int, State]) -> State:
        """The state behind some blocks, and those that their stages end with."""
        for number in numbers:
            info = self.network.blocks[number]
            state = stages[info.stage] = self.network.get_submodule(info.name)(state)
        return state


@dataclass(frozen=True)
class Setting:
    """One table.

    Attributes:
        title: what it is.
        backbone: section of the backbone.
    """

    title: str
    backbone: dict[str, Any]


SETTINGS = {
    "resnet34-s8": Setting("ResNet-34 at output stride 8", {"name": "timm", "model": "resnet34", "output_stride": 8}),
    "resnet18-s8": Setting("ResNet-18 at output stride 8", {"name": "timm", "model": "resnet18", "output_stride": 8}),
    "resnet34": Setting("ResNet-34 at stride 32", {"name": "timm", "model": "resnet34"}),
    "resnet18": Setting("ResNet-18 at stride 32", {"name": "timm", "model": "resnet18"}),
}
DEFAULT = ("resnet34-s8", "resnet18")


def points_of(blocks: int) -> dict[str, int]:
    """Open blocks at the points of the curriculum that are timed, in the order of their first cycle."""
    return {"first cycle": 1, "half open": blocks // 2, "all open": blocks}


@dataclass(frozen=True)
class Images:
    """Images of a step: how many, their height and width in pixels, and the device that trains on them."""

    batch: int
    size: int
    device: torch.device


def timer(
    setting: Setting, encoder: Mapping[str, object], images: Images, *, turn: str | None = None, passes: int = 0
) -> StepTimer:
    """Steps of a model in its last stage; of a search in one of its turns.

    Args:
        setting: its backbone.
        encoder: its section.
        images: of the step.
        turn: of a search.
        passes: run so many of the last gated blocks of hard sharing once per task.
    """
    shape = (images.size, images.size)
    config = Experiment(
        image_size=shape,
        tasks=TASKS,
        backbone=setting.backbone,
        encoder=dict(encoder),
        decoder={"name": "independent", "head": {"name": "linear"}},
    )
    built = build(config)
    model = built.model
    if passes and isinstance(model.encoder, HardSharing):
        model.encoder = PlainPasses(model.encoder.network, model.encoder.task_names, passes)
    model.to(images.device)
    plan_encoder(model, shape)
    names = [stage.name for stage in model.recipe()]
    place = {"stage": names.index(SEARCH), "turn": list(TURNS).index(turn)} if turn is not None else {}
    batch = noise_batch(built.tasks, shape, images.batch)
    return StepTimer.at_stage(model, built.balancer, TrainSettings(epochs=EPOCHS), batch, update=True, **place)


def adashare_of(step: StepTimer) -> AdaShare:
    """The encoder."""
    encoder = step.setup.model.encoder
    if not isinstance(encoder, AdaShare):
        raise TypeError("another encoder than was asked for")
    return encoder


def searching(setting: Setting, turn: str, opened: int, images: Images) -> StepTimer:
    """Steps of a turn of the search in the cycle that first has so many open blocks."""
    step = timer(setting, SEARCHED, images, turn=turn)
    encoder = adashare_of(step)
    step.setup.model.enter_turn(TURNS[turn], opened - 1)  # one more block every cycle
    if (encoder.stage, encoder.turn, encoder.choice.open_blocks) != (SEARCH, TURNS[turn], opened):
        raise RuntimeError(f"another turn or other open blocks than the {opened} of a {turn} step")
    return step


def giga_macs(step: StepTimer) -> float:
    """Multiply-adds per image of a training forward pass, in 10^9; moves the running statistics."""
    image = step.batches[0].image
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        step.setup.model(image)
    return float(counter.get_total_flops()) / 2e9 / len(image)


def row_name(words: str, point: str) -> str:
    """Row at a point of the curriculum."""
    return f"{words}, {point}"


def table(setting: Setting, images: Images, rounds: int) -> list[str]:
    """Markdown lines of one interleaved run."""
    timers = {name: timer(setting, section, images) for name, section in SECTIONS.items()}
    points = points_of(len(adashare_of(timers[RETRAIN]).gated))
    opened_of: dict[str, str] = {}
    for point, opened in points.items():
        plain = timer(setting, SECTIONS[HARD], images, passes=opened)
        steps_here = {WEIGHT_STEP: searching(setting, "weights", opened, images)}
        steps_here |= {POLICY_STEP: searching(setting, "policy", opened, images), PLAIN: plain}
        timers |= {row_name(words, point): step for words, step in steps_here.items()}
        opened_of |= {row_name(words, point): str(opened) for words in steps_here}
    macs = {name: giga_macs(step) for name, step in timers.items()}
    medians = time_steps(timers, rounds, parts=True)
    steps = {name: parts["forward"] + parts["backward"] for name, parts in medians.items()}
    lines = [
        f"## {setting.title}, {len(TASKS)} tasks, batch {images.batch}, {images.size} x {images.size}",
        "",
        "| step | open blocks | GMAC | forward ms | backward ms | step ms | with update ms | GMAC / hard | step / hard "
        "| with update / hard | time over GMAC |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    shares: dict[str, float] = {}
    for name, parts in medians.items():
        share, time = macs[name] / macs[HARD], steps[name] / steps[HARD]
        update, hard_update = (steps[row] + medians[row]["update"] for row in (name, HARD))
        shares[name] = time / share
        lines.append(
            f"| {name} | {opened_of.get(name, '')} | {macs[name]:.2f} | {parts['forward']:.0f} "
            f"| {parts['backward']:.0f} | {steps[name]:.0f} | {update:.0f} | {share:.2f} | {time:.2f} "
            f"| {update / hard_update:.2f} | {shares[name]:.2f} |"
        )
    return [*lines, "", *verdicts(list(points), steps, shares), ""]


def verdicts(points: list[str], steps: Mapping[str, float], shares: Mapping[str, float]) -> list[str]:
    """The two goals at every point of the curriculum, and the cost of mixing alone."""

    def over(words: str, other: str) -> dict[str, float]:
        return {point: steps[row_name(words, point)] / steps[row_name(other, point)] for point in points}

    search = {point: shares[row_name(WEIGHT_STEP, point)] for point in points}
    goals: list[tuple[str, dict[str, float], float | None]] = [
        ("Policy step / weight step", over(POLICY_STEP, WEIGHT_STEP), POLICY_GOAL),
        ("Weight step / hard sharing, over their multiply-adds", search, SEARCH_GOAL),
        ("Weight step / plain passes", over(WEIGHT_STEP, PLAIN), None),
    ]
    lines = []
    for words, ratios, goal in goals:
        text = ", ".join(f"{ratio:.2f} ({point})" for point, ratio in ratios.items())
        if goal is not None:
            missed = ", ".join(point for point, ratio in ratios.items() if ratio > goal)
            text += f"; goal {goal:.2f}, {f'missed: {missed}' if missed else 'reached'}"
        lines.append(f"- {words}: {text}.")
    return lines


def main() -> None:
    """Measure, print and optionally write the tables."""
    sys.path.append(str(Path(__file__).parents[1]))  # what all benchmarks share lies one folder up
    from shared.machine import add_device, caption, chosen_device

    parser = argparse.ArgumentParser(description="Training steps of AdaShare against plain hard sharing.")
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=list(DEFAULT), help="tables")
    parser.add_argument("--batch", type=int, default=4, help="images of a step")
    parser.add_argument("--size", type=int, default=128, help="height and width of the images in pixels")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds, of which the median is taken")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    add_device(parser)
    parser.add_argument("--out", help="file for the markdown tables")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    device = chosen_device(options)
    head = [
        "# Training step of AdaShare",
        "",
        f"{caption(device, 'timm')}; "
        f"on {device.type}; float32, channels-last; medians of {options.rounds} interleaved rounds after one that is "
        f"not "
        "counted; without data loading. GMAC: 10^9 multiply-adds in the forward pass of one image, as it is run. "
        "Forward includes the losses; step is forward and backward; the update is the optimiser's. Last column: step / "
        "hard over GMAC / hard. Made by `benchmarks/adashare/search.py`.",
        "",
        "NYU v2's tasks with linear heads. Draws are soft: every open block runs for each task, those before the first "
        "open one once. In a policy step weights take no gradients and normalisation uses running statistics, so it is "
        "cheaper than the same operations in a weight step. Retraining: every block of every task by a coin, run as a "
        "tree. Plain passes: hard sharing that runs the open blocks once per task without a policy, the floor of a "
        "search; an operation of late, wide blocks may take longer than the mean one of a network, whoever runs it. "
        f"We ask for policy steps of at most {POLICY_GOAL:.2f} x a weight step, and for weight steps of at "
        f"most {SEARCH_GOAL:.2f} in the last column.",
        "",
    ]
    print("\n".join(head))
    lines: list[str] = []
    for name in options.settings:
        part = table(SETTINGS[name], Images(options.batch, options.size, device), options.rounds)
        print("\n".join(part), flush=True)
        lines += part
        gc.collect()
    if options.out:
        write_text(options.out, "\n".join([*head, *lines]).rstrip() + "\n")


if __name__ == "__main__":
    main()
