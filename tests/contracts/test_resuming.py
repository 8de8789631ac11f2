"""Every encoder trains by its own recipe, and goes on exactly where it was interrupted."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from frugalmtl.decoders import DECODERS
from frugalmtl.encoders import ENCODERS
from frugalmtl.engine import TrainJob, TrainSettings, train
from frugalmtl.model import MultiTaskModel
from tests.support.contracts.fitting import backbone_of, fitting_family
from tests.support.tiny_training import TinyLoader, build_balancer, tasks

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


class Loader(TinyLoader):
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


def build(encoder: str, decoder: str) -> MultiTaskModel:
    chosen = tasks()
    section = {"name": encoder, **SHORT.get(encoder, {})}
    shared = ENCODERS.build(section, backbone_of(fitting_family(encoder)), tuple(task.name for task in chosen))
    return MultiTaskModel(shared, DECODERS.build(decoder, shared.channels, shared.strides, chosen), chosen)


class Interrupted(Exception):  # noqa: N818  # it is no error
    """Ends a run."""


CASES = [(encoder, "independent") for encoder in ENCODERS.names()]
CASES += [("hard_sharing", decoder) for decoder in DECODERS.names() if decoder != "independent"]


@pytest.mark.parametrize(("encoder", "decoder"), CASES, ids=[f"{encoder}-{decoder}" for encoder, decoder in CASES])
def test_interrupted_training_ends_bit_identical(
    encoder: str, decoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)
    fresh = build(encoder, decoder)
    epochs = 2 * len(fresh.recipe())
    settings = TrainSettings(
        epochs=epochs, optimizer={"name": "sgd", "lr": 1e-3}, accelerator="cpu", checkpoint_every=1
    )

    streams = {"train": Loader(2)}
    for number, name in enumerate(fresh.encoder.streams(), start=1):
        streams[name] = Loader(2, first=10 * number)

    def run(folder: Path, stop: int) -> MultiTaskModel:
        def interrupt(step: int) -> None:
            if step == stop:
                raise Interrupted

        model = deepcopy(fresh)
        train(TrainJob(model, build_balancer("uncertainty"), settings, streams, folder), on_step=interrupt)
        return model

    whole = run(tmp_path / "whole", 0).state_dict()
    for stop in range(1, 2 * epochs, 1 if epochs == 2 else 2):
        with pytest.raises(Interrupted):
            run(tmp_path / "parts", stop)
    parts = run(tmp_path / "parts", 0).state_dict()
    assert [name for name, value in whole.items() if not torch.equal(parts[name], value)] == []
    assert any(not torch.equal(value, whole[name]) for name, value in fresh.state_dict().items())
