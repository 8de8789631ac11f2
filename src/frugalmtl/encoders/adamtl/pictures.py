"""Pictures of what AdaMTL computes of single images: tokens over the photograph, cost per image, tokens per block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from frugalmtl.core.types import Curve, Decisions, Distribution, Overlay, Picture
from frugalmtl.encoders.adamtl.efficiency.cost import ImageCost
from frugalmtl.encoders.adamtl.layout import GatedStage, token_decision

SHOWN = "as shown"
"""Name of the decisions whose masks are shown."""

_EXTREMES = 3


def image_pictures(decided: Mapping[str, Decisions], stages: Sequence[GatedStage], cost: ImageCost) -> list[Picture]:
    """Masks of the cheapest, the middle and the dearest image, multiply-adds of all, and tokens of each block.

    Args:
        decided: decisions on the images, those that are shown, and of operating points beside them.
        stages: gated blocks.
        cost: of the encoder.
    """
    costs = {name: cost(decisions).cpu().numpy() / 1e9 for name, decisions in decided.items()}
    shown = costs[SHOWN]
    order = np.argsort(shown, kind="stable").tolist()
    chosen = {"cheapest": order[0], "middle": order[len(order) // 2], "dearest": order[-1]}
    blocks = [(stage, number) for stage in stages for number in range(len(stage.blocks))]
    pictures: list[Picture] = [
        _overlay(kind, image, decided[SHOWN], blocks, float(shown[image]))
        for kind, image in chosen.items()
        if len(order) > 2 or kind != "middle"
    ]
    extremes = order if len(order) <= 2 * _EXTREMES else order[:_EXTREMES] + order[-_EXTREMES:]
    pictures.append(
        Distribution(
            "compute_per_image",
            "Multiply-adds of each image",
            "multiply-adds of the encoder in G",
            {name: values.tolist() for name, values in costs.items()},
            "Policies included, the decoder left out. Beneath: the images that cost least and most, as shown.",
            extremes=extremes,
            extreme_values=[float(shown[image]) for image in extremes],
        )
    )
    pictures.append(_tokens_per_block(decided, blocks))
    return pictures


def _overlay(
    kind: str, image: int, decisions: Decisions, blocks: Sequence[tuple[GatedStage, int]], cost: float
) -> Overlay:
    """Masks of one image, block after block."""
    masks, panels = [], []
    for stage, number in blocks:
        name = stage.blocks[number]
        mask = decisions[token_decision(name)][image].float()
        masks.append(mask.tolist())
        off = not bool(decisions[stage.decision][image, number])
        panels.append(f"{name}: off" if off else name)  # the share stands beneath each panel
    return Overlay(
        f"tokens_{kind}",
        f"Tokens that each block computes: the {kind} image ({cost:.3g} G)",
        [image] * len(masks),
        panels,
        masks,
        "Light where a token goes through the block's MLP, in order of execution; the share of tokens is named.",
    )


def _tokens_per_block(decided: Mapping[str, Decisions], blocks: Sequence[tuple[GatedStage, int]]) -> Curve:
    """Mean share of tokens that each block computes, and of images that run it."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for name, decisions in decided.items():
        tokens = [decisions[token_decision(stage.blocks[number])].float().mean() for stage, number in blocks]
        lines[f"tokens, {name}"] = [(at + 1.0, float(share)) for at, share in enumerate(tokens)]
        runs = [decisions[stage.decision][:, number].float().mean() for stage, number in blocks]
        lines[f"images, {name}"] = [(at + 1.0, float(share)) for at, share in enumerate(runs)]
    return Curve(
        "tokens_per_block",
        "Tokens that run in each block",
        "block, in order of execution",
        "mean share",
        lines,
        "Share of all tokens that a block computes (none of an image that skips it), and of the images that run it.",
    )
