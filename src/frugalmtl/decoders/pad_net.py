"""PAD-Net: tasks exchange the features of their initial predictions (Xu et al., 2018)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from torch import Tensor, nn

from frugalmtl.core.types import Auxiliary, Predictions, Pyramid
from frugalmtl.decoders._features import once_per_pyramid
from frugalmtl.decoders.base import Decoder, final_names, resize
from frugalmtl.decoders.heads import HEADS
from frugalmtl.layers.blocks import bottleneck
from frugalmtl.layers.distillation import Distillation
from frugalmtl.layers.fusion import PyramidFusion
from frugalmtl.tasks import Task


class PADNet(Decoder):
    """Initial prediction per task, attention between the tasks' features, final prediction per task.

    With ``F_k`` the features behind task ``k``'s initial prediction::

        F_k' = F_k + sum_{l != k} sigmoid(W^a_{kl} * F_l) . (W^f_{kl} * F_l)

    Xu et al. 2018 (arXiv:1805.04409), module C, in the form of the survey (Vandenhende et al. 2021) and its code:
    initial and final heads of two residual bottlenecks and a 1x1 convolution, all ``W`` 3x3 without bias. The initial
    predictions are supervised (``auxiliary["initial"]``, at image size).

    All tasks share the fusion of a pyramid's levels. Auxiliary tasks have an initial prediction and take part in the
    exchange, but have no final prediction. Tasks without a map have the head ``pooled`` and stay out of the exchange.

    Args:
        channels: channels of the encoder's pyramid.
        strides: strides of the encoder's pyramid.
        tasks: what is predicted.
        width: channels of the tasks' features, a multiple of 4.
        value_convolution: learn ``W^f``; without it the attention weighs ``F_l`` itself (the survey's equation 2).
        fuse: work on all levels fused at the finest resolution, as the survey does on HRNet, or (False) on the coarsest
            level alone, as it does on dilated ResNets.
        fuse_width: channels of the fused map; the sum of ``channels`` (the survey's choice) by default, which is
            expensive on backbones with wide levels.

    Raises:
        UserError: ``width`` is no multiple of 4.
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        tasks: Sequence[Task],
        *,
        width: int = 256,
        value_convolution: bool = True,
        fuse: bool = True,
        fuse_width: int | None = None,
    ) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.targets = tuple(task.name for task in tasks if task.dense and not task.auxiliary)
        dense = [task for task in tasks if task.dense]
        self.common: nn.Module = _LastLevel()
        inputs = channels[-1]
        if fuse and dense:
            fusion = PyramidFusion(channels, strides, fuse_width)
            self.common, inputs = fusion, fusion.width
        self.features = nn.ModuleDict({task.name: _features(inputs, width) for task in dense})
        self.initial = nn.ModuleDict({task.name: nn.Conv2d(width, task.channels, 1) for task in dense})
        self.exchange = Distillation(list(self.features), self.targets, width, value_convolution)
        self.final = nn.ModuleDict(
            {
                task.name: nn.Sequential(_features(width, width), nn.Conv2d(width, task.channels, 1))
                for task in dense
                if not task.auxiliary
            }
        )
        self.pooled = nn.ModuleDict(
            {task.name: HEADS.build("pooled", channels, strides, task.channels) for task in tasks if not task.dense}
        )

    def forward(self, features: dict[str, Pyramid], size: tuple[int, int]) -> Predictions:
        """Features and the image's ``(H, W)`` -> predictions, and the initial ones as ``auxiliary["initial"]``."""
        common = once_per_pyramid(self.common, features, self.features)
        by_task = {name: block(common[name]) for name, block in self.features.items()}
        distilled = self.exchange(by_task)
        raw: dict[str, Tensor] = {name: resize(head(distilled[name]), size) for name, head in self.final.items()}
        initial = {name: resize(head(by_task[name]), size) for name, head in self.initial.items()}
        for task in self.tasks:
            if not task.dense:
                (initial if task.auxiliary else raw)[task.name] = self.pooled[task.name](features[task.name])
        final = {task.name: raw[task.name] for task in self.tasks if not task.auxiliary}
        return Predictions(final, {"initial": Auxiliary(initial)} if initial else {})

    def last_layers(self, task: str) -> list[list[nn.Module]]:
        """Those of the initial and the final prediction."""
        if task in self.pooled:
            return [[self.pooled[task].out]]  # type: ignore[list-item]  # a head
        layers = [[self.initial[task]]]
        if task in self.final:
            layers.append([list(self.final[task].children())[-1]])
        return layers

    def deploy(self, tasks: Collection[str] | None = None) -> nn.Module:
        """The final predictions of the wanted tasks without the initial ones; what they read of other tasks stays."""
        return DeployedPADNet(self, final_names(self.tasks, tasks))


class DeployedPADNet(nn.Module):
    """Deployed :class:`PADNet`: ``({task: pyramid}, size) -> {task: raw prediction}``, without initial predictions.

    Args:
        trained: whose submodules are reused.
        names: of the tasks whose final predictions are wanted.
    """

    def __init__(self, trained: PADNet, names: Sequence[str]) -> None:
        super().__init__()
        self.names, targets = tuple(names), [name for name in trained.targets if name in names]
        self.final = nn.ModuleDict({name: trained.final[name] for name in targets})
        self.pooled = nn.ModuleDict({name: head for name, head in trained.pooled.items() if name in names})
        self.exchange = trained.exchange.for_targets(targets)
        read = {*targets, *self.exchange.convs}
        sources = nn.ModuleDict({name: block for name, block in trained.features.items() if name in read})
        self.features: Mapping[str, nn.Module] = sources  # type: ignore[assignment]  # a ModuleDict is no Mapping by type
        fusion = trained.common if targets else _LastLevel()
        self.common = fusion.deploy() if isinstance(fusion, PyramidFusion) else fusion

    def forward(self, features: dict[str, Pyramid], size: tuple[int, int]) -> dict[str, Tensor]:
        """Features and the image's ``(H, W)`` -> raw predictions, the dense ones at that size."""
        common = once_per_pyramid(self.common, features, self.features)
        by_task = {name: block(common[name]) for name, block in self.features.items()}
        distilled = self.exchange(by_task) if by_task else by_task
        raw: dict[str, Tensor] = {name: resize(head(distilled[name]), size) for name, head in self.final.items()}
        for name, head in self.pooled.items():
            raw[name] = head(features[name])
        return {name: raw[name] for name in self.names}


class _LastLevel(nn.Module):
    """The coarsest level of a pyramid."""

    def forward(self, pyramid: Pyramid) -> Tensor:
        return pyramid[-1]


def _features(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(bottleneck(inputs, width), bottleneck(width, width))
