"""Whole models with InterroGate: deployed at the predicted cost; state."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from frugalmtl.decoders import DECODERS
from frugalmtl.deployment import deploy, plan_encoder
from frugalmtl.encoders import ENCODERS
from frugalmtl.encoders.base import ModelContext
from frugalmtl.evaluation.cost import count
from frugalmtl.model import MultiTaskModel
from frugalmtl.tasks import TASKS
from tests.support.channels import CIFAR, backbone, image, scramble, worst
from tests.support.gated import (
    SIDE,
    budgeted,
    deployed,
    draw_gates,
    gated,
    toy_tasks,
)


def test_whole_models_are_deployed_at_the_predicted_cost() -> None:
    """Heads that read one level, an auxiliary task, and everything that comes after the encoder's own deployment."""
    tasks = (*toy_tasks(), TASKS.build({"name": "edges", "auxiliary": True}))
    section = {"name": "interrogate", "multiple": 2, "frozen_share": 0.25}
    encoder = ENCODERS.build(section, backbone("resnet"), [task.name for task in tasks])
    scramble(encoder, 1)
    decoder = DECODERS.build(
        {"name": "independent", "head": "hrnet", "heads": {"depth": "linear"}}, encoder.channels, encoder.strides, tasks
    )
    model = MultiTaskModel(encoder, decoder, tasks).eval()
    scramble(model.decoder, 2)
    plan_encoder(model, (64, 96))
    assert encoder.levels()[2] == (), "nobody predicts edges"
    for seed in (1, 2):
        draw_gates(encoder, seed)
        plain = deploy(model)
        with torch.no_grad():
            expected, computed = model(image()).by_task, plain(image())
        for name, value in expected.items():
            assert (value - computed[name]).abs().max() <= 1e-4 * max(1.0, float(value.abs().max()))
        assert encoder.macs_of() == pytest.approx(count(plain, (64, 96)).macs, rel=1e-9)


def test_state_of_a_trained_encoder_is_all_that_is_needed() -> None:
    """Gates, prices and goals travel with the weights."""
    encoder = budgeted("0.7x")
    encoder.plan(ModelContext(SIDE, 0.0))
    encoder.enter_step(0.7)
    fresh = gated(CIFAR, 2, seed=3, budget="0.7x", frozen_share=0.25, pretrain_share=0.0)
    fresh.load_state_dict(encoder.state_dict())
    batch: Tensor = image()
    with torch.no_grad():
        assert worst(encoder.eval()(batch).by_task, fresh.eval()(batch).by_task) == 0.0
        assert worst(encoder(batch).by_task, deployed(fresh)(batch)) <= 1e-4
    assert fresh.target_macs == encoder.target_macs
