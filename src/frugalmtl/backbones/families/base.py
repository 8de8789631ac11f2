"""Base of a family of timm models, and the chain of stages that its models become."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from timm import create_model, list_models
from torch import Tensor, nn

from frugalmtl.backbones.families._sizes import TransformerSizes
from frugalmtl.core.schema import read


@dataclass
class Chain:
    """A model as a chain.

    Attributes:
        stages: the blocks of every stage.
        levels: ``(stage, index of the tensor in its state)`` of every level of the pyramid.
        channel_axis: see :class:`~frugalmtl.backbones.base.Backbone`.
        neck: computes the pyramid from the levels' tensors, where the model itself has no pyramid.
        strides: of the levels, where their sizes do not say it (layers without padding); None where these do.
        probe_size: see :class:`~frugalmtl.backbones.base.Backbone`.
        image_size: see :class:`~frugalmtl.backbones.base.Backbone`.
    """

    stages: list[list[nn.Module]]
    levels: list[tuple[int, int]]
    channel_axis: int = 1
    neck: nn.Module | None = None
    strides: list[int] | None = None
    probe_size: tuple[int, int] = (64, 64)
    image_size: tuple[int, int] | None = None


class Family:
    """Models of one module of timm that are built and cut alike.

    The base cuts models that are one chain of modules, after each module that timm's ``feature_info`` names at stride 4
    or more. A family whose models are built otherwise replaces :meth:`chain`.

    Attributes:
        module: the module of ``timm.models`` that defines the models.
        noun: one model in messages, with its article.
        arguments: what timm's constructor needs for a model without head that takes images of any size.
        options: options of :class:`~frugalmtl.backbones.timm.Timm` that the family takes.
        sizes: keys and types of the option ``sizes``, where the family takes it.
        channel_axis: see :class:`~frugalmtl.backbones.base.Backbone`.
        tiny: a small model of the family, which contract tests build.
        tiny_arguments: what makes it smaller still.
    """

    module: ClassVar[str]
    noun: ClassVar[str]
    arguments: ClassVar[Mapping[str, Any]] = {}
    options: ClassVar[tuple[str, ...]] = ()
    sizes: ClassVar[type[TransformerSizes]] = TransformerSizes
    channel_axis: ClassVar[int] = 1
    tiny: ClassVar[str]
    tiny_arguments: ClassVar[Mapping[str, Any]] = {}

    def models(self) -> list[str]:
        """Names of the models."""
        return list_models(module=self.module)

    def constructor(self, model: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments of timm's constructor.

        Args:
            model: name of the model.
            options: values of :attr:`options` that the user sets.

        Raises:
            UserError: a value that the family does not take.
        """
        arguments = dict(self.arguments)
        if "sizes" in options:
            what = f"sizes of {model!r}"
            chosen = read(self.sizes, options["sizes"], what).arguments()
            with torch.device("meta"):  # for the numbers that the user leaves as they are
                original = create_model(model, pretrained=False, **arguments)
            self.check_sizes(what, chosen, original)
            arguments |= chosen
        return arguments

    def check_sizes(self, what: str, chosen: Mapping[str, Any], model: Any) -> None:
        """Check that chosen sizes fit each other and those that the model keeps.

        Args:
            what: the sizes in messages.
            chosen: those that the user sets.
            model: timm's model at its own sizes.

        Raises:
            UserError: they do not fit.
        """

    def chain(self, network: nn.Module, options: Mapping[str, Any]) -> Chain:
        """Cut a model (with or without its head) into a chain; what no feature needs is left behind.

        Args:
            network: timm's model.
            options: see :meth:`constructor`.

        Raises:
            UserError: a model that cannot be cut.
        """
        model: Any = network
        ends: list[str] = [fact["module"] for fact in model.feature_info if fact["reduction"] >= 4]
        stem, in_stem = nn.Sequential(), True
        body: list[tuple[str, nn.Module]] = []
        for name, child in network.named_children():
            in_stem = in_stem and not any(_inside(end, name) for end in ends)
            if in_stem:
                stem.add_module(name, child)
            else:
                body.extend(self._blocks(name, child))
        stages: list[list[nn.Module]] = []
        start = 0
        for end in ends:
            stop = max(index for index, (name, _) in enumerate(body) if _inside(name, end)) + 1
            stages.append([block for _, block in body[start:stop]])
            start = stop
        stages[0].insert(0, stem)
        return Chain(stages, [(stage, 0) for stage in range(len(stages))], self.channel_axis)

    def parts(self, module: nn.Module) -> list[tuple[str, nn.Module]] | None:
        """What runs one after the other inside a container, by name; None for a block."""
        return list(module.named_children()) if isinstance(module, nn.Sequential) else None

    def renamed(self, tensors: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
        """The tensors of a weights file under the names that the model without its head gives them."""
        return dict(tensors)

    def _blocks(self, name: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
        if isinstance(module, nn.Identity):
            return
        parts = self.parts(module)
        if parts is None:
            yield name, module
            return
        for part, child in parts:
            yield from self._blocks(f"{name}.{part}", child)


def _inside(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")
