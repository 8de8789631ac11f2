"""Latency of methods in which tasks meet, trained and deployed, against hard sharing and against their multiply-adds.

python benchmarks/interaction/latency.py --out benchmarks/interaction_latency.md

Hard sharing deployed, a method in the form that trains (in eval mode, channels last), and the same deployed are timed
in one interleaved run per method and batch. Weights are random: time does not depend on them.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from frugalmtl.core.files import write_text
from frugalmtl.deployment import deploy
from frugalmtl.evaluation.cost import count, timed_rounds
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.runs.build import build

sys.path.insert(0, str(Path(__file__).parents[1]))
from shared.machine import add_device, caption, chosen_device

TASKS: list[dict[str, Any] | str] = [{"kind": "segmentation", "classes": 21}, {"kind": "depth"}, {"kind": "normals"}]
HRNET = ({"name": "timm", "model": "hrnet_w18_small_v2"}, {"name": "independent", "head": "hrnet"})
RESNET = ({"name": "timm", "model": "resnet18", "output_stride": 8}, {"name": "independent", "head": "aspp"})
TRAINED, DEPLOYED, GOAL = "trained", "deployed", "hard sharing"
LARGEST_RATIO, LARGEST_QUOTIENT = 0.75, 1.10
"""Of the deployed time over the trained one's, and over hard sharing's, per multiply-adds, that are asked for."""


@dataclass(frozen=True)
class Method:
    """A method beside hard sharing on the same backbone.

    Attributes:
        title: of its rows.
        backbone: section.
        heads: section of the decoder of hard sharing.
        encoder: section.
        decoder: section; that of hard sharing if None.
    """

    title: str
    backbone: dict[str, Any]
    heads: dict[str, Any]
    encoder: dict[str, Any]
    decoder: dict[str, Any] | None = None


METHODS = [
    Method("MTI-Net, HRNet-18-small", *HRNET, {"name": "hard_sharing"}, {"name": "mti_net"}),
    Method("PAD-Net, HRNet-18-small", *HRNET, {"name": "hard_sharing"}, {"name": "pad_net", "width": 64}),
    Method("MTAN, ResNet-18 dilated", *RESNET, {"name": "mtan"}),
    Method("NDDR-CNN, ResNet-18 dilated", *RESNET, {"name": "nddr"}),
    Method("cross-stitch, ResNet-18 dilated", *RESNET, {"name": "cross_stitch"}),
]


class TrainedForm(nn.Module):
    """A trained model in the channels-last layout, which gives final and auxiliary predictions."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model.to(memory_format=torch.channels_last)

    def forward(self, image: Tensor) -> object:
        """Image ``[B, 3, H, W]`` -> what the model gives."""
        return self.model(image.contiguous(memory_format=torch.channels_last))


def modules_of(method: Method, size: int) -> dict[str, nn.Module]:
    """Hard sharing, and the two forms of the method."""

    def model(encoder: dict[str, Any], decoder: dict[str, Any]) -> nn.Module:
        config = Experiment(
            image_size=(size, size), tasks=TASKS, backbone=method.backbone, encoder=encoder, decoder=decoder
        )
        trained = build(config).model
        trained.enter_stage(trained.recipe()[-1].name)
        return trained.eval()

    chosen = model(method.encoder, method.decoder or method.heads)
    return {
        GOAL: deploy(model({"name": "hard_sharing"}, method.heads)),
        DEPLOYED: deploy(chosen),
        TRAINED: TrainedForm(chosen),
    }


def row(method: Method, modules: dict[str, nn.Module], batch: int, options: argparse.Namespace) -> str:
    """One line of the table."""
    image = torch.randn(batch, 3, options.size, options.size, generator=torch.Generator().manual_seed(0))
    macs = {name: count(module, (options.size, options.size)).macs / 1e9 for name, module in modules.items()}
    times = {name: np.array(values) for name, values in timed_rounds(modules, image, rounds=options.rounds).items()}
    ms = {
        name: f"{np.median(values):.1f} ({np.subtract(*np.percentile(values, [75, 25])):.1f})"
        for name, values in times.items()
    }
    # Both from the same round: what slows one pass on a machine that is not quiet slows its neighbours too.
    ratio = float(np.median(times[DEPLOYED] / times[TRAINED]))
    quotient = float(np.median(times[DEPLOYED] / times[GOAL])) / (macs[DEPLOYED] / macs[GOAL])
    return (
        f"| {method.title} | {batch} | {macs[GOAL]:.2f} | {macs[TRAINED]:.2f} | {macs[DEPLOYED]:.2f} | {ms[GOAL]} | "
        f"{ms[TRAINED]} | {ms[DEPLOYED]} | {ratio:.2f} | {quotient:.2f} |"
    )


def main() -> None:
    """Measure, print and optionally write the table."""
    parser = argparse.ArgumentParser(description="Latency of methods in which tasks meet.")
    parser.add_argument("--rounds", type=int, default=15, help="interleaved rounds, of which the median is taken")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    parser.add_argument("--size", type=int, default=256, help="height and width of the image in pixels")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8], help="images at a time")
    add_device(parser)
    parser.add_argument("--out", help="file for the markdown table")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = chosen_device(options)
    lines = [
        "# Time of methods in which tasks meet",
        "",
        f"{caption(device, 'timm')}; images of {options.size} x {options.size}, three dense tasks; milliseconds: "
        f"median (distance of the quartiles) of {options.rounds} interleaved rounds; channels last. GMAC: 10^9 "
        "multiply-adds of convolutions and products. Deployed / trained: median over rounds of the two times of a "
        f"round; at most {LARGEST_RATIO} is asked for of MTI-Net and MTAN. Quotient: time over hard sharing's, over "
        f"multiply-adds over hard sharing's, both deployed; at most {LARGEST_QUOTIENT:.2f} is asked for. Made by "
        "`benchmarks/interaction/latency.py`.",
        "",
        "| method | batch | GMAC hard sharing | trained | deployed | ms hard sharing | trained | deployed "
        "| deployed / trained | quotient |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    print("\n".join(lines))
    for method in METHODS:
        modules = {name: module.to(device) for name, module in modules_of(method, options.size).items()}
        for batch in options.batches:
            lines.append(row(method, modules, batch, options))
            print(lines[-1], flush=True)
    if options.out:
        write_text(options.out, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
