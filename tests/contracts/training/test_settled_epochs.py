"""Epochs in which a method says that nothing is decided: the deployed model runs the same after each of them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from frugalmtl.core.types import Scores
from frugalmtl.deployment import deploy, plan_encoder
from frugalmtl.encoders import ENCODERS
from frugalmtl.engine import TrainJob, TrainSettings, train
from frugalmtl.evaluation.cost import count
from frugalmtl.model import MultiTaskModel
from tests.support.contracts.short_trainings import SIZE, short_model, short_streams
from tests.support.tiny_training import Scored, build_balancer

OPTIONS: dict[str, dict[str, Any]] = {
    "interrogate": {"budget": "0.6x", "frozen_share": 0.5, "pretrain_share": 0.25, "gate_lr": 5.0, "price_every": 1}
}
LEARNING = [
    name
    for name in ENCODERS.names()
    if ENCODERS.fact(name, "learns_cost", False) and not ENCODERS.fact(name, "decides", False)
]
"""Encoders that learn what the deployed model runs, the same for every image."""


def macs(model: MultiTaskModel) -> int:
    deployed = deploy(copy.deepcopy(model).eval(), example=torch.randn(1, 3, SIZE, SIZE))
    return count(deployed, (SIZE, SIZE)).macs


@pytest.mark.slow
@pytest.mark.parametrize("encoder", LEARNING)
def test_the_deployed_model_runs_the_same_from_there_on(
    encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores fall, so that the first epoch that may be kept is kept; of an average of the weights the same holds."""
    monkeypatch.setattr("os.fsync", lambda _: None)
    costs: list[int] = []

    def score(model: MultiTaskModel) -> Scores:
        costs.append(macs(model))
        return {"depth": {"loss": float(len(costs))}}

    model = short_model(encoder, **OPTIONS.get(encoder, {}))
    plan_encoder(model, (SIZE, SIZE))
    recipe = model.recipe()
    settings = TrainSettings(
        epochs=4 * len(recipe),
        batch_size=2,
        optimizer={"name": "sgd", "lr": 1e-3},
        accelerator="cpu",
        evaluate_every=1,
        keep="best",
        ema=0.9,
    )
    job = TrainJob(model, build_balancer(), settings, short_streams(model), tmp_path, Scored(score))
    result = train(job)
    (last, length), marks = job.stages[-1], [record.get("best") for record in result.history]
    first = settings.epochs - length + last.settled_from(length)
    assert marks == [None] * first + [True] + [False] * (settings.epochs - first - 1)
    assert set(costs[first:]) == {macs(model)}
    if model.encoder.target_macs is not None:
        assert macs(model) == pytest.approx(model.encoder.target_macs, rel=0.02)
        assert max(costs[:first]) > 1.1 * macs(model), "before that it ran more"
