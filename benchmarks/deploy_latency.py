"""Latency saved by deploy(): the trained model in eval mode against its deployed form, interleaved.

Usage: python benchmarks/deploy_latency.py [--rounds 15] [--threads 1] [--size 256] [--out benchmarks/deploy_latency.md]

Both are timed in PyTorch's plain layout and in channels-last, so that the layout's share of the gain can be told from
the share of the smaller graph. Random weights: time does not depend on them.
"""

from __future__ import annotations

import argparse
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from shared.machine import add_device, caption, chosen_device
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from frugalmtl.backbones.timm import Timm
from frugalmtl.core.files import write_text
from frugalmtl.core.seeding import seed_everything
from frugalmtl.decoders import DECODERS
from frugalmtl.deployment import deploy
from frugalmtl.encoders.hard_sharing import HardSharing
from frugalmtl.evaluation.cost.latency import latency
from frugalmtl.model import MultiTaskModel
from frugalmtl.tasks.segmentation import segmentation

CASES: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("ResNet-18, hrnet 128", "resnet18", {}, {"name": "independent", "head": {"name": "hrnet", "width": 128}}),
    ("ResNet-18 dilated, aspp", "resnet18", {"output_stride": 8}, {"name": "independent", "head": "aspp"}),
    ("ResNet-18, PAD-Net 64", "resnet18", {}, {"name": "pad_net", "width": 64, "fuse_width": 128}),
    (
        "EfficientNet-Lite0, hrnet 128",
        "tf_efficientnet_lite0",
        {},
        {"name": "independent", "head": {"name": "hrnet", "width": 128}},
    ),
    ("EfficientNet-Lite0, aspp", "tf_efficientnet_lite0", {}, {"name": "independent", "head": "aspp"}),
    ("HRNet-18-small, hrnet", "hrnet_w18_small_v2", {}, {"name": "independent", "head": "hrnet"}),
]


class ChannelsLast(nn.Module):
    """A model with weights and input in the channels-last layout."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = deepcopy(model).to(memory_format=torch.channels_last)

    def forward(self, image: Tensor) -> object:
        """Image ``[B, 3, H, W]`` -> what the model gives."""
        return self.model(image.contiguous(memory_format=torch.channels_last))


def build(model: str, backbone: dict[str, Any], decoder: dict[str, Any]) -> MultiTaskModel:
    """Hard sharing with three dense tasks of 13, 1 and 3 channels."""
    first = segmentation(classes=tuple(f"class{index}" for index in range(13)))
    tasks = [first, replace(first, name="second", channels=1), replace(first, name="third", channels=3)]
    encoder = HardSharing(Timm(model=model, **backbone), [task.name for task in tasks])
    return MultiTaskModel(encoder, DECODERS.build(decoder, encoder.channels, encoder.strides, tasks), tasks).eval()


def giga_macs(module: nn.Module, image: Tensor) -> float:
    """Multiply-adds of convolutions and products, in 10^9."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(image)
    return float(counter.get_total_flops()) / 2e9


def rows(rounds: int, size: int, device: torch.device) -> list[str]:
    """One table row per case."""
    lines = []
    image = torch.randn(1, 3, size, size).to(device)
    for label, name, backbone, decoder in CASES:
        seed_everything(0)
        model = build(name, backbone, decoder).to(device)
        modules = {
            "trained": model,
            "trained_last": ChannelsLast(model),
            "plain": deploy(model, channels_last=False),
            "plain_last": deploy(model),
        }
        timed = latency(modules, image, rounds=rounds)
        cells = [f"{timed[key].median_ms:.1f} ({timed[key].iqr_ms:.1f})" for key in modules]
        ratio = timed["trained"].median_ms / timed["plain_last"].median_ms
        macs = f"{giga_macs(model, image):.2f} | {giga_macs(modules['plain'], image):.2f}"
        lines.append(f"| {label} | {macs} | {' | '.join(cells)} | {ratio:.2f}x |")
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    """Measure, print and optionally write the table."""
    parser = argparse.ArgumentParser(description="Latency of trained models against their deployed form.")
    parser.add_argument("--rounds", type=int, default=15, help="interleaved rounds, of which the median is taken")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--size", type=int, default=256, help="height and width of the image in pixels")
    add_device(parser)
    parser.add_argument("--out", help="file for the markdown table")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = chosen_device(options)
    head = [
        "# Deployed against trained",
        "",
        f"One image of {options.size} x {options.size}, three dense tasks, hard sharing; milliseconds in eager "
        f"PyTorch: median (distance of the quartiles) of {options.rounds} interleaved rounds on {device.type}; "
        f"{caption(device, 'timm')}. GMAC: 10^9 multiply-adds of convolutions and products. "
        "Made by `benchmarks/deploy_latency.py`.",
        "",
        "| model | GMAC trained | GMAC deployed | trained | trained, channels last | deployed, plain layout | deployed "
        "| trained / deployed |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    print("\n".join(head))
    lines = rows(options.rounds, options.size, device)
    if options.out:
        write_text(options.out, "\n".join([*head, *lines]) + "\n")


if __name__ == "__main__":
    main()
