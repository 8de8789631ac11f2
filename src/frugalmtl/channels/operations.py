"""What one operation does to channels, and the operation for some channels only."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

Mask = NDArray[np.bool_]
"""``[branches, C]``: channels that somebody needs."""

Channels = tuple[int, ...]
"""Indices of channels, in the order in which a tensor holds them."""


class Operation:
    """One step of a network, and what it does to channels.

    An operation with weights names the module that holds them, so that copies of a network run the same graph, each
    with its own weights.

    Args:
        target: dotted name of the module inside the network; None for operations without weights.

    Attributes:
        unit: this many neighbouring output channels exist together or not at all.
    """

    unit: int = 1

    def __init__(self, target: str | None = None) -> None:
        self.target = target

    def run(self, module: nn.Module | None, *inputs: Tensor) -> Tensor:
        """Inputs -> output, all channels."""
        if module is None:
            raise TypeError(f"{type(self).__name__} needs a module")
        output: Tensor = module(*inputs)
        return output

    def demand(self, needed: Mask, widths: Sequence[int]) -> list[Mask]:
        """Output channels that are needed -> channels of every input that are needed for them."""
        raise NotImplementedError

    def weights(self, module: nn.Module, outputs: Channels, inputs: Channels) -> dict[str, Tensor]:
        """The parameters and buffers of :meth:`take`, by name, as differentiable pieces of the module's own.

        A tensor of which all is kept as it stands is the module's own tensor.
        """
        raise NotImplementedError

    def shell(self, module: nn.Module) -> nn.Module:
        """A module that can run with other numbers of channels once its tensors are exchanged."""
        return copy.deepcopy(module)

    def resize(self, module: nn.Module, outputs: Channels, inputs: Channels) -> None:
        """Tell a shell how many channels its tensors have."""

    def take(self, module: nn.Module, outputs: Channels, inputs: Channels) -> nn.Module:
        """The operation that gives the channels ``outputs`` of inputs that hold the channels ``inputs``, in that order.

        A module of its own, with copies of the weights it needs.
        """
        taken = self.shell(module)
        for name, tensor in self.weights(module, outputs, inputs).items():
            path, _, attribute = name.rpartition(".")
            owner = taken.get_submodule(path)
            piece = tensor.detach().clone()
            setattr(owner, attribute, nn.Parameter(piece) if attribute in owner._parameters else piece)
        self.resize(taken, outputs, inputs)
        return taken


class Image(Operation):
    """The network's input."""

    def demand(self, needed: Mask, widths: Sequence[int]) -> list[Mask]:
        """Needs nothing."""
        return []


class Each(Operation):
    """Works on every channel alone: activations, pooling, dropout, scales, batch normalisation, depthwise convolution.

    ``[.., C, ..]`` -> ``[.., C, ..]``.
    """

    def demand(self, needed: Mask, widths: Sequence[int]) -> list[Mask]:
        """A channel needs that channel."""
        return [needed]

    def weights(self, module: nn.Module, outputs: Channels, inputs: Channels) -> dict[str, Tensor]:
        """The vectors and filters of these channels."""
        if outputs != inputs:
            raise ValueError("an operation on every channel alone gives what it is given")
        return {name: _rows(tensor, outputs) if tensor.ndim else tensor for name, tensor in _tensors(module)}

    def resize(self, module: nn.Module, outputs: Channels, inputs: Channels) -> None:
        """Convolutions are depthwise."""
        for name in ("num_features", "in_channels", "out_channels", "groups"):
            if hasattr(module, name):
                setattr(module, name, len(outputs))


class Sum(Operation):
    """Adds its inputs, channel by channel."""

    def run(self, module: nn.Module | None, *inputs: Tensor) -> Tensor:
        """Two tensors of one shape -> their sum."""
        first, second = inputs
        return first + second

    def demand(self, needed: Mask, widths: Sequence[int]) -> list[Mask]:
        """A channel needs that channel of every input."""
        return [needed for _ in widths]


class Permute(Operation):
    """Moves the channels to another axis.

    Args:
        dims: as ``Tensor.permute`` takes them.
    """

    def __init__(self, dims: Sequence[int]) -> None:
        super().__init__()
        self.dims = tuple(dims)

    def run(self, module: nn.Module | None, *inputs: Tensor) -> Tensor:
        """``[B, C, h, w]`` <-> ``[B, h, w, C]``."""
        return inputs[0].permute(self.dims)

    def demand(self, needed: Mask, widths: Sequence[int]) -> list[Mask]:
        """A channel needs that channel."""
        return [needed]


class Part(Operation):
    """A stretch of the channels: queries, keys or values out of one projection.

    Args:
        start: first channel.
        width: number of channels.
    """

    def __init__(self, start: int, width: int) -> None:
        super().__init__()
        self.start, self.width = start, width

    def run(self, module: nn.Module | None, *inputs: Tensor) -> Tensor:
        """``[B, h, w, C]`` -> ``[B, h, w, width]``."""
        return inputs[0].narrow(-1, self.start, self.width)

    def demand(self, needed: Mask, widths: Sequence[int]) -> list[Mask]:
        """A channel needs the one that it is cut from."""
        whole = np.zeros((len(needed), widths[0]), dtype=bool)
        whole[:, self.start : self.start + self.width] = needed
        return [whole]


class Dense(Operation):
    """Every output channel reads all input channels: convolutions, linear layers.

    ``[.., C_in, ..]`` -> ``[.., C_out, ..]``.
    """

    def demand(self, needed: Mask, widths: Sequence[int]) -> list[Mask]:
        """Any channel needs all."""
        return [np.repeat(needed.any(1, keepdims=True), width, axis=1) for width in widths]

    def weights(self, module: nn.Module, outputs: Channels, inputs: Channels) -> dict[str, Tensor]:
        """The filters of these outputs, each reading its inputs in the order given."""
        layer: Any = module
        first, second = (inputs, outputs) if isinstance(module, nn.ConvTranspose2d) else (outputs, inputs)
        found = {"weight": _rows(_rows(layer.weight, first), second, dim=1)}
        return found if layer.bias is None else {**found, "bias": _rows(layer.bias, outputs)}

    def resize(self, module: nn.Module, outputs: Channels, inputs: Channels) -> None:
        """Channels of convolutions, features of linear layers."""
        for name, value in (
            ("in_channels", len(inputs)),
            ("out_channels", len(outputs)),
            ("in_features", len(inputs)),
            ("out_features", len(outputs)),
        ):
            if hasattr(module, name):
                setattr(module, name, value)


class Grouped(Operation):
    """A convolution in groups: an output channel reads the input channels of its group.

    Args:
        target: see :class:`Operation`.
        groups: number of groups.
        unit: output channels of a group.
    """

    def __init__(self, target: str, groups: int, unit: int) -> None:
        super().__init__(target)
        self.groups, self.unit = groups, unit

    def demand(self, needed: Mask, widths: Sequence[int]) -> list[Mask]:
        """Any channel of a group needs all inputs of that group."""
        alive = needed.reshape(len(needed), self.groups, self.unit).any(2)
        return [np.repeat(alive, width // self.groups, axis=1) for width in widths]

    def inputs_of(self, outputs: Channels, width: int) -> Channels:
        """The input channels that whole groups of outputs read, group by group.

        Args:
            outputs: whole groups, each in its natural order.
            width: input channels of all groups together.
        """
        size = width // self.groups
        return tuple(
            group * size + offset
            for group in (channel // self.unit for channel in outputs[:: self.unit])
            for offset in range(size)
        )

    def weights(self, module: nn.Module, outputs: Channels, inputs: Channels) -> dict[str, Tensor]:
        """The filters of these groups."""
        return {name: _rows(tensor, outputs) for name, tensor in _tensors(module)}

    def resize(self, module: nn.Module, outputs: Channels, inputs: Channels) -> None:
        """As many groups as there are."""
        layer: Any = module
        layer.in_channels, layer.out_channels, layer.groups = len(inputs), len(outputs), len(outputs) // self.unit


class Whole(Operation):
    """Every output channel depends on all input channels, and all are computed at once.

    Layer normalisation, squeeze-and-excitation. Their weights follow the order in which channels come.

    """

    def demand(self, needed: Mask, widths: Sequence[int]) -> list[Mask]:
        """Any channel needs all."""
        return [np.repeat(needed.any(1, keepdims=True), width, axis=1) for width in widths]

    def weights(self, module: nn.Module, outputs: Channels, inputs: Channels) -> dict[str, Tensor]:
        """Its weights in the order of the channels."""
        if outputs != inputs or sorted(outputs) != list(range(len(outputs))):
            raise ValueError("an operation over all channels takes and gives all of them in one order")
        found = dict(_tensors(module))
        if isinstance(module, nn.LayerNorm):
            return {name: _rows(tensor, outputs) for name, tensor in found.items()}
        squeeze, expand = excitation(module)
        for name, tensor in found.items():
            if tensor is squeeze.weight:
                found[name] = _rows(tensor, outputs, dim=1)
            elif tensor is expand.weight or tensor is expand.bias:
                found[name] = _rows(tensor, outputs)
        return found


def excitation(module: nn.Module) -> tuple[nn.Conv2d, nn.Conv2d]:
    """First and last convolution of a squeeze-and-excitation module of timm."""
    for names in (("conv_reduce", "conv_expand"), ("fc1", "fc2")):
        first, last = (getattr(module, name, None) for name in names)
        if isinstance(first, nn.Conv2d) and isinstance(last, nn.Conv2d):
            return first, last
    raise TypeError(f"{type(module).__name__} is no squeeze-and-excitation module")


class Attention(Operation):
    """Softmax attention of queries, keys and values, head by head; the projections around it are operations apart.

    Args:
        target: see :class:`Operation`; the timm attention module.
        heads: number of heads.
        width: channels of a head.
    """

    def __init__(self, target: str, heads: int, width: int) -> None:
        super().__init__(target)
        self.heads, self.unit = heads, width

    def run(self, module: nn.Module | None, *inputs: Tensor) -> Tensor:
        """Queries, keys, values ``[B, h, w, C]`` -> ``[B, h, w, C]``."""
        source: Any = module
        dropout = float(source.attn_drop.p) if source.training else 0.0
        return attend(inputs, (source.q_norm, source.k_norm), self.unit, dropout)

    def demand(self, needed: Mask, widths: Sequence[int]) -> list[Mask]:
        """Any channel of a head needs that head's queries, keys and values."""
        alive = np.repeat(self.heads_of(needed), self.unit, axis=1)
        return [alive for _ in widths]

    def heads_of(self, needed: Mask) -> Mask:
        """Channels ``[branches, C]`` -> heads ``[branches, heads]`` with any of them."""
        return np.asarray(needed.reshape(len(needed), self.heads, self.unit).any(2))

    def weights(self, module: nn.Module, outputs: Channels, inputs: Channels) -> dict[str, Tensor]:
        """The normalisations of queries and keys, which all heads share."""
        source: Any = module
        norms = enumerate((source.q_norm, source.k_norm))
        return {f"norms.{number}.{name}": tensor for number, norm in norms for name, tensor in _tensors(norm)}

    def shell(self, module: nn.Module) -> nn.Module:
        """The same for any number of heads."""
        return HeadAttention(module, self.unit)


class HeadAttention(nn.Module):
    """Attention over a grid of positions, for however many heads the channels hold.

    Args:
        attention: timm's module; dropout and the normalisations of queries and keys are as there.
        width: channels of a head.
    """

    def __init__(self, attention: nn.Module, width: int) -> None:
        super().__init__()
        source: Any = attention
        self.width, self.dropout = width, float(source.attn_drop.p)
        self.norms = nn.ModuleList(copy.deepcopy(norm) for norm in (source.q_norm, source.k_norm))

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Three ``[B, h, w, C]`` -> ``[B, h, w, C]``."""
        dropout = self.dropout if self.training else 0.0
        return attend((queries, keys, values), list(self.norms), self.width, dropout)


def attend(inputs: Sequence[Tensor], norms: Sequence[nn.Module], width: int, dropout: float) -> Tensor:
    """Softmax attention over the positions of a grid.

    Args:
        inputs: queries, keys, values ``[B, h, w, heads * width]``.
        norms: of queries and keys, over the channels of a head.
        width: channels of a head.
        dropout: probability that an attention weight is dropped.
    """
    batch, height, across, channels = inputs[0].shape
    queries, keys, values = (
        tensor.reshape(batch, height * across, channels // width, width).transpose(1, 2) for tensor in inputs
    )
    mixed = F.scaled_dot_product_attention(norms[0](queries), norms[1](keys), values, dropout_p=dropout)
    return mixed.transpose(1, 2).reshape(batch, height, across, channels)


class PatchEmbedding(Dense):
    """Patches of the image to channels, with the embeddings of their positions."""

    def weights(self, module: nn.Module, outputs: Channels, inputs: Channels) -> dict[str, Tensor]:
        """The filters and position embeddings of these channels."""
        source: Any = module
        projection = super().weights(source.patch_embed.proj, outputs, inputs)
        found = {f"patch_embed.proj.{name}": tensor for name, tensor in projection.items()}
        if source.pos_embed is None:
            return found
        return {**found, "pos_embed": _rows(source.pos_embed, outputs, dim=-1)}

    def resize(self, module: nn.Module, outputs: Channels, inputs: Channels) -> None:
        """Channels of the convolution over patches."""
        source: Any = module
        super().resize(source.patch_embed.proj, outputs, inputs)


def _tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(), *module.named_buffers()]


def _rows(tensor: Tensor, index: Channels, dim: int = 0) -> Tensor:
    """``tensor`` at these places along an axis; the tensor itself if these are all in order."""
    if index == tuple(range(tensor.shape[dim])):
        return tensor
    return tensor.index_select(dim, _index(index, tensor.device))


@lru_cache(maxsize=65536)
def _index(places: Channels, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # an index made while evaluating must serve training, too
        return torch.tensor(places, device=device)
