"""Operations that compute all channels together: normalisation over channels, squeeze-and-excitation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn

from frugalmtl.channels.operations.base import Channels, Mask, Operation, select, tensors_of


class AllChannels(Operation):
    """Every output channel depends on all input channels, and all are computed at once.

    Layer normalisation, squeeze-and-excitation. Their weights follow the order in which channels come.
    """

    def required_inputs(self, outputs: Mask, widths: Sequence[int]) -> list[Mask]:
        """All channels, if there is any output."""
        return [np.repeat(outputs.any(1, keepdims=True), width, axis=1) for width in widths]

    def weights(self, module: nn.Module, outputs: Channels, inputs: Channels) -> dict[str, Tensor]:
        """Its weights in the order of the channels."""
        check_whole(outputs, inputs)
        weights = dict(tensors_of(module))
        if isinstance(module, nn.LayerNorm):
            return {name: select(tensor, outputs) for name, tensor in weights.items()}
        squeeze, expand = excitation(module)
        for name, tensor in weights.items():
            if tensor is squeeze.weight:
                weights[name] = select(tensor, outputs, dim=1)
            elif tensor is expand.weight or tensor is expand.bias:
                weights[name] = select(tensor, outputs)
        return weights


class MultiQueryChannels(AllChannels):
    """Attention of several queries per position on one key and value, from and to maps (MobileNetV4; Qin et al., 2024).

    What happens between the projections is computed whole.
    """

    def weights(self, module: nn.Module, outputs: Channels, inputs: Channels) -> dict[str, Tensor]:
        """Its weights in the order of the channels, which queries, keys and values read and the last layer gives."""
        check_whole(outputs, inputs)
        weights = dict(tensors_of(module))
        for name, tensor in weights.items():
            part, layer, _ = name.split(".")
            if part != "output" and layer == "proj":
                weights[name] = select(tensor, inputs, dim=1) if tensor.ndim > 1 else tensor
            elif tensor.ndim:  # depthwise convolutions and norms before a projection, and the last projection
                weights[name] = select(tensor, outputs)
        return weights


def check_whole(outputs: Channels, inputs: Channels) -> None:
    """Check that an operation has all its channels.

    Raises:
        ValueError: it has not, or their order differs.
    """
    if outputs != inputs or sorted(outputs) != list(range(len(outputs))):
        raise ValueError("an operation over all channels has all of them as inputs and outputs, in one order")


def excitation(module: nn.Module) -> tuple[nn.Conv2d, nn.Conv2d]:
    """First and last convolution of a squeeze-and-excitation module of timm."""
    for names in (("conv_reduce", "conv_expand"), ("fc1", "fc2")):
        first, last = (getattr(module, name, None) for name in names)
        if isinstance(first, nn.Conv2d) and isinstance(last, nn.Conv2d):
            return first, last
    raise TypeError(f"{type(module).__name__} is no squeeze-and-excitation module")
