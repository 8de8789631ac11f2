"""MTAN: multi-task attention network on one shared backbone (Liu et al., 2019)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from copy import deepcopy
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from frugalmtl.backbones import Backbone, State
from frugalmtl.backbones.views import require_stages
from frugalmtl.core.checks import positive
from frugalmtl.core.types import Features, Pyramid
from frugalmtl.encoders.base import Encoder, wanted_of
from frugalmtl.layers.blocks import bottleneck, conv_bn_relu
from frugalmtl.layers.folding import folded, select_inputs


class MTAN(Encoder):
    r"""MTAN: in every stage each task selects from the shared features by attention, and takes what it selected along.

    With ``b_s`` the features before the last block of stage s and ``t_s`` those after it::

        a_s = A_s([b_s, r_{s-1}]) . t_s        a mask per task: 1x1 to C / reduction, normalisation, ReLU, 1x1 to C,
                                               normalisation, sigmoid; in the first stage A_1(b_1)
        r_s = R_s(a_s)                         a bottleneck to the next stage's channels, which all tasks share, then
                                               max pooling where the next stage is coarser

    The pyramid of a task is made of its ``a_s``. The cut holds all ``b_s`` and ``t_s``; the tasks part there, although
    the bottlenecks behind it are shared: gradients compared at the cut leave these to the plain sum.

    Source: Liu, Johns, Davison, "End-to-End Multi-Task Learning with Attention" (CVPR 2019), section 3, in the form for
    residual networks of its code and of Vandenhende et al., "Multi-Task Learning for Dense Prediction Tasks: A Survey"
    (TPAMI 2021), section 2.2.3: bottlenecks of a quarter of their output's channels. The paper's own form, attention in
    encoder and decoder of a SegNet, is not built.

    Args:
        backbone: the shared network (copied): one map per stage, of two blocks or more.
        tasks: names of the tasks.
        reduction: channels of a stage over those between the two convolutions of a mask.

    Raises:
        UserError: ``reduction`` is not positive, or the backbone has a stage of one block, or of several maps.
    """

    views = ("stages",)

    def __init__(self, backbone: Backbone, tasks: Sequence[str], *, reduction: int = 4) -> None:
        super().__init__()
        positive("reduction", reduction)
        require_stages(backbone)
        self.task_names = tuple(tasks)
        self.channels, self.strides = list(backbone.channels), list(backbone.strides)
        self.network = deepcopy(backbone)
        stages = range(len(backbone.stages))
        pairs = [[info for info in backbone.blocks if info.stage == stage][-2:] for stage in stages]
        self.before, widths = [before.channels[0] for before, _ in pairs], [after.channels[0] for _, after in pairs]
        inputs = [before + (widths[stage] if stage else 0) for stage, before in enumerate(self.before)]
        self.masks = nn.ModuleDict(
            {
                task: nn.ModuleList(
                    Mask(*sizes, max(1, sizes[1] // reduction)) for sizes in zip(inputs, widths, strict=True)
                )
                for task in self.task_names
            }
        )
        strides = [after.strides[0] for _, after in pairs]
        self.refine = nn.ModuleList(
            StageRefinement(widths[stage], widths[stage + 1], strides[stage + 1] // strides[stage])
            for stage in stages[:-1]
        )

    def encode(self, image: Tensor, tasks: Collection[str] | None = None) -> list[Tensor]:
        """Image ``[B, 3, H, W]`` -> ``b_1, t_1, b_2, t_2, ...``; none where no task is wanted."""
        return halves(self.network, image) if wanted_of(self.task_names, tasks) else []

    def branch(self, shared: list[Tensor], tasks: Collection[str] | None = None) -> Features:
        """What each wanted task selects, as its pyramid."""
        pyramids: dict[str, Pyramid] = {}
        for task in wanted_of(self.task_names, tasks):
            selected: list[Tensor] = []
            for stage, mask in enumerate(cast(nn.ModuleList, self.masks[task])):
                before, after = (maps_first(self.network, tensor) for tensor in shared[2 * stage : 2 * stage + 2])
                inputs = torch.cat([before, self.refine[stage - 1](selected[-1])], dim=1) if stage else before
                selected.append(mask(inputs) * after)
            pyramids[task] = pyramid_of(self.network, selected)
        return Features(pyramids)

    def deploy(self) -> nn.Module:
        """The network with one convolution for what the masks of all tasks read of ``b_s``."""
        return DeployedMTAN(self, self.read_tasks())


class Mask(nn.Module):
    """Attention of a task in a stage: ``[B, inputs, h, w]`` -> ``[B, outputs, h, w]`` in (0, 1).

    Args:
        inputs: channels that it reads.
        outputs: channels of the stage.
        middle: channels between its two convolutions.
    """

    def __init__(self, inputs: int, outputs: int, middle: int) -> None:
        super().__init__()
        self.reduce = conv_bn_relu(inputs, middle, bias=True)
        self.expand = nn.Sequential(nn.Conv2d(middle, outputs, 1), nn.BatchNorm2d(outputs), nn.Sigmoid())

    def forward(self, features: Tensor) -> Tensor:
        """Features of the stage, and what the task took along -> mask."""
        mask: Tensor = self.expand(self.reduce(features))
        return mask


class StageRefinement(nn.Module):
    """What a task selected, at channels and resolution of the next stage.

    Args:
        inputs: channels of the stage.
        outputs: channels of the next one.
        ratio: its stride over that of the stage.
    """

    def __init__(self, inputs: int, outputs: int, ratio: int) -> None:
        super().__init__()
        self.block = bottleneck(inputs, outputs)
        self.ratio = ratio

    def forward(self, selected: Tensor) -> Tensor:
        """``[B, inputs, h, w]`` -> ``[B, outputs, h / ratio, w / ratio]``."""
        refined: Tensor = self.block(selected)
        return F.max_pool2d(refined, self.ratio) if self.ratio > 1 else refined


class DeployedMTAN(nn.Module):
    """Deployed :class:`MTAN`: ``image -> {task: pyramid}``.

    The first convolution of a mask reads features that all tasks read, and what one task took along. It is cut in two
    (the parts add up), and the former parts of all tasks are one convolution.

    Args:
        trained: whose submodules are reused.
        tasks: whose pyramids are returned.
    """

    def __init__(self, trained: MTAN, tasks: Sequence[str]) -> None:
        super().__init__()
        self.task_names = tuple(tasks)
        self.network, self.refine = trained.network, trained.refine
        masks = [[cast(Mask, mask) for mask in cast(nn.ModuleList, trained.masks[task])] for task in tasks]
        self.common, self.carried, self.expand = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for stage, by_task in enumerate(zip(*masks, strict=True)):
            convs = [folded(cast(nn.Conv2d, mask.reduce[0]), cast(nn.BatchNorm2d, mask.reduce[1])) for mask in by_task]
            width = trained.before[stage]
            self.common.append(stacked([select_inputs(conv, range(width), bias=True) for conv in convs]))
            rest = range(width, convs[0].in_channels)
            self.carried.append(nn.ModuleList(select_inputs(conv, rest, bias=False) for conv in convs if rest))
            self.expand.append(nn.ModuleList(mask.expand for mask in by_task))

    def forward(self, image: Tensor) -> dict[str, Pyramid]:
        """Image ``[B, 3, H, W]`` -> ``{task: pyramid}``."""
        shared = halves(self.network, image)
        selected: list[list[Tensor]] = [[] for _ in self.task_names]
        for stage, common in enumerate(self.common):
            before, after = (maps_first(self.network, tensor) for tensor in shared[2 * stage : 2 * stage + 2])
            parts = common(before).chunk(len(self.task_names), dim=1)
            for index, part in enumerate(parts):
                hidden = part
                if stage:
                    carried = cast(nn.ModuleList, self.carried[stage])[index]
                    hidden = hidden + carried(self.refine[stage - 1](selected[index][-1]))
                mask = cast(nn.ModuleList, self.expand[stage])[index](F.relu(hidden))
                selected[index].append(mask * after)
        return {task: pyramid_of(self.network, maps) for task, maps in zip(self.task_names, selected, strict=True)}


def halves(network: Backbone, image: Tensor) -> list[Tensor]:
    """The features before and after the last block of every stage, in the backbone's order of axes."""
    tensors: list[Tensor] = []
    state: State = image
    for stage in network.stages:
        *blocks, last = stage.children()
        for block in blocks:
            state = block(state)
        tensors.append(cast(Tensor, state))
        state = last(state)
        tensors.append(cast(Tensor, state))
    return tensors


def maps_first(network: Backbone, tensor: Tensor) -> Tensor:
    """A tensor of a state -> ``[B, C, h, w]``."""
    return tensor if network.channel_axis == 1 else tensor.movedim(-1, 1)


def pyramid_of(network: Backbone, selected: Sequence[Tensor]) -> Pyramid:
    """The pyramid that the backbone makes of ``[B, C, h, w]``, one for each stage."""
    states = (item if network.channel_axis == 1 else item.movedim(1, -1) for item in selected)
    return network.pyramid(dict(enumerate(states)))


def stacked(convs: Sequence[nn.Conv2d]) -> nn.Conv2d:
    """One 1x1 convolution for several that read the same features; its outputs follow each other."""
    first = convs[0]
    joined = nn.Conv2d(first.in_channels, sum(conv.out_channels for conv in convs), 1, device=first.weight.device)
    with torch.no_grad():
        joined.weight.copy_(torch.cat([conv.weight for conv in convs]))
        cast(nn.Parameter, joined.bias).copy_(torch.cat([cast(nn.Parameter, conv.bias) for conv in convs]))
    return joined.to(first.weight.dtype).eval()
