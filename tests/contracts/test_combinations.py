"""The three axes are orthogonal: every encoder x decoder x balancer takes a step that reaches every parameter."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch

from frugalmtl.balancing import BALANCERS
from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import Stage
from frugalmtl.core.types import Batch
from frugalmtl.decoders import DECODERS
from frugalmtl.encoders import ENCODERS
from frugalmtl.engine import TrainSettings
from frugalmtl.engine.launch import local_fabric
from frugalmtl.engine.stages.modes import enter_first_step
from frugalmtl.engine.step import StepSetup, take_step
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.runs.build import Built, build
from tests.support.contracts.fitting import TOY_ROUTER, fitting_family, tiny_section

REFUSED = {
    ("single_task", decoder, "grad_norm"): "no last layer in common: set norms_at to 'parameters'"
    for decoder in ("pad_net", "mti_net")
}
"""Combinations that do not go together, and a part of the refusal."""
LEVELS = [{"name": "pcgrad", "gradients_at": level} for level in ("parameters", "parameters_batched")]
"""Levels of one gradient method beside its default; the others share them."""
GRID = [
    *product(ENCODERS.names(), DECODERS.names(), [{"name": name} for name in BALANCERS.names()]),
    *product(ENCODERS.names(), ["independent"], LEVELS),
    *product([TOY_ROUTER], ["independent"], [{"name": name} for name in BALANCERS.names()]),
]
PLAIN = "hard_sharing", "independent", "uniform"
"""The plainest member of each axis: with it, every pair of others is among the fast tests; triples are slow ones."""


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


def combination(encoder: str, decoder: str, balancer: dict[str, Any]) -> Any:
    triple = all(name != plain for name, plain in zip((encoder, decoder, balancer["name"]), PLAIN, strict=True))
    identity = "-".join(map(title, (encoder, decoder, balancer)))
    return pytest.param(encoder, decoder, balancer, id=identity, marks=[pytest.mark.slow] if triple else [])


@pytest.mark.parametrize(("encoder", "decoder", "balancer"), [combination(*members) for members in GRID])
def test_combination_takes_a_step(encoder: str, decoder: str, balancer: dict[str, Any], toy_members: None) -> None:
    built = build(
        Experiment(
            image_size=(64, 64),
            tasks=[
                {"kind": "segmentation", "classes": 4},
                {"kind": "depth"},
                {"kind": "classification", "classes": ["a", "b", "c"]},
            ],
            backbone=tiny_section(fitting_family(encoder)),
            encoder={"name": encoder},
            decoder={"name": decoder},
            balancer=balancer,
        )
    )
    refusal = REFUSED.get((encoder, decoder, title(balancer)))
    if refusal is not None:
        with pytest.raises(UserError, match=refusal):
            take_steps(built)
        return
    reached, stage = take_steps(built)
    for name, parameter in built.model.named_parameters():
        assert not stage.trains(name) or name in reached, f"{name} gets no gradient"
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name
    for name, value in [*built.model.state_dict().items(), *built.balancer.state_dict().items()]:
        assert torch.isfinite(value).all(), name


def take_steps(built: Built) -> tuple[set[str], Stage]:
    """Steps of the last stage until every task had one; names of the parameters that gradients reached."""
    stage, batch = built.model.recipe()[-1], batch_of_two()
    enter_first_step(built.model, stage, 4)
    optimizer = torch.optim.SGD([*built.model.parameters(), *built.balancer.parameters()], lr=1e-4)
    setup = StepSetup(local_fabric(torch.device("cpu")), built.model, built.balancer, stage, TrainSettings(), optimizer)
    choose = built.balancer.choose

    def choose_with_empty_gradients() -> tuple[str, ...] | None:
        assert all(parameter.grad is None for parameter in built.model.parameters())
        return choose()

    built.balancer.choose = choose_with_empty_gradients  # type: ignore[method-assign]
    reached: set[str] = set()
    missing = set(batch.targets)
    while missing:
        report = take_step(setup, [batch], validation=[batch])
        missing -= {part.split("@")[0] for part in report.parts}
        reached |= {name for name, parameter in built.model.named_parameters() if parameter.grad is not None}
    return reached, stage
