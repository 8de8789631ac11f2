"""Folding of a reordering of channels into the weights of the convolutions behind it."""

from __future__ import annotations

from collections import defaultdict

from torch import Tensor, nn

from frugalmtl.channels.program import ReorderChannels
from frugalmtl.deployment.observe import Observation, data_dependent_parts
from frugalmtl.deployment.replace import replace_modules


def fold_reorders(root: nn.Module, seen: Observation) -> None:
    """Let convolutions read channels in the order in which they are stored; in place.

    A reordering is folded if it ran once and only convolutions read its output, which ran once. Any other stays.

    Args:
        root: the module.
        seen: a pass of it.
    """
    readers: dict[int, list[nn.Conv2d]] = defaultdict(list)
    for module, calls in seen.calls.items():
        if type(module) is nn.Conv2d and module.groups == 1 and len(calls) == 1:
            readers[id(calls[0].argument)].append(module)
    returned = {id(tensor) for tensor in seen.returned}
    routed = data_dependent_parts(root)
    exchange: dict[nn.Module, nn.Module] = {}
    for module, calls in seen.calls.items():
        output = calls[0].output
        if type(module) is ReorderChannels and module.axis == 1 and len(calls) == 1 and isinstance(output, Tensor):
            convolutions = readers[id(output)]
            if seen.reads[id(output)] != len(convolutions) or id(output) in returned or routed & {*convolutions}:
                continue
            for convolution in convolutions:
                weight = convolution.weight.detach()[:, module.index.argsort()]
                convolution.weight = nn.Parameter(weight, requires_grad=False)
            exchange[module] = nn.Identity()
    replace_modules(root, exchange)
