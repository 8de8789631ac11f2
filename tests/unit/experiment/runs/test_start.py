"""Start from another run: decisions come with the structure, never with the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from frugalmtl.balancing import BALANCERS
from frugalmtl.core.seeding import seed_everything
from frugalmtl.deployment import plan_encoder
from frugalmtl.encoders.adashare.encoder import AdaShare
from frugalmtl.engine.checkpoints import FINAL, Checkpoints, read_structure
from frugalmtl.experiment.runs.start import Start
from frugalmtl.model import MultiTaskModel
from tests.support.views.adashare import SIDE, set_odds, toy_model


def encoder_of(model: MultiTaskModel) -> AdaShare:
    assert isinstance(model.encoder, AdaShare)
    return model.encoder


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a search whose tasks skip all blocks, though most of them are as likely to run."""
    model = toy_model()
    encoder = encoder_of(model)
    set_odds(encoder, 1, 0.3)
    encoder.choice.decide(np.zeros((2, len(encoder.gated)), dtype=bool))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        checkpoints = Checkpoints(tmp_path_factory.mktemp("search"))
        return checkpoints.write(FINAL, model, BALANCERS.build("fixed", model.tasks), {}, encoder.structure())


def begun(checkpoint: Path, seed: int, *, structure: bool, **options: Any) -> MultiTaskModel:
    model = toy_model(**options)
    seed_everything(seed)
    encoder_of(model).choice.seed.copy_(torch.randint(2**31, ()))
    start = Start(checkpoint.parent, checkpoint, "finished", True, read_structure(checkpoint) if structure else None)
    start.restructure(model)
    assert "tensors taken" in start.load(model)
    plan_encoder(model, SIDE)
    return model


@pytest.mark.parametrize(
    ("options", "structure"), [({"policy": "given", "choose": "sampled"}, True), ({"policy": "random"}, False)]
)
def test_weights_bring_no_policy(searched: Path, options: dict[str, Any], structure: bool) -> None:
    policies = set()
    for seed in range(4):
        model = begun(searched, seed, structure=structure, **options)
        mask = encoder_of(model).choice.mask()
        assert mask is not None
        policies.add(mask.tobytes())
    assert len(policies) >= 3


def test_the_structure_brings_the_policy(searched: Path) -> None:
    mask = encoder_of(begun(searched, 0, structure=True, policy="given")).choice.mask()
    assert mask is not None
    assert not mask.any()


def test_a_search_from_other_weights_has_decided_nothing(searched: Path) -> None:
    assert encoder_of(begun(searched, 0, structure=False)).structure() is None
