"""Multi-modal distillation: attention-guided message passing between tasks (PAD-Net; Xu et al., 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn


class Distillation(nn.Module):
    """Every target adds what the other tasks' features tell it, gated by attention.

    ``F_k' = F_k + sum_{l != k} sigmoid(W^a_{kl} * F_l) . (W^f_{kl} * F_l)`` with 3x3 convolutions without bias
    (PAD-Net, Xu et al. 2018, arXiv:1805.04409, module C; the survey, Vandenhende et al. 2021, eq. 2, writes ``F_l``
    for ``W^f_{kl} * F_l``).

    All convolutions that read the same ``F_l`` are one convolution: its output channels are the attentions of all
    targets but ``l``, then their values.

    Args:
        sources: names of the tasks whose features are read.
        targets: names of the tasks that receive; each is a source as well.
        width: channels of all features.
        value_convolution: learn ``W^f``; else ``W^f`` is the identity.
    """

    def __init__(self, sources: Sequence[str], targets: Sequence[str], width: int, value_convolution: bool) -> None:
        super().__init__()
        self.sources, self.targets, self.width = tuple(sources), tuple(targets), width
        self.value_convolution = value_convolution
        parts = 2 if value_convolution else 1
        receivers = {name: sum(target != name for target in targets) for name in sources}
        self.convs = nn.ModuleDict(
            {
                name: nn.Conv2d(width, parts * count * width, 3, padding=1, bias=False)
                for name, count in receivers.items()
                if count
            }
        )

    def for_targets(self, targets: Sequence[str]) -> Distillation:
        """The part that some of the targets need, with the same weights."""
        if tuple(targets) == self.targets:
            return self
        part = Distillation(self.sources, targets, self.width, self.value_convolution)
        for source, conv in part.convs.items():
            whole = cast(nn.Conv2d, self.convs[source])
            receivers = [name for name in self.targets if name != source]
            kept = [index for index, name in enumerate(receivers) if name in targets]
            places = [*kept, *(len(receivers) + index for index in kept)] if self.value_convolution else kept
            blocks = torch.split(whole.weight.detach(), self.width)
            conv.weight = nn.Parameter(torch.cat([blocks[place] for place in places]))
        return part

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """``{source: [B, width, h, w]}`` -> ``{target: [B, width, h, w]}``."""
        distilled = {name: features[name] for name in self.targets}
        for source, conv in self.convs.items():
            receivers = [name for name in self.targets if name != source]
            messages = conv(features[source]).chunk(len(receivers) * (2 if self.value_convolution else 1), dim=1)
            for index, name in enumerate(receivers):
                value = messages[len(receivers) + index] if self.value_convolution else features[source]
                distilled[name] = torch.addcmul(distilled[name], messages[index].sigmoid(), value)
        return distilled
