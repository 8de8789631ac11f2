"""Interface of an encoder: features per task, the cut where tasks part, and a plain module after training."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from frugalmtl.channels.times import LayerTimes, Machine, SizedLayer
from frugalmtl.core.budget import Clock, Runtime
from frugalmtl.core.types import Features, Heatmap, Picture, Pyramid
from frugalmtl.encoders._training import TrainingHooks


@dataclass(frozen=True)
class ModelContext:
    """Facts of the model that an encoder is part of.

    Attributes:
        image_size: height and width that the network sees.
        decoder_macs: multiply-adds of the deployed decoder per image.
        latency: tells the time of the model as it would be deployed; None if not available.
        machine: that the model trains on, for methods that choose widths by it; None if not known.
        layer_times: measures layers on that machine. Slow; None if not available.
    """

    image_size: tuple[int, int]
    decoder_macs: float
    latency: Clock | None = None
    machine: Machine | None = None
    layer_times: Callable[[Sequence[SizedLayer]], LayerTimes] | None = None


class Encoder(TrainingHooks, nn.Module):
    """Image -> a pyramid of features per task.

    The forward pass is cut in two at the **shared representation**: :meth:`encode` computes the tensors that more than
    one task reads (in the end), :meth:`branch` what each task does with them on its own. Balancers that take gradients
    at the representation detach at this cut, so the trunk is traversed backwards once whatever the number of tasks. The
    cut must be complete: :meth:`branch` may read nothing of the trunk but the tensors that :meth:`encode` returned.

    Both run for the **wanted tasks** alone: what none of these needs is not run. :func:`wanted_of` puts their names in
    order; where no task is wanted, :meth:`encode` may return no tensor at all.

    Constructors take ``(backbone, tasks)`` positionally (a ready :class:`~frugalmtl.backbones.base.Backbone`, copied as
    often as needed, and the task names) and their config as keyword-only arguments. How a method trains stands in
    :class:`~frugalmtl.encoders.TrainingHooks`.

    Attributes:
        views: of the backbone that the encoder needs, see :func:`~frugalmtl.encoders.views_of`; a backbone without one
            of them is refused.
        shares: False if every task has a network of its own, as in the reference that savings are measured against.
        task_names: the tasks, in order.
        channels: channels of the pyramid's levels (the same for every task).
        strides: strides of the pyramid's levels.
        read_levels: ``{task: indices of its levels that final predictions depend on}``, set by a caller that knows the
            decoder before :meth:`deploy` or :meth:`plan`; None stands for all. A task without a level is not deployed.
        learns_cost: whether the deployed model's cost is decided while it trains, and not by the config alone.
        budget: of the whole deployed model, as the config says it; None without one.
        target_latency_ms: the same in milliseconds per image, for a budget of time; None for any other.
        target_runtime: who runs the deployed model in that time.
        decides: whether what runs depends on the values of the image; see
            :class:`~frugalmtl.encoders.DecidingEncoder`.
    """

    views: ClassVar[tuple[str, ...]] = ()
    shares: ClassVar[bool] = True
    decides: ClassVar[bool] = False
    task_names: tuple[str, ...]
    channels: list[int]
    strides: list[int]
    read_levels: Mapping[str, Sequence[int]] | None = None
    learns_cost: bool = False
    budget: str | None = None
    target_latency_ms: float | None = None
    target_runtime: Runtime = "eager"

    @property
    def target_macs(self) -> float | None:
        """The budget in multiply-adds per image, once :meth:`plan` has been called; None without a budget."""
        return None

    def plan(self, context: ModelContext) -> None:
        """Called before a training begins (the last call counts), with the cost of the rest for methods with a budget.

        Raises:
            UserError: the budget cannot be kept.
        """

    def encode(self, image: Tensor, tasks: Collection[str] | None = None) -> list[Tensor]:
        """Image ``[B, 3, H, W]`` -> the tensors of the cut.

        Args:
            image: normalised image.
            tasks: names of the wanted tasks; None for all.
        """
        raise NotImplementedError

    def branch(self, shared: list[Tensor], tasks: Collection[str] | None = None) -> Features:
        """The tensors of the cut -> features of the wanted tasks, penalties, statistics.

        Args:
            shared: what :meth:`encode` returned for the same tasks.
            tasks: names of the wanted tasks; None for all.
        """
        raise NotImplementedError

    def forward(self, image: Tensor) -> Features:
        """Image ``[B, 3, H, W]`` -> features per task."""
        return self.branch(self.encode(image))

    def pictures(self) -> list[Heatmap]:
        """Heat maps of a trained encoder for the report."""
        return []

    def image_pictures(self, images: Tensor) -> list[Picture]:  # noqa: ARG002 (of any)
        """Pictures for the report of what a trained encoder does with some images, in eval mode.

        Args:
            images: normalised images of the split that is reported, ``[K, 3, H, W]``; pictures name them by their
                numbers, from 0.
        """
        return []

    def deploy(self) -> nn.Module:
        """A plain module ``image -> {task: pyramid}`` that stores and computes only what inference needs.

        Called on a copy in eval mode; may reuse its submodules. Tasks that share features get the same tensors. A task
        of which :attr:`read_levels` names no level is not returned.
        """
        raise NotImplementedError

    def read_tasks(self) -> tuple[str, ...]:
        """The tasks of which a level is read, see :attr:`read_levels`."""
        read = self.read_levels
        return tuple(name for name in self.task_names if read is None or read.get(name, self.strides))


def wanted_of(names: Sequence[str], tasks: Collection[str] | None) -> tuple[str, ...]:
    """Those of the names that are wanted, in their order.

    >>> wanted_of(("near", "far"), None), wanted_of(("near", "far"), {"far"})
    (('near', 'far'), ('far',))
    """
    return tuple(names if tasks is None else (name for name in names if name in tasks))


class SharedPyramid(nn.Module):
    """Deployed form of tasks that share everything: one network, its pyramid handed to each task."""

    def __init__(self, network: nn.Module, task_names: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.task_names = tuple(task_names)

    def forward(self, image: Tensor) -> dict[str, Pyramid]:
        """Image ``[B, 3, H, W]`` -> ``{task: pyramid}``, one pyramid."""
        pyramid: Pyramid = self.network(image)
        return dict.fromkeys(self.task_names, pyramid)


def consecutive_pyramids(levels: Sequence[Tensor], tasks: Sequence[str], count: int) -> dict[str, Pyramid]:
    """The pyramids, of ``count`` levels each, of tasks whose levels follow each other in one list."""
    starts = range(0, len(levels), count)
    return {task: list(levels[start : start + count]) for task, start in zip(tasks, starts, strict=True)}


class SeparateNetworks(nn.Module):
    """Deployed form of tasks that share nothing: one network each.

    Args:
        networks: by task.
        tasks: those that are deployed; None for all.
    """

    def __init__(self, networks: nn.ModuleDict, tasks: Sequence[str] | None = None) -> None:
        super().__init__()
        self.networks = nn.ModuleDict({task: networks[task] for task in wanted_of(list(networks), tasks)})

    def forward(self, image: Tensor) -> dict[str, Pyramid]:
        """Image ``[B, 3, H, W]`` -> ``{task: pyramid}``."""
        return {task: network(image) for task, network in self.networks.items()}
