"""Latency of AdaMTL's deployed form against the multiply-adds that it runs.

python benchmarks/adamtl/runtime.py --out benchmarks/adamtl_runtime.md

Weights and decisions are random: time does not depend on what was learned. Hard sharing and AdaMTL have the same
backbone and heads, and are timed in one interleaved run per table; read the quotients.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from frugalmtl.backbones.timm import Timm
from frugalmtl.core.counting import MacCounter
from frugalmtl.core.files import write_text
from frugalmtl.core.seeding import seed_everything
from frugalmtl.core.types import Decisions
from frugalmtl.decoders import DECODERS
from frugalmtl.deployment import CapturedPass, DeployedModel, deploy
from frugalmtl.encoders.adamtl.layout import GatedStage, gated_stages, token_decision, token_halves
from frugalmtl.encoders.adamtl.options import DecisionOptions, ExecutionOptions
from frugalmtl.encoders.adamtl.parts import RuntimeParts
from frugalmtl.encoders.adamtl.policy import SURE, Policies
from frugalmtl.encoders.adamtl.runtime import AdaMTLRuntime
from frugalmtl.encoders.adamtl.windows import spread
from frugalmtl.encoders.hard_sharing import HardSharing
from frugalmtl.evaluation.cost import timed_rounds
from frugalmtl.model import MultiTaskModel
from frugalmtl.tasks.segmentation import segmentation

TASKS = {"semseg": 21, "human_parts": 7, "saliency": 2, "normals": 3}
"""Channels of the predictions of four tasks, as in PASCAL-Context."""
STATIC, EVERYTHING, LOOP = "hard sharing (timm)", "AdaMTL, all on, no policies", "one image after the other"
EXPECTED = {1: 1.10}
EXPECTED_BATCH = 1.15
"""Largest quotients that count as saved on the clock, for one image and for more."""
POLICIES = 0.03
"""Largest share of the time of hard sharing that policies may take."""
BLOCKS, TOKENS = 0.9, 0.5
NOTES = """## Reading

- Nothing is gathered per image: tokens of the batch are rows of one matrix, of which attention gathers windows (shift,
  padding and partition in one gather) and the MLP tokens; both add to the rows in place. Copying the images that are on
  once per run of blocks was the plan, but at nine blocks in ten the set of images changes with nearly every block, and
  the gathers of windows and tokens are there anyway.
- Attention is one fused operation with the bias of positions laid out once; timm gathers it in every call and adds bias
  and mask apart. On a CPU the MLP takes 3072 rows at a time: its hidden layer then stays in the cache (25088 rows of 96
  channels: 60 instead of 89 ms on one thread; layers of 192 channels and more neither gain nor lose).
- Policies of all tasks are one matrix product. Their second layer as a batched product (exact multiply-adds), as a
  block-diagonal one and as products and sums were tried: within 10 %, so the first stayed. Four tasks with the
  published width 64 are 9 % of the multiply-adds of hard sharing with heads: 3 % of its time would need each of theirs
  three times as fast as its own. Narrower policies come down in proportion, but for what is begun for every block, some
  thirty operations of microseconds each (logits, maxima, masks, counts), which is about 2 % of one image's time.
- On a GPU the host waits once per stage for the number of images of every block, and once per block with token policies
  for the numbers of its windows and tokens (both in one copy); under decisions that are handed over once in all, and
  under constant ones (`AdaMTLRuntime.fixed`) never: that form can be captured as a CUDA graph. Where thresholds let
  everything run, no policy is computed, nothing waits, and the model can be captured as it is.
"""
"""What is behind the figures."""


@dataclass(frozen=True, eq=False)
class Static:
    """Hard sharing, deployed, and the backbone that all rows have.

    Attributes:
        backbone: the network.
        model: hard sharing.
    """

    backbone: Timm
    model: DeployedModel

    @classmethod
    def of(cls, options: argparse.Namespace) -> Static:
        """Four dense tasks with the heads of AdaMTL."""
        seed_everything(0)
        backbone = Timm(model=options.backbone, pyramid="merged")
        tasks = [
            replace(segmentation(classes=tuple(f"class{index}" for index in range(count))), name=name)
            for name, count in TASKS.items()
        ]
        encoder = HardSharing(backbone, tuple(TASKS))
        head = {"name": "adamtl", "width": 64}
        decoder = DECODERS.build({"name": "independent", "head": head}, encoder.channels, encoder.strides, tasks)
        return cls(backbone, deploy(MultiTaskModel(encoder, decoder, tasks).eval(), tolerance=1e-3))

    def adaptive(self, *, hidden: int | None = None, **execution: Any) -> AdaMTLRuntime:
        """AdaMTL's deployed form of the same backbone; policies of a hidden width, or none."""
        rules, stages = ExecutionOptions(**execution), gated_stages(self.backbone)
        decision = DecisionOptions(policy="always_on") if hidden is None else DecisionOptions(hidden=hidden)
        policies = Policies(stages, tuple(TASKS), decision, rules, (BLOCKS, TOKENS))
        parts = RuntimeParts(deepcopy(self.backbone), stages, policies, rules, tuple(TASKS))
        runtime = AdaMTLRuntime(parts).eval().requires_grad_(False)
        for net in (*runtime.policies.blocks.values(), *runtime.policies.tokens.values()):
            net.get_parameter("bias").fill_(SURE)  # computed, and all on
        return runtime

    def whole(self, encoder: nn.Module) -> DeployedModel:
        """The heads of hard sharing on another encoder."""
        return DeployedModel(encoder, self.model.decoder, tuple(TASKS), size_divisor=self.model.size_divisor).eval()


class Decided(nn.Module):
    """A model under constant decisions that it reads in every pass; ``loop`` runs one image after the other."""

    def __init__(self, model: DeployedModel, decisions: Decisions, *, loop: bool = False) -> None:
        super().__init__()
        self.model, self.decisions, self.loop = model, decisions, loop

    def forward(self, image: Tensor) -> Any:
        """Image ``[B, 3, H, W]`` -> predictions."""
        decisions = {name: value.to(image.device) for name, value in self.decisions.items()}
        if not self.loop:
            return self.model(image, decisions)
        parts = [slice(number, number + 1) for number in range(image.shape[0])]
        return [self.model(image[part], {name: value[part] for name, value in decisions.items()}) for part in parts]


def decisions_of(static: Static, stages: tuple[GatedStage, ...], unit: str, batch: int, size: int) -> Decisions:
    """Random decisions: shares BLOCKS of the blocks and TOKENS of the tokens, or of the windows."""
    generator, decisions = torch.Generator().manual_seed(1), {}
    for stage in stages:
        side = size // stage.stride
        decisions[stage.decision] = torch.rand(batch, len(stage.blocks), generator=generator) < BLOCKS
        for block in stage.blocks:
            places = token_halves(static.backbone, block).places(side, side)
            shape = (batch, len(places)) if unit == "window" else (batch, side, side)
            mask = torch.rand(shape, generator=generator) < TOKENS
            decisions[token_decision(block)] = spread(mask, places, (side, side)) if unit == "window" else mask
    return decisions


def rows_of(static: Static, image: Tensor, options: argparse.Namespace) -> dict[str, nn.Module]:
    """The rows of a table of decisions."""
    rows: dict[str, nn.Module] = {STATIC: static.model, EVERYTHING: static.whole(static.adaptive())}
    graphs: dict[str, nn.Module] = {STATIC: static.model}
    for unit in ("token", "window"):
        decisions = decisions_of(static, gated_stages(static.backbone), unit, image.shape[0], options.size)
        for attention in ("dense", "windows"):
            runtime = static.adaptive(attention=attention)
            name, model = f"{unit}s, attention {attention}", static.whole(runtime)
            rows[name] = Decided(model, decisions)
            if options.device == "cuda":
                moved = {key: value.to(options.device) for key, value in decisions.items()}
                graphs[name] = static.whole(runtime.to(options.device).fixed(moved, image))
        if image.shape[0] > 1:
            rows[f"{name}, {LOOP}"] = Decided(model, decisions, loop=True)
    for module in rows.values():
        module.to(options.device)
    if options.device == "cuda":
        rows |= {f"{name}, graph": CapturedPass(model.to(options.device), image) for name, model in graphs.items()}
    return rows


def policy_rows(static: Static, options: argparse.Namespace) -> dict[str, nn.Module]:
    """The rows of a table of policies: they are computed, and all is on."""
    rows: dict[str, nn.Module] = {STATIC: static.model, EVERYTHING: static.whole(static.adaptive())}
    for hidden in options.hidden:
        rows[policies_row(hidden)] = static.whole(static.adaptive(hidden=hidden))
    return {name: module.to(options.device) for name, module in rows.items()}


def policies_row(hidden: int) -> str:
    """Name of the row of policies of a hidden width."""
    return f"AdaMTL, all on, policies of width {hidden}"


def table(rows: Mapping[str, nn.Module], image: Tensor, rounds: int, hidden: Sequence[int] = ()) -> list[str]:
    """Markdown lines of one interleaved run, and what the policies of some widths in it take."""
    macs = {}
    for name, module in rows.items():
        if not isinstance(module, CapturedPass):  # a replayed graph runs what was captured
            with MacCounter(module) as counter:
                module(image)
            macs[name] = counter.macs() / image.shape[0]
    timed = timed_rounds(rows, image, rounds=rounds)
    median = {name: float(np.median(values)) for name, values in timed.items()}
    lines = [
        "| model | GMAC per image | ms | MACs / hard sharing | time / hard sharing | quartiles apart | quotient |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    quotients = {}
    for name in rows:
        plain, reference = name.removesuffix(", graph"), STATIC + ", graph" * name.endswith(", graph")
        share, (time, apart) = macs[plain] / macs[STATIC], paired(timed[name], timed[reference])
        quotients[name] = time / share
        lines.append(
            f"| {name} | {macs[plain] / 1e9:.3f} | {median[name]:.2f} | {share:.3f} | {time:.3f} "
            f"| {apart:.3f} | {quotients[name]:.3f} |"
        )
    adaptive = {name: value for name, value in quotients.items() if ", attention" in name and LOOP not in name}
    if adaptive:
        worst, limit = max(adaptive, key=lambda name: adaptive[name]), EXPECTED.get(image.shape[0], EXPECTED_BATCH)
        verdict = "kept" if adaptive[worst] <= limit else "NOT kept"
        lines += [
            "",
            f"Largest quotient: {adaptive[worst]:.3f} ({worst}); at most {limit:.2f} is asked for: {verdict}.",
        ]
    return [*lines, *(["", *(policies_line(width, timed, macs) for width in hidden)] if hidden else [])]


def policies_line(hidden: int, timed: Mapping[str, Sequence[float]], macs: Mapping[str, float]) -> str:
    """What the policies of a hidden width take, beside what is asked for."""
    more = np.subtract(timed[policies_row(hidden)], timed[EVERYTHING])
    share, apart = paired(more, timed[STATIC])
    error = 1.57 * apart / len(more) ** 0.5  # of a median, 95 % (McGill, Tukey, Larsen 1978)
    verdict = "kept" if share + error <= POLICIES else "NOT kept" if share - error > POLICIES else "not resolved"
    return (
        f"Policies of width {hidden}, four tasks: {share:.1%} ± {error:.1%} of the time of hard sharing and "
        f"{(macs[policies_row(hidden)] - macs[EVERYTHING]) / macs[STATIC]:.1%} of its multiply-adds; at most "
        f"{POLICIES:.0%} is asked for: {verdict}."
    )


def paired(times: ArrayLike, reference: ArrayLike) -> tuple[float, float]:
    """Median and distance of the quartiles of ``times / reference``, round by round.

    What slows the machine for a while slows both of a round.
    """
    low, median, high = np.percentile(np.divide(times, reference), [25, 50, 75])
    return float(median), float(high - low)


def main() -> None:
    """Measure, print and optionally write the tables."""
    sys.path.append(str(Path(__file__).parents[1]))  # what all benchmarks share lies one folder up
    from shared.machine import add_device, caption, chosen_device

    parser = argparse.ArgumentParser(description="Saved operations and saved time of AdaMTL's deployed form.")
    parser.add_argument("--backbone", default="swin_tiny_patch4_window7_224", help="a Swin Transformer of timm")
    parser.add_argument("--batches", nargs="+", type=int, default=None, help="images at a time; 1 8, on a GPU 1 8 32")
    parser.add_argument("--hidden", nargs="+", type=int, default=[64, 16], help="widths of policies")
    parser.add_argument("--rounds", type=int, default=15, help="interleaved rounds, of which the median is taken")
    parser.add_argument("--policy_rounds", type=int, default=200, help="those of policies; fewer for larger batches")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    parser.add_argument("--size", type=int, default=224, help="height and width of the image in pixels")
    add_device(parser, "captured graphs too")
    parser.add_argument("--out", help="file for the markdown tables")
    options = parser.parse_args()
    device = chosen_device(options)
    torch.set_num_threads(options.threads)
    lines = [
        "# Time that AdaMTL's deployed form saves",
        "",
        f"{caption(device, 'timm')}; "
        f"float32; {options.backbone}, images {options.size} x {options.size}, four tasks with AdaMTL's heads (width "
        f"64); {options.rounds} interleaved rounds over all rows of a table, if not said otherwise. Made by "
        "`benchmarks/adamtl/runtime.py`.",
        "",
        f"Decisions are drawn: {BLOCKS:.0%} of the blocks of every image, and in these {TOKENS:.0%} of the tokens, one "
        "by one (tokens) or by whole windows (windows). Attention runs in all windows of a block (dense) or in those "
        "with a token that is on (windows). GMAC: 10^9 multiply-adds of the whole model, heads and policies included. "
        "Times are medians over the rounds in eager PyTorch, ratios of times medians of the ratios within each round. "
        "Quotient: time / hard sharing over MACs / hard sharing. Hard sharing runs timm's blocks; what AdaMTL's own "
        "blocks gain where all is on stands in the second row.",
        "",
    ]
    print("\n".join(lines))
    static = Static.of(options)
    for batch in options.batches or ([1, 8, 32] if options.device == "cuda" else [1, 8]):
        image = torch.randn(batch, 3, options.size, options.size, generator=torch.Generator().manual_seed(0))
        image = image.to(options.device)
        static.model.to(options.device)
        part = [f"## Batch {batch}", "", *table(rows_of(static, image, options), image, options.rounds), ""]
        gc.collect()
        rounds = max(options.rounds, options.policy_rounds // batch)
        part += [f"Policies alone, {rounds} rounds:", ""]
        part += [*table(policy_rows(static, options), image, rounds, options.hidden), ""]
        gc.collect()
        print("\n".join(part), flush=True)
        lines += part
        if options.out:
            write_text(options.out, "\n".join([*lines, NOTES]).rstrip() + "\n")


if __name__ == "__main__":
    main()
