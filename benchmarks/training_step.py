"""Time of a training step: forward, and forward + backward, of the methods against plain hard sharing.

Rounds are interleaved over all rows, so that the machine's drifts fall on all of them alike; read the ratios.

python benchmarks/training_step.py --out benchmarks/training_step.md
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from shared.machine import add_device, caption, chosen_device

from frugalmtl.core.files import write_text
from frugalmtl.engine.settings import TrainSettings
from frugalmtl.engine.step_timing import StepTimer, noise_batch, time_steps
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.runs.build import build

HEAD = {"name": "independent", "head": {"name": "hrnet", "width": 64}}
ROWS: dict[str, dict[str, dict[str, object]]] = {
    "hard sharing, uniform": {"balancer": {"name": "uniform"}},
    "hard sharing, uncertainty": {"balancer": {"name": "uncertainty"}},
    "hard sharing, PCGrad at the representation": {"balancer": {"name": "pcgrad"}},
    "hard sharing, PCGrad at the parameters": {"balancer": {"name": "pcgrad", "gradients_at": "parameters"}},
    "single-task networks": {"encoder": {"name": "single_task"}},
    "cross-stitch": {"encoder": {"name": "cross_stitch"}},
    "hard sharing + PAD-Net 48": {"decoder": {"name": "pad_net", "width": 48}},
}
TASKS: list[dict[str, object] | str] = [{"kind": "segmentation", "classes": 16}, {"kind": "depth"}, {"kind": "normals"}]


def table(backbone: str, batch: int, pixels: int, rounds: int, device: torch.device) -> str:
    """Markdown table of one backbone."""
    timers: dict[str, StepTimer] = {}
    for name, sections in ROWS.items():
        config = Experiment(
            image_size=(pixels, pixels), tasks=TASKS, backbone={"name": "timm", "model": backbone}, decoder=HEAD
        )
        for key, section in sections.items():
            setattr(config, key, section)
        built = build(config)
        built.model.to(device)
        noise = noise_batch(built.tasks, built.image_size, batch)
        timers[name] = StepTimer.at_stage(built.model, built.balancer, TrainSettings(), noise)
    times = time_steps(timers, rounds, parts=True)
    medians = {name: (parts["forward"], parts["total"]) for name, parts in times.items()}
    base = next(iter(medians.values()))
    lines = [
        f"## {backbone}, three tasks, batch {batch}, {pixels} x {pixels}",
        "",
        "| method | forward ms | step ms | forward / hard sharing | step / hard sharing |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, (forward, total) in medians.items():
        lines.append(f"| {name} | {forward:.0f} | {total:.0f} | {forward / base[0]:.2f} | {total / base[1]:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Print the tables; write them if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbones", nargs="+", default=["tf_efficientnet_lite0", "resnet18"])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--pixels", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    add_device(parser)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    device = chosen_device(arguments)
    lines = [
        "# Training step",
        "",
        f"{caption(device, 'timm', 'torchjd')}; "
        f"float32, channels-last; median of {arguments.rounds} interleaved rounds "
        f"after one that is not counted; without data loading and optimiser; on {device.type}.",
        "",
    ]
    for backbone in arguments.backbones:
        lines += [table(backbone, arguments.batch, arguments.pixels, arguments.rounds, device), ""]
    text = "\n".join(lines)
    print(text)
    if arguments.out:
        write_text(arguments.out, text)


if __name__ == "__main__":
    main()
