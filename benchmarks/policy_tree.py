"""Latency of deployed prefix trees against the multiply-adds of hard sharing.

python benchmarks/policy_tree.py --out benchmarks/policy_tree.md

Hard sharing, trees of fixed policies and the same policies in one pass per task, all deployed, are timed in one
interleaved run per table; read the quotients. Weights are random: time does not depend on what was learned.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from interrogate_latency import HEAD, TOLERANCE, Point, sessions
from shared.machine import add_device, caption, chosen_device
from torch import Tensor, nn

from frugalmtl.backbones import Backbone
from frugalmtl.backbones.timm import Timm
from frugalmtl.core.files import write_text
from frugalmtl.core.seeding import seed_everything
from frugalmtl.core.types import Features, Pyramid
from frugalmtl.decoders import DECODERS
from frugalmtl.deployment import deploy
from frugalmtl.encoders import Encoder
from frugalmtl.encoders._policy_tree import GatedChain, PolicyTree, TreePlan, plan_tree, run_tree
from frugalmtl.encoders.hard_sharing import HardSharing
from frugalmtl.evaluation.cost import count, latency
from frugalmtl.model import MultiTaskModel
from frugalmtl.tasks.segmentation import segmentation

TASKS = ("first", "second", "third")
SHARED, SEPARATE = "hard sharing (all run)", ", one pass per task"
EXPECTED = 1.10
"""Largest quotient that counts as saved on the clock."""
DENSITY = 0.6


class FixedPolicies(Encoder):
    """One backbone whose tasks skip fixed blocks.

    Args:
        backbone: the network.
        policies: of the tasks.
        separate: deploy one pass per task instead of a tree.
    """

    def __init__(self, backbone: Backbone, policies: Mapping[str, Sequence[bool]], *, separate: bool) -> None:
        super().__init__()
        self.task_names = tuple(policies)
        self.channels, self.strides = list(backbone.channels), list(backbone.strides)
        self.network, self.chain, self.separate = backbone, GatedChain.of(backbone), separate
        self.policies = dict(policies)

    def encode(self, image: Tensor, tasks: Collection[str] | None = None) -> list[Tensor]:
        """Image ``[B, 3, H, W]`` -> the levels of the first wanted task's pyramid, then the next one's, ..."""
        policies = {task: self.policies[task] for task in self._wanted(tasks)}
        pyramids = run_tree(plan_tree(self.chain, policies), self.network, image)
        return [level for pyramid in pyramids.values() for level in pyramid]

    def branch(self, shared: list[Tensor], tasks: Collection[str] | None = None) -> Features:
        """The pyramids as they are."""
        levels = len(self.channels)
        return Features({task: shared[at * levels : (at + 1) * levels] for at, task in enumerate(self._wanted(tasks))})

    def _wanted(self, tasks: Collection[str] | None) -> list[str]:
        return [task for task in self.task_names if tasks is None or task in tasks]

    def deploy(self) -> nn.Module:
        """The tree, or its passes."""
        tree = PolicyTree(plan_tree(self.chain, self.policies, self.read_levels), self.network)
        if not self.separate:
            return tree
        plans = [plan_tree(self.chain, {task: row}, self.read_levels) for task, row in self.policies.items()]
        return Passes(plans, tree.network)


class Passes(nn.Module):
    """One pass per task through the blocks of its policy, over the same weights."""

    def __init__(self, plans: Sequence[TreePlan], network: Backbone) -> None:
        super().__init__()
        self.plans, self.network = list(plans), network

    def forward(self, image: Tensor) -> dict[str, Pyramid]:
        """Image ``[B, 3, H, W]`` -> ``{task: pyramid}``."""
        return {task: pyramid for plan in self.plans for task, pyramid in run_tree(plan, self.network, image).items()}


def policies_of(blocks: int) -> dict[str, dict[str, list[bool]]]:
    """Policies of three tasks over as many gated blocks, by the name of their row."""

    def without(*skipped: int) -> list[bool]:
        return [block not in skipped for block in range(blocks)]

    half, generator = blocks // 2, np.random.default_rng(0)
    rows = {
        "tree, all run": [without(), without(), without()],
        "tree, first half together": [without(), without(half), without(half + 1)],
        f"tree, random at {DENSITY}": (generator.random((3, blocks)) < DENSITY).tolist(),
        "tree, apart from the first block": [without(), without(0), without(1)],
    }
    return {name: dict(zip(TASKS, policies, strict=True)) for name, policies in rows.items()}


def deployed(encoder: Encoder, size: int) -> Point:
    """Three dense tasks with one light head each on this encoder."""
    first = segmentation(classes=tuple(f"class{index}" for index in range(13)))
    tasks = [replace(first, name=name) for name in TASKS]
    decoder = DECODERS.build(HEAD, encoder.channels, encoder.strides, tasks)
    module = deploy(MultiTaskModel(encoder, decoder, tasks).eval(), tolerance=TOLERANCE)
    return Point(module, count(module, (size, size)).macs)


def points(model: str, size: int) -> dict[str, Point]:
    """All rows of a backbone, deployed; the first one is the reference."""
    seed_everything(0)
    backbone = Timm(model=model)
    rows = {SHARED: deployed(HardSharing(backbone, TASKS), size)}
    for name, policies in policies_of(len(GatedChain.of(backbone).gated)).items():
        for separate in (False, True):
            encoder = FixedPolicies(deepcopy(backbone), policies, separate=separate)
            rows[name + SEPARATE * separate] = deployed(encoder, size)
    return rows


def table(rows: dict[str, Point], image: Tensor, options: argparse.Namespace) -> list[str]:
    """Markdown lines of one interleaved run."""
    modules = {name: point.module for name, point in rows.items()}
    timed = latency(modules, image, rounds=options.rounds, threads=options.threads)
    lines = [
        "| network | GMAC per image | ms | quartiles apart | MACs / hard sharing | time / hard sharing | quotient |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    quotients: dict[str, float] = {}
    for name, point in rows.items():
        macs = point.macs / rows[SHARED].macs
        time = timed[name].median_ms / timed[SHARED].median_ms
        quotients[name] = time / macs
        lines.append(
            f"| {name} | {point.macs / 1e9:.3f} | {timed[name].median_ms:.2f} | {timed[name].iqr_ms:.2f} "
            f"| {macs:.3f} | {time:.3f} | {quotients[name]:.3f} |"
        )
    trees = [name for name in rows if name != SHARED and not name.endswith(SEPARATE)]
    worst = max(trees, key=lambda name: quotients[name])
    verdict = "as" if quotients[worst] <= EXPECTED else "more than"
    saved = [timed[name].median_ms / timed[name + SEPARATE].median_ms for name in trees]
    return [
        *lines,
        "",
        f"Largest quotient of a tree: {quotients[worst]:.3f} ({worst}), {verdict} asked for ({EXPECTED:.2f}). "
        f"Tree / passes, time: {', '.join(f'{share:.2f}' for share in saved)} in the order of the rows.",
    ]


def tables(model: str, runtime: str, options: argparse.Namespace) -> list[str]:
    """All tables of a backbone in a runtime."""
    lines: list[str] = []
    rows = points(model, options.size)
    if runtime == "onnxruntime":
        with tempfile.TemporaryDirectory() as folder:
            rows = sessions(rows, Path(folder), options.size, options.batches, options.threads)
    for point in rows.values():
        point.module.to(options.device)
    gc.collect()
    for batch in options.batches:
        image = torch.randn(batch, 3, options.size, options.size, generator=torch.Generator().manual_seed(0))
        part = [f"## {model}, {runtime}, batch {batch}", "", *table(rows, image, options), ""]
        print("\n".join(part), flush=True)
        lines += part
    return lines


def main() -> None:
    """Measure, print and optionally write the tables."""
    parser = argparse.ArgumentParser(description="Saved operations and saved time of deployed prefix trees.")
    parser.add_argument("--backbones", nargs="+", default=["resnet18", "resnet34"], help="timm models")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8], help="images at a time")
    parser.add_argument("--rounds", type=int, default=25, help="interleaved rounds, of which the median is taken")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch and of onnxruntime")
    parser.add_argument("--size", type=int, default=256, help="height and width of the image in pixels")
    parser.add_argument("--runtimes", nargs="+", choices=["eager", "onnxruntime"], help="both; on a GPU eager")
    add_device(parser, "eager alone")
    parser.add_argument("--out", help="file for the markdown tables")
    options = parser.parse_args()
    device = chosen_device(options)
    torch.set_num_threads(options.threads)
    runtimes = options.runtimes or (["eager"] if options.device == "cuda" else ["eager", "onnxruntime"])
    if options.device == "cuda" and "onnxruntime" in runtimes:
        raise SystemExit("onnxruntime runs on the CPU here: leave --device cuda or the runtime out")
    head = [
        "# Time that prefix trees save",
        "",
        f"{caption(device, 'timm')}, onnxruntime {onnxruntime.__version__}; "
        f"float32; images {options.size} x {options.size}; medians of {options.rounds} "
        "interleaved rounds over all rows of a table. Made by `benchmarks/policy_tree.py`.",
        "",
        "Three dense tasks, one head (hrnet, 64 channels) each, deployed (eager: channels-last). First half together: "
        "the policies part in the middle, so that three histories run the second half. Apart from the first block: "
        f"they part at once. Random: every block of a task runs with probability {DENSITY}. One pass per task: "
        "the same policies, nothing run together. GMAC: 10^9 multiply-adds of the whole model, heads "
        "included. Quotient: time / hard sharing over MACs / hard sharing; 1 means that operations cost what they cost "
        f"in hard sharing, {EXPECTED:.2f} is what we ask for; below 1, the histories of a block in one call pay.",
        "",
    ]
    print("\n".join(head))
    lines = list(head)
    for model in options.backbones:
        for runtime in runtimes:
            lines += tables(model, runtime, options)
            if options.out:
                write_text(options.out, "\n".join(lines).rstrip() + "\n")


if __name__ == "__main__":
    main()
