"""timm models of any family, by what they say of their own features."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from timm import create_model
from timm.layers.format import Format
from torch import nn

from frugalmtl.backbones.families import Chain, Family
from frugalmtl.backbones.families._patches import power_of_two
from frugalmtl.backbones.general.agreement import Size, agrees, takes
from frugalmtl.backbones.general.fixed_size import FixedSize
from frugalmtl.backbones.general.getter import FINEST, getter_chain, strides_of
from frugalmtl.core.checks import UserError

_FREE = ((64, 96), (128, 192), (256, 288))
"""Image sizes, small ones first: a model that takes one that it is not built for takes any size."""


class General(Family):
    """A model of a family without a file of its own.

    It is cut into a chain after the modules that its ``feature_info`` names, if that chain gives, bit for bit, the
    features of timm's ``features_only``; else it is one stage of one block, which gives timm's features
    (``forward_intermediates``).

    Images may have any size where timm's model can; one that is built for a size is built for that of the experiment.

    Args:
        model: name of the model.
        image_size: height and width that it is to take; None for the model's own.
    """

    module, noun = "", "a plain transformer"
    options: ClassVar[tuple[str, ...]] = ("pyramid",)

    def __init__(self, model: str, image_size: Size | None = None) -> None:
        self.model, self.image_size = model, image_size

    def constructor(self, model: str, options: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002  # all are the chain's
        """What makes timm's model take images of any size, or of the experiment's."""
        with torch.device("meta"):
            kind = type(create_model(model, pretrained=False))
        names = {name for base in kind.__mro__ for name in inspect.signature(base).parameters}
        free = {"dynamic_img_size": True, "strict_img_size": False}
        if names & free.keys():
            return {name: value for name, value in free.items() if name in names}
        return {"img_size": self.image_size} if "img_size" in names and self.image_size else {}

    def chain(self, network: nn.Module, options: Mapping[str, Any]) -> Chain:
        """The model as a chain that agrees with timm's features, or as one block.

        Raises:
            UserError: a model without features, or not of this image size; a pyramid that the model does not have.
        """
        model: Any = network
        if not getattr(model, "feature_info", None) or not hasattr(model, "forward_intermediates"):
            raise UserError(f"timm model {self.model!r} gives no features: choose another")
        strides = strides_of(network)
        real, training = self._real(network), network.training
        network.eval()
        size, fixed = self._sizes(real)
        chain = self._cut(network, real, size) if len(set(strides)) > 1 and "pyramid" not in options else None
        chain = chain or getter_chain(network, options, size)
        network.train(training)
        chain.probe_size, chain.image_size = size, fixed
        if fixed is not None:
            chain.stages[0].insert(0, FixedSize(fixed))
        return chain

    def _real(self, network: nn.Module) -> nn.Module:
        """The model with values, which meta tensors do not have."""
        if not any(tensor.is_meta for tensor in network.parameters()):
            return network
        with torch.device("cpu"), torch.random.fork_rng(devices=()):
            return create_model(self.model, pretrained=False, **self.constructor(self.model, {})).eval()

    def _sizes(self, real: Any) -> tuple[Size, Size | None]:
        """An image size that the model takes; and the same if it is the only one, else None."""
        height, width = self.image_size or real.pretrained_cfg["input_size"][1:]
        for size in _FREE:
            as_many = size[0] * size[1] == height * width  # as many positions in another order raise no error
            if not as_many and takes(real, size):
                return size, None
        if takes(real, (height, width)):
            return (height, width), (height, width)
        native = list(real.pretrained_cfg["input_size"][1:])
        raise UserError(
            f"timm model {self.model!r} takes no images of {height} x {width}: choose multiples of "
            f"{max(strides_of(real))} as image_size, for example its own {native}"
        )

    def _cut(self, network: nn.Module, real: nn.Module, size: Size) -> Chain | None:
        """The chain, if it gives the features that timm gives."""
        try:
            chain = self._chain(real)
        except (IndexError, ValueError):  # modules that the feature information names lie deeper than chains reach
            return None
        if not agrees(real, chain, size):
            return None
        return chain if real is network else self._chain(network)

    def _chain(self, network: nn.Module) -> Chain:
        chain = super().chain(network, {})
        chain.strides = [power_of_two(stride) for stride in strides_of(network) if stride >= FINEST]
        if getattr(network, "output_fmt", None) == Format.NHWC:
            chain.channel_axis = -1
        return chain
