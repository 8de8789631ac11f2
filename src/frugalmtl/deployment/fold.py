"""Folding of batch normalisation into the weights of the layer before it."""

from __future__ import annotations

import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

from frugalmtl.core.counting import is_data_dependent
from frugalmtl.deployment.observe import Observation, data_dependent_parts
from frugalmtl.deployment.replace import replace_modules

# Exact types: a subclass may compute its weight from the stored one (weight standardisation, parametrisations).
FOLDABLE = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, Conv2dSame)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm, BatchNormAct2d)


class ChannelAffine(nn.Module):
    """``x * scale + shift`` per channel: a batch normalisation in eval mode that no layer can absorb.

    ``[B, C, ...]`` -> the same shape.
    """

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__()
        if norm.running_mean is None or norm.running_var is None:
            raise ValueError("the normalisation keeps no running statistics")
        scale = torch.rsqrt(norm.running_var + norm.eps)
        if norm.weight is not None:
            scale = scale * norm.weight.detach()
        shift = -norm.running_mean * scale
        if norm.bias is not None:
            shift = shift + norm.bias.detach()
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)

    scale: Tensor
    shift: Tensor

    def forward(self, values: Tensor) -> Tensor:
        """``[B, C, ...]`` -> the same shape."""
        shape = (-1,) + (1,) * (values.ndim - 2)
        return torch.addcmul(self.shift.view(shape), values, self.scale.view(shape))


def fold_batch_norms(root: nn.Module, seen: Observation, *, paired: bool = False) -> None:
    """Fold every batch normalisation of ``root`` (in eval mode) into the layer before it; in place.

    A normalisation is folded if one convolution or linear layer computed all its inputs in ``seen``, and no output of
    that layer went anywhere else; they may run several times. Any other becomes a :class:`ChannelAffine`, as does one
    inside a data-dependent module, unless the two follow each other on every path (see :func:`_paired`). An activation
    inside the normalisation (timm's ``BatchNormAct2d``) stays. Normalisations without running statistics, and those
    that did not run, are left as they are.

    Args:
        root: the module.
        seen: a pass of it.
        paired: whether layers and normalisations follow each other on every path as they did in ``seen``, inside
            data-dependent modules too.
    """
    producers = {
        id(call.output): module for module, calls in seen.calls.items() if type(module) in FOLDABLE for call in calls
    }
    routed = data_dependent_parts(root)
    exchange: dict[nn.Module, nn.Module] = {}
    for norm, calls in seen.calls.items():
        if type(norm) not in NORMS or not isinstance(norm, _BatchNorm) or norm.running_mean is None:
            continue
        layer = producers.get(id(calls[0].argument))
        if (
            layer is not None
            and seen.feeds_only(layer, norm)
            and all(_on_channels(layer, call.argument) for call in calls)
            and (paired or not routed & {layer, norm} or _paired(root, layer, norm, seen))
        ):
            _absorb(layer, norm)
            rest: list[nn.Module] = []
        else:
            rest = [ChannelAffine(norm)]
        if isinstance(norm, BatchNormAct2d):
            rest.append(norm.act)
        exchange[norm] = rest[0] if len(rest) == 1 else nn.Sequential(*rest) if rest else nn.Identity()
    replace_modules(root, exchange)


def _on_channels(layer: nn.Module, output: Tensor | None) -> bool:
    """Whether the layer's output channels are axis 1, which the normalisation works on."""
    return not isinstance(layer, nn.Linear) or (output is not None and output.ndim == 2)


def _paired(root: nn.Module, layer: nn.Module, norm: nn.Module, seen: Observation) -> bool:
    """Whether one module alone holds and calls both, and that module is not data-dependent itself."""
    callers = {call.caller for module in (layer, norm) for call in seen.calls[module]}
    holders = {parent for parent in root.modules() if {layer, norm} & {*parent._modules.values()}}
    return callers == holders and len(holders) == 1 and not any(map(is_data_dependent, holders))


def _absorb(layer: nn.Module, norm: _BatchNorm) -> None:
    fuse = fuse_linear_bn_weights if isinstance(layer, nn.Linear) else fuse_conv_bn_weights
    mean, var = norm.running_mean, norm.running_var
    layer.weight, layer.bias = fuse(layer.weight, layer.bias, mean, var, norm.eps, norm.weight, norm.bias)  # type: ignore[arg-type]
