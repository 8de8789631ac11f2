"""The three axes are orthogonal: every encoder x decoder x balancer takes a step that reaches every parameter."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from frugalmtl.balancing import BALANCERS, ForwardPass, StepContext
from frugalmtl.core.checks import UserError
from frugalmtl.core.types import Batch
from frugalmtl.decoders import DECODERS
from frugalmtl.encoders import ENCODERS
from frugalmtl.engine.regime import still_statistics
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.runs.build import build
from frugalmtl.losses import Criterion

REFUSED = {("single_task", "pad_net", "grad_norm"): "no last layer in common: set norms_at to 'parameters'"}
"""What does not go together, and what the refusal says."""
LEVELS = [{"name": "pcgrad", "gradients_at": level} for level in ("parameters", "parameters_batched")]
"""What one gradient method does beside what it does by itself; the others share it."""
GRID = [
    *product(ENCODERS.names(), DECODERS.names(), [{"name": name} for name in BALANCERS.names()]),
    *product(ENCODERS.names(), ["independent"], LEVELS),
]


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


def title(value: str | dict[str, str]) -> str:
    return value if isinstance(value, str) else "-".join(value.values())


@pytest.mark.parametrize(("encoder", "decoder", "balancer"), GRID, ids=title)
def test_combination_takes_a_step(encoder: str, decoder: str, balancer: dict[str, Any]) -> None:
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
            balancer=balancer,
        )
    )
    stages = built.model.recipe()
    built.model.train()
    built.model.enter_stage(stages[-1].name)
    batch, criterion = batch_of_two(), Criterion(built.tasks)

    def losses_again(given: Batch) -> dict[str, Tensor]:
        with still_statistics(built.model):
            return criterion(built.model(given.image), given).by_task

    optimizer = torch.optim.SGD([*built.model.parameters(), *built.balancer.parameters()], lr=1e-4)
    context = StepContext(built.model, [batch], [batch], losses_again, optimizer)
    built.balancer.before_step(context)
    assert all(parameter.grad is None for parameter in built.model.parameters())
    cut = built.balancer.cut()
    losses = criterion(built.model(batch.image, cut), batch).by_task
    assert set(losses) == set(batch.targets)
    step = ForwardPass(built.model, losses, None, cut, lambda total: total.backward())
    refusal = REFUSED.get((encoder, decoder, title(balancer)))
    if refusal is not None:
        with pytest.raises(UserError, match=refusal):
            built.balancer.backward(step)
        return
    built.balancer.backward(step)
    for name, parameter in built.model.named_parameters():
        if stages[-1].trains(name):
            assert parameter.grad is not None, f"{name} gets no gradient"
            assert torch.isfinite(parameter.grad).all(), name
    optimizer.step()
    built.balancer.after_step(context)
    for name, value in [*built.model.state_dict().items(), *built.balancer.state_dict().items()]:
        assert torch.isfinite(value).all(), name
