"""Every encoder trains by its own recipe, and goes on exactly where it was interrupted."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
import torch

from frugalmtl.decoders import DECODERS
from frugalmtl.encoders import ENCODERS
from frugalmtl.engine import TrainJob, TrainSettings, train
from frugalmtl.model import MultiTaskModel
from tests.support.contracts.short_trainings import short_model, short_streams
from tests.support.tiny_training import build_balancer


class Interrupted(Exception):  # noqa: N818  # it is no error
    """Ends a run."""


CASES = [(encoder, "independent") for encoder in ENCODERS.names()]
CASES += [("hard_sharing", decoder) for decoder in DECODERS.names() if decoder != "independent"]


@pytest.mark.parametrize(("encoder", "decoder"), CASES, ids=[f"{encoder}-{decoder}" for encoder, decoder in CASES])
def test_interrupted_training_ends_bit_identical(
    encoder: str, decoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)
    fresh = short_model(encoder, decoder)
    epochs = 2 * len(fresh.recipe())
    settings = TrainSettings(
        epochs=epochs, optimizer={"name": "sgd", "lr": 1e-3}, accelerator="cpu", checkpoint_every=1, ema=0.9
    )
    streams = short_streams(fresh)

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
