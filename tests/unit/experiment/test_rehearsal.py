"""Balancers refuse before a training what they would refuse in its middle."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from frugalmtl.core.checks import UserError
from frugalmtl.engine import TrainSettings
from frugalmtl.experiment.runs.build import Built
from frugalmtl.experiment.runs.rehearsal import rehearse
from tests.unit.engine.standins import build_balancer, build_model, tasks

SETTINGS = TrainSettings(epochs=4, accelerator="cpu")


def built(encoder: str, balancer: Any) -> Built:
    model: Any = build_model(encoder)
    return Built(tasks(), model.encoder, model, build_balancer(balancer), (6, 6))


def test_a_later_stage_is_refused_before_the_first_begins() -> None:
    with pytest.raises(UserError, match=r"stage 'together': .* set gradients_at to 'parameters'"):
        rehearse(built("stitched", "pcgrad"), SETTINGS)


@pytest.mark.parametrize(
    ("encoder", "balancer"),
    [
        ("shared", "pcgrad"),
        ("apart", "pcgrad"),
        ("stitched", {"name": "pcgrad", "gradients_at": "parameters"}),
        ("stitched", "uniform"),
    ],
)
def test_what_can_be_balanced_leaves_no_trace(encoder: str, balancer: Any) -> None:
    whole = built(encoder, balancer)
    before = {name: value.clone() for name, value in whole.model.state_dict().items()}
    drawn = torch.get_rng_state()
    rehearse(whole, SETTINGS)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert [name for name, value in whole.model.state_dict().items() if not torch.equal(value, before[name])] == []
    assert all(parameter.grad is None and parameter.requires_grad for parameter in whole.model.parameters())
