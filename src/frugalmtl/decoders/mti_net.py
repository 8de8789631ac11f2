"""MTI-Net: multi-scale task interactions (Vandenhende et al., 2020)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, Any, cast

import torch
from torch import Tensor, nn

from frugalmtl.core.checks import positive
from frugalmtl.core.types import Auxiliary, Predictions, Pyramid
from frugalmtl.decoders._features import once_per_pyramid
from frugalmtl.decoders.base import Decoder, final_names, resize
from frugalmtl.decoders.heads import HEADS, Head
from frugalmtl.layers.blocks import basic_block
from frugalmtl.layers.distillation import Distillation
from frugalmtl.layers.feature_pyramid import FeaturePyramid, doubling
from frugalmtl.layers.propagation import FeaturePropagation, Grouping
from frugalmtl.tasks import Task

STRIDES = (4, 8, 16, 32)


class MTINet(Decoder):
    """Initial predictions, propagation and distillation at four scales, from the coarsest to the finest.

    At every scale each task has features: two residual blocks on the encoder's level, beside what feature propagation
    gives from the next coarser scale, resized (:class:`~frugalmtl.layers.propagation.FeaturePropagation`). A 1x1
    convolution predicts the task from them (``auxiliary["scale 0"]`` to ``["scale 3"]``, finest first, at image size,
    each with the task's own loss and weight). At every scale the tasks exchange their features as in PAD-Net
    (:class:`~frugalmtl.layers.distillation.Distillation`), and a head per task makes the final prediction of the four.

    Vandenhende, Georgoulis, Van Gool 2020 (arXiv:2001.06902), with the widths of the survey's code (Vandenhende et al.
    2021): features are as wide as the encoder's level. Auxiliary tasks have initial predictions, propagate and
    distil, and have no final one. Tasks without a map have the head ``pooled`` and stay out of the exchange.

    Encoders whose levels are no four scales that double (dilated networks, plain Transformers) get a feature pyramid
    network in front (strides 4 to 32), one that all tasks share; the paper takes HRNets and such pyramids.

    Args:
        channels: channels of the encoder's pyramid.
        strides: strides of the encoder's pyramid.
        tasks: what is predicted.
        head: head on the four distilled maps of every dense task: its name, or a mapping with a key ``name`` and its
            arguments.
        softmax: which channels compete in feature propagation: the same one of all ``tasks``, as the paper says, or
            those that are ``adjacent``, as its code does.
        value_convolution: learn the values of distillation, see :class:`~frugalmtl.decoders.pad_net.PADNet`.
        reduction: of squeeze and excitation.
        pyramid_width: channels of the feature pyramid network, where there is one.

    Raises:
        UserError: a width or reduction that is not positive, or an unknown head or argument.
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        tasks: Sequence[Task],
        *,
        head: Annotated[str | dict[str, Any], HEADS] = "hrnet",
        softmax: Grouping = "tasks",
        value_convolution: bool = True,
        reduction: int = 16,
        pyramid_width: int = 128,
    ) -> None:
        super().__init__()
        positive("reduction", reduction)
        positive("pyramid_width", pyramid_width)
        self.tasks = tuple(tasks)
        dense = [task for task in tasks if task.dense]
        self.targets = tuple(task.name for task in dense if not task.auxiliary)
        self.pyramid: FeaturePyramid | None = None
        widths, scales = list(channels), list(strides)
        if dense and not (len(strides) == len(STRIDES) and doubling(strides)):
            self.pyramid = FeaturePyramid(channels, strides, pyramid_width, STRIDES)
            widths, scales = [pyramid_width] * len(STRIDES), list(STRIDES)
        self.scales = ScaleFeatures([task.name for task in dense], widths, reduction=reduction, softmax=softmax)
        self.initial, self.exchange = nn.ModuleList(), nn.ModuleList()
        for width in widths if dense else ():
            self.initial.append(nn.ModuleDict({task.name: nn.Conv2d(width, task.channels, 1) for task in dense}))
            self.exchange.append(Distillation(self.scales.names, self.targets, width, value_convolution))
        self.final = nn.ModuleDict(
            {task.name: HEADS.build(head, widths, scales, task.channels) for task in dense if not task.auxiliary}
        )
        self.pooled = nn.ModuleDict(
            {task.name: HEADS.build("pooled", channels, strides, task.channels) for task in tasks if not task.dense}
        )

    def forward(self, features: dict[str, Pyramid], size: tuple[int, int]) -> Predictions:
        """Features and the image's ``(H, W)`` -> predictions, and those of every scale as auxiliary ones."""
        by_scale = self.scales(scales_of(self.pyramid, features, self.scales.names))
        raw = final_of(by_scale, self.exchange, self.final, size)
        auxiliary = {
            f"scale {scale}": Auxiliary(
                {name: resize(head(maps[name]), size) for name, head in cast(nn.ModuleDict, heads).items()}
            )
            for scale, (heads, maps) in enumerate(zip(self.initial, by_scale, strict=True))
        }
        helping: dict[str, Tensor] = {}
        for task in self.tasks:
            if not task.dense:
                (helping if task.auxiliary else raw)[task.name] = self.pooled[task.name](features[task.name])
        if helping:
            auxiliary["initial"] = Auxiliary(helping)
        return Predictions({task.name: raw[task.name] for task in self.tasks if not task.auxiliary}, auxiliary)

    def last_layers(self, task: str) -> list[list[nn.Module]]:
        """Those of the initial predictions, finest first, and of the final one."""
        if task in self.pooled:
            return [cast(Head, self.pooled[task]).last_layers()]
        layers = [[cast(nn.ModuleDict, heads)[task]] for heads in self.initial]
        if task in self.final:
            layers.append(cast(Head, self.final[task]).last_layers())
        return layers

    def deploy(self, tasks: Collection[str] | None = None) -> nn.Module:
        """The final predictions of the wanted tasks without the initial ones; what they read of other tasks stays."""
        return DeployedMTINet(self, final_names(self.tasks, tasks))


class ScaleFeatures(nn.Module):
    """Features of every task at every scale, from the coarsest to the finest.

    Args:
        names: of the tasks.
        widths: channels of the scales, finest first.
        reduction: of squeeze and excitation.
        softmax: which channels compete in feature propagation.
    """

    def __init__(self, names: Sequence[str], widths: Sequence[int], *, reduction: int, softmax: Grouping) -> None:
        super().__init__()
        self.names = tuple(names)
        self.blocks, self.propagation = nn.ModuleList(), nn.ModuleList()
        for scale, width in enumerate(widths if names else ()):
            inputs = width + sum(widths[scale + 1 : scale + 2])
            self.blocks.append(
                nn.ModuleDict(
                    {name: nn.Sequential(basic_block(inputs, width), basic_block(width, width)) for name in names}
                )
            )
            if scale > 0:
                self.propagation.append(FeaturePropagation(names, width, reduction=reduction, softmax=softmax))

    def forward(self, scales: dict[str, Pyramid]) -> list[dict[str, Tensor]]:
        """``{task: scales}`` -> features by task at each scale, finest first."""
        results: list[dict[str, Tensor]] = []
        coarser: dict[str, Tensor] = {}
        for scale in reversed(range(len(self.blocks))):
            inputs = {name: scales[name][scale] for name in self.names}
            for name, item in coarser.items():
                height, width = inputs[name].shape[-2:]
                inputs[name] = torch.cat([inputs[name], resize(item, (height, width))], dim=1)
            maps = {name: block(inputs[name]) for name, block in cast(nn.ModuleDict, self.blocks[scale]).items()}
            results.insert(0, maps)
            if scale > 0:
                coarser = self.propagation[scale - 1](maps)
        return results


class DeployedMTINet(nn.Module):
    """Deployed :class:`MTINet`: ``({task: pyramid}, size) -> {task: raw prediction}``, without initial predictions.

    Args:
        trained: whose submodules are reused.
        names: of the tasks whose final predictions are wanted.
    """

    def __init__(self, trained: MTINet, names: Sequence[str]) -> None:
        super().__init__()
        self.names, targets = tuple(names), [name for name in trained.targets if name in names]
        self.final = nn.ModuleDict({name: cast(Head, trained.final[name]).deploy() for name in targets})
        self.pooled = nn.ModuleDict({name: head for name, head in trained.pooled.items() if name in names})
        self.pyramid = trained.pyramid if targets else None
        self.scales = trained.scales if targets else ScaleFeatures((), (), reduction=1, softmax="tasks")
        self.exchange = nn.ModuleList(
            cast(Distillation, exchange).for_targets(targets) for exchange in (trained.exchange if targets else ())
        )

    def forward(self, features: dict[str, Pyramid], size: tuple[int, int]) -> dict[str, Tensor]:
        """Features and the image's ``(H, W)`` -> raw predictions, the dense ones at that size."""
        by_scale = self.scales(scales_of(self.pyramid, features, self.scales.names))
        raw = final_of(by_scale, self.exchange, self.final, size)
        for name, head in self.pooled.items():
            raw[name] = head(features[name])
        return {name: raw[name] for name in self.names}


def final_of(
    by_scale: list[dict[str, Tensor]], exchange: nn.ModuleList, heads: nn.ModuleDict, size: tuple[int, int]
) -> dict[str, Tensor]:
    """Features by task at each scale -> final predictions at the image's size: distilled, then one head per task."""
    distilled = [exchanged(maps) for exchanged, maps in zip(exchange, by_scale, strict=True)]
    return {name: resize(head([maps[name] for maps in distilled]), size) for name, head in heads.items()}


def scales_of(pyramid: FeaturePyramid | None, features: dict[str, Pyramid], names: Sequence[str]) -> dict[str, Pyramid]:
    """``{task: scales}`` of some tasks: the encoder's levels, or what a feature pyramid network makes of them."""
    if pyramid is None:
        return {name: features[name] for name in names}
    return once_per_pyramid(pyramid, features, names)
