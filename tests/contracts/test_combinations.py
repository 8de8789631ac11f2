"""The three axes are orthogonal: every encoder x decoder x balancer takes a step that reaches every parameter."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from frugalmtl.balancing import BALANCERS, Pass
from frugalmtl.core.checks import UserError
from frugalmtl.core.types import Batch
from frugalmtl.decoders import DECODERS
from frugalmtl.encoders import ENCODERS
from frugalmtl.experiment.build import build
from frugalmtl.experiment.config import Experiment
from frugalmtl.losses import Criterion

REFUSED = {("single_task", "grad_norm"): "no last layer in common: set norms_at to 'parameters'"}
"""Encoder and balancer that do not go together, and what the refusal says."""
GRID = list(product(ENCODERS.names(), DECODERS.names(), BALANCERS.names()))


def batch_of_two() -> Batch:
    size = (64, 64)
    return Batch(
        image=torch.randn(2, 3, *size),
        targets={
            "segmentation": torch.randint(0, 4, (2, *size)),
            "depth": torch.rand(2, 1, *size) + 0.5,
            "classification": torch.randint(0, 2, (2, 3)).float(),
        },
        valid={
            "segmentation": torch.rand(2, *size) > 0.2,
            "depth": torch.rand(2, *size) > 0.2,
            "classification": torch.ones(2, 3, dtype=torch.bool),
        },
    )


@pytest.mark.parametrize(("encoder", "decoder", "balancer"), GRID, ids=lambda value: str(value))
def test_combination_takes_a_step(encoder: str, decoder: str, balancer: str) -> None:
    built = build(
        Experiment(
            image_size=(64, 64),
            tasks=[
                {"kind": "segmentation", "classes": 4},
                {"kind": "depth"},
                {"kind": "classification", "classes": ["a", "b", "c"]},
            ],
            backbone={"name": "timm", "model": "test_efficientnet"},
            encoder={"name": encoder},
            decoder={"name": decoder},
            balancer={"name": balancer},
        )
    )
    stages = built.model.recipe()
    built.model.train()
    built.model.enter_stage(stages[-1].name)
    batch, criterion = batch_of_two(), Criterion(built.tasks)
    cut = built.balancer.cut()
    losses = criterion(built.model(batch.image, cut), batch).by_task
    assert set(losses) == set(batch.targets)
    step = Pass(built.model, losses, None, cut, lambda total: total.backward())
    if (encoder, balancer) in REFUSED:
        with pytest.raises(UserError, match=REFUSED[encoder, balancer]):
            built.balancer.backward(step)
        return
    built.balancer.backward(step)
    for name, parameter in built.model.named_parameters():
        if stages[-1].trains(name):
            assert parameter.grad is not None, f"{name} gets no gradient"
            assert torch.isfinite(parameter.grad).all(), name
