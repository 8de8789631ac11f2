"""Training steps of InterroGate in the form of the paper's table 11: forward and backward over plain MTL.

python benchmarks/interrogate_training.py --out benchmarks/interrogate_training.md

Rounds are interleaved over all rows of a table; read the ratios. Gates are random, at a budget: while they learn all
branches are computed whatever is open, in the steps between, and when they are frozen, what they leave. From these the
mean over a whole training follows.
"""

from __future__ import annotations

import argparse
import gc
import time
from dataclasses import dataclass
from typing import Any

import torch
from shared.machine import add_device, caption, chosen_device
from torch.utils.flop_counter import FlopCounterMode

from frugalmtl.core.files import write_text
from frugalmtl.deployment import plan_encoder
from frugalmtl.encoders.interrogate.encoder import InterroGate
from frugalmtl.encoders.interrogate.forward import ProgramOfGates
from frugalmtl.engine.settings import TrainSettings
from frugalmtl.engine.step_timing import StepTimer, noise_batch, time_steps
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.runs.build import build

PASCAL: list[dict[str, object] | str] = [
    {"kind": "segmentation", "classes": 21},
    {"kind": "normals"},
    {"kind": "saliency"},
    {"kind": "edges"},
    {"kind": "human_parts", "parts": 7},
]
"""The first three, four or five are taken."""
BUDGET, MULTIPLE = 0.6, 8
FROZEN_SHARE, RAMP, PRETRAIN_SHARE = 0.5, 0.5, 0.5
"""Of the schedule: the first is that of the configs, the others are the defaults."""
EVERY = (1, 4, 16)
"""Values of ``gate_every`` for which the mean is given."""
GATED: dict[str, object] = {
    "name": "interrogate",
    "budget": BUDGET,
    "multiple": MULTIPLE,
    "ramp": RAMP,
    "pretrain_share": 0.0,
    "frozen_share": FROZEN_SHARE,
    "gate_every": EVERY[-1],
}
HARD, ALONE = "hard sharing (MTL)", "single-task networks"
LEARNING, FROZEN = "InterroGate, gates learn", "InterroGate, gates frozen"
HALFWAY, REACHED = "InterroGate, between, halfway to the budget", "InterroGate, between, at the budget"
ROWS: dict[str, dict[str, Any]] = {
    HARD: {},
    ALONE: {"encoder": {"name": "single_task"}},
    "cross-stitch": {"encoder": {"name": "cross_stitch"}},
    LEARNING: {"encoder": GATED},
    HALFWAY: {"encoder": GATED},
    REACHED: {"encoder": GATED},
    FROZEN: {"encoder": GATED},
    "hard sharing, PCGrad at the representation": {"balancer": {"name": "pcgrad"}},
}
EPOCHS = 4
"""Of the joint stage."""
EXPECTED = 1.8
"""Largest ratio to hard sharing that we ask of the mean step of a training with three tasks."""


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


def timer(name: str, setting: Setting, tasks: int, size: int, batch: int, device: torch.device) -> StepTimer:
    """Steps of a model at the beginning of its last stage."""
    config = Experiment(
        image_size=(size, size),
        tasks=PASCAL[:tasks],
        backbone=setting.backbone,
        decoder={"name": "independent", "head": setting.head},
    )
    for key, section in ROWS[name].items():
        setattr(config, key, section)
    built, settings = build(config), TrainSettings(epochs=EPOCHS)
    model = built.model.to(device)
    plan_encoder(model, (size, size))
    return StepTimer.at_stage(
        model, built.balancer, settings, noise_batch(built.tasks, (size, size), batch), update=True
    )


class PhaseTimer(StepTimer):
    """Steps of one phase of an InterroGate training; the phases share one model, since four would not fit in memory.

    Args:
        step: of the model; its updates move the weights of all phases.
        name: of the row.
    """

    def __init__(self, step: StepTimer, name: str) -> None:
        super().__init__(step.setup, step.batches[0], update=True)
        encoder = self.setup.model.encoder
        if not isinstance(encoder, InterroGate):
            raise TypeError("only InterroGate trains in these phases")
        encoder.program = ProgramOfGates()
        enter_phase(encoder, name)
        self.encoder, self.program = encoder, encoder.program
        self.gates = {key: value.clone() for key, value in encoder.gates.state_dict().items()}
        self.moment = encoder.schedule.frozen, encoder.schedule.learning

    def clear(self) -> None:
        """Enter the phase, and drop the gradients of the last step."""
        self.encoder.gates.load_state_dict(self.gates)
        self.encoder.program = self.program
        self.encoder.schedule.frozen, self.encoder.schedule.learning = self.moment
        super().clear()


def enter_phase(encoder: InterroGate, name: str) -> None:
    """Bring random gates to the point of the joint stage that a row is of."""
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        encoder.gates.alpha.copy_(torch.rand(encoder.gates.alpha.shape, generator=generator))
        encoder.steps.zero_()
    encoder.schedule.step = None  # is read from the encoder again
    learning = 1.0 - FROZEN_SHARE
    if name == FROZEN:
        encoder.enter_epoch(round(learning * EPOCHS), EPOCHS)
        encoder.enter_step(learning)
    else:
        encoder.enter_epoch(0, EPOCHS)
        encoder.enter_step({LEARNING: 0.0, HALFWAY: RAMP / 2, REACHED: RAMP}[name] * learning)
    if name in (HALFWAY, REACHED):
        encoder.enter_step(RAMP * learning)
    schedule = encoder.schedule
    if (schedule.frozen, schedule.learning) != (name == FROZEN, name == LEARNING):
        raise RuntimeError("the step belongs to another phase than expected")


def rewriting(encoder: InterroGate) -> float:
    """Milliseconds that the program of gates that have moved takes to be written."""
    encoder.program.clear()
    start = time.perf_counter()
    encoder.enter_step(RAMP * (1.0 - FROZEN_SHARE))
    return 1000.0 * (time.perf_counter() - start)


def means(medians: dict[str, list[float]], written: float) -> list[str]:
    """Markdown lines: the mean step of whole trainings over that of hard sharing.

    Args:
        medians: milliseconds by row, see :func:`columns`.
        written: milliseconds of writing a program.
    """
    base = medians[HARD][-1]
    learn, halfway, reached, frozen = (medians[name][-1] for name in (LEARNING, HALFWAY, REACHED, FROZEN))
    between = RAMP * halfway + (1.0 - RAMP) * reached
    lines = [
        f"Mean over a training, with update, over MTL: budget {BUDGET}x, gates frozen in the last {FROZEN_SHARE:.0%} "
        f"of the joint stage and the budget reached after {RAMP:.0%} of the epochs before. A program is written in "
        f"{written:.0f} ms after every step in which gates have learned, which is counted.",
        "",
        f"| gate_every | joint stage | after single-task training in the first {PRETRAIN_SHARE:.0%} of the epochs |",
        "| ---: | ---: | ---: |",
    ]
    for every in EVERY:
        moving = learn if every == 1 else (learn + (every - 1) * between + written) / every
        joint = (1.0 - FROZEN_SHARE) * moving + FROZEN_SHARE * frozen
        whole = PRETRAIN_SHARE * medians[ALONE][-1] + (1.0 - PRETRAIN_SHARE) * joint
        lines.append(f"| {every} | {joint / base:.2f} | {whole / base:.2f} |")
    return lines


def columns(parts: dict[str, float]) -> list[float]:
    """Milliseconds of forward, backward, both, and both with the update."""
    step = parts["forward"] + parts["backward"]
    return [parts["forward"], parts["backward"], step, step + parts["update"]]


def giga_macs(step: StepTimer) -> float:
    """Multiply-adds per image of a training forward pass, in 10^9; moves the running statistics."""
    step.clear()
    image = step.batches[0].image
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        step.setup.model(image)
    return float(counter.get_total_flops()) / 2e9 / len(image)


def table(setting: Setting, tasks: int, size: int, rounds: int, batch: int, device: torch.device) -> list[str]:
    """Markdown lines of one interleaved run."""
    gated = [name for name, sections in ROWS.items() if sections.get("encoder") is GATED]
    timers = {name: timer(name, setting, tasks, size, batch, device) for name in ROWS if name not in gated[1:]}
    timers = {name: PhaseTimer(timers[gated[0]], name) if name in gated else timers[name] for name in ROWS}
    macs = {name: giga_macs(one) for name, one in timers.items()}
    medians = {name: columns(parts) for name, parts in time_steps(timers, rounds, parts=True).items()}
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
    if set(medians) >= {HARD, ALONE, LEARNING, HALFWAY, REACHED, FROZEN}:
        reached = timers[REACHED]
        reached.clear()
        encoder = reached.setup.model.encoder
        lines += ["", *means(medians, rewriting(encoder) if isinstance(encoder, InterroGate) else 0.0)]
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
    add_device(parser)
    parser.add_argument("--out", help="file for the markdown tables")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    device = chosen_device(options)
    head = [
        "# Training step of InterroGate",
        "",
        f"{caption(device, 'timm', 'torchjd')}; "
        f"on {device.type}; float32, channels-last; medians of {options.rounds} interleaved rounds after one that is "
        f"not counted; without data loading. GMAC: 10^9 "
        "multiply-adds of convolutions in the forward pass of one image, as it is run. Forward includes the losses; "
        "step is forward and backward; the update is that of the run's and the gates' optimisers. Made by "
        "`benchmarks/interrogate_training.py`.",
        "",
        f"PASCAL-Context's tasks. InterroGate: random gates at a budget of {BUDGET}x the single-task networks, widths "
        f"rounded to multiples of {MULTIPLE} once they are frozen. While gates learn, all branches are computed; "
        "between (`gate_every`) and when they are frozen, what they leave. We ask for a mean step of at most "
        f"{EXPECTED} x plain MTL over a training with three tasks. The paper's figures (V100, batch 4, PASCAL, five "
        "tasks; forward / backward ms): MTL 60 / 299, InterroGate 76-119 / 324-426, cross-stitch 132 / 454, PCGrad "
        "60 / 495.",
        "",
    ]
    print("\n".join(head))
    lines: list[str] = []
    for name in options.settings:
        for tasks in options.tasks:
            setting = SETTINGS[name]
            part = table(setting, tasks, options.size, options.rounds, options.batch or setting.batch, device)
            print("\n".join(part), flush=True)
            lines += part
            gc.collect()
    if options.out:
        write_text(options.out, "\n".join([*head, *lines]).rstrip() + "\n")


if __name__ == "__main__":
    main()
