"""Short trainings of every encoder by its own recipe, on random images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from frugalmtl.decoders import DECODERS
from frugalmtl.encoders import ENCODERS
from frugalmtl.model import MultiTaskModel
from tests.support.contracts.fitting import backbone_of, fitting_family
from tests.support.tiny_training import TinyLoader, tasks

SIZE = 32
SHORT: dict[str, dict[str, Any]] = {
    "adamtl": {
        "turn_epochs": 0.5,
        "static_share": 0.25,
        "policy_init_share": 0.25,
        "adaptive_share": 0.25,
        "joint_share": 0.25,
        "steered": True,
    },
    "adashare": {"curriculum_speed": 0, "choose": "argmax"},
}
"""Settings of a method that is to go through all it does in two epochs a stage, without scores."""


class SizedLoader(TinyLoader):
    """The stand-ins' batches at a size that a backbone takes."""

    def epoch(self, index: int, start: int = 0) -> Any:
        for batch in super().epoch(index, start):
            batch.image = torch.nn.functional.interpolate(batch.image, (SIZE, SIZE))
            batch.targets = {name: resize(value) for name, value in batch.targets.items()}
            batch.valid = {name: resize(value) for name, value in batch.valid.items()}
            yield batch


def resize(label: Tensor) -> Tensor:
    rows = torch.arange(SIZE) * label.shape[-1] // SIZE
    return label[..., rows, :][..., rows]


def short_model(encoder: str, decoder: str = "independent", **options: Any) -> MultiTaskModel:
    """A model of an encoder that goes through all its stages in two epochs each."""
    chosen = tasks()
    section = {"name": encoder, **SHORT.get(encoder, {}), **options}
    shared = ENCODERS.build(section, backbone_of(fitting_family(encoder)), tuple(task.name for task in chosen))
    return MultiTaskModel(shared, DECODERS.build(decoder, shared.channels, shared.strides, chosen), chosen)


def short_streams(model: MultiTaskModel) -> dict[str, SizedLoader]:
    """Two batches of every stream that a training of the model reads."""
    names = enumerate(model.encoder.streams(), start=1)
    return {"train": SizedLoader(2), **{name: SizedLoader(2, first=10 * number) for number, name in names}}
