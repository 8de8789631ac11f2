"""Networks from bytes of a camera to decoded predictions, and how their indices of classes are checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from frugalmtl.export._record import ModelFacts, index_type
from frugalmtl.tasks import Task


class DecodedModel(nn.Module):
    """A deployed module with normalisation before it and decoding behind it.

    Args:
        deployed: normalised image ``[B, 3, H, W]`` -> ``{task: raw prediction}``.
        facts: of the network.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, deployed: nn.Module, facts: ModelFacts) -> None:
        super().__init__()
        self.deployed = deployed
        self.tasks = {task.name: task for task in facts.tasks}
        for name, values in (("mean", facts.mean), ("std", facts.std)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def raw(self, image: Tensor) -> dict[str, Tensor]:
        """RGB bytes ``[B, H, W, 3]`` -> ``{task: raw prediction}``."""
        outputs: dict[str, Tensor] = self.deployed((image.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.std)
        return outputs

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """RGB bytes ``[B, H, W, 3]`` -> ``{task: decoded prediction}``; indices of classes as small whole numbers."""
        return {name: self._decoded(self.tasks[name], raw) for name, raw in self.raw(image).items()}

    def bytes_of(self, image: Tensor) -> Tensor:
        """Normalised images ``[B, 3, H, W]`` -> RGB bytes ``[B, H, W, 3]``."""
        pixels = (image * self.std.to(image) + self.mean.to(image)) * 255
        return pixels.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    @staticmethod
    def _decoded(task: Task, raw: Tensor) -> Tensor:
        decoded = task.decode(raw)
        return decoded if decoded.is_floating_point() else decoded.to(getattr(torch, index_type(task)))


def measurable(
    outputs: Callable[[Tensor], Mapping[str, Tensor]], module: DecodedModel
) -> Callable[[Tensor], dict[str, Tensor]]:
    """Outputs whose differences can be judged as those of raw predictions are.

    Two classes may be equally likely but for rounding, so their indices cannot be compared. An index is right where the
    raw value of its class is the greatest: what is compared is by how much it falls short, in shares of the greatest
    absolute raw value where that is above 1. The module itself falls short of nothing. Directions of raw vectors next
    to zero are rounding as well: unit vectors are compared at the length of the raw ones where that is below 1.

    Args:
        outputs: decoded predictions of the module, or of a file of it.
        module: gives the raw predictions.
    """

    def compared(image: Tensor) -> dict[str, Tensor]:
        raw = module.raw(image)
        return {name: _judged(module.tasks[name], raw[name], output) for name, output in outputs(image).items()}

    return compared


def _judged(task: Task, raw: Tensor, output: Tensor) -> Tensor:
    if not output.is_floating_point():
        return _shortfall(raw, output)
    if task.decode.gives == "unit vector":
        length: Tensor = torch.linalg.vector_norm(raw, dim=1, keepdim=True)
        return output * length.clamp(max=1.0)
    return output


def _shortfall(raw: Tensor, index: Tensor) -> Tensor:
    """Raw values ``[B, C, ...]`` and indices ``[B, ...]`` -> ``[B, ...]``."""
    reached = raw.gather(1, index.long().unsqueeze(1)).squeeze(1)
    return (raw.amax(dim=1) - reached) / raw.abs().amax().clamp(min=1.0)
