"""The contract of balancers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from frugalmtl.balancing import BALANCERS, Balancer, ForwardPass
from frugalmtl.balancing.aggregation.base import Aggregator
from frugalmtl.core.schema.docs import documentation
from frugalmtl.core.types import Batch
from frugalmtl.losses import Criterion
from frugalmtl.model import MultiTaskModel
from tests.support.tiny_training import build_batch, build_model, tasks

SECTIONS = [{"name": name} for name in BALANCERS.names()] + [
    {"name": name, "gradients_at": "parameters"}
    for name in BALANCERS.names()
    if "gradients_at" in BALANCERS.schema(name)
    and "parameters" in getattr(BALANCERS.get(name), "levels", ("parameters",))
]
STACKS = [
    {"name": "pcgrad", "losses": "uncertainty"},
    {"name": "grad_drop", "losses": "rlw"},
    {"name": "nash_mtl", "losses": "geometric_mean"},
    {"name": "cagrad", "losses": "dtp", "gradients_at": "parameters"},
]
"""Scalarizers below aggregators, one of each kind: learned, random, of the losses, of scores."""
IDS = ["-".join(map(str, section.values())) for section in [*SECTIONS, *STACKS]]


def step(
    model: MultiTaskModel, balancer: Balancer, batch: Batch
) -> tuple[dict[str, Tensor], dict[str, Tensor | float]]:
    balancer.attach(model)
    balancer.enter_epoch(0, 3)
    cut = balancer.cut()
    losses = Criterion(tasks())(model(batch.image, cut), batch).by_task
    weights = balancer.backward(ForwardPass(model, losses, None, cut, Tensor.backward)).weights
    named = [*model.named_parameters(), *balancer.named_parameters()]
    return {name: parameter.grad for name, parameter in named if parameter.grad is not None}, weights


@pytest.mark.parametrize("section", [*SECTIONS, *STACKS], ids=IDS)
def test_every_parameter_gets_a_finite_gradient_and_every_task_a_weight(section: dict[str, str]) -> None:
    model, balancer = build_model(), BALANCERS.build(section, tasks())
    gradients, weights = step(model, balancer, build_batch(0))
    assert len(gradients) == len([*model.parameters(), *balancer.parameters()])
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    assert any(gradient.abs().sum() > 0 for name, gradient in gradients.items() if name.startswith("encoder"))
    assert list(weights) == [task.name for task in tasks()]
    assert all(torch.isfinite(torch.as_tensor(weight)) for weight in weights.values())


@pytest.mark.parametrize("section", [*SECTIONS, *STACKS], ids=IDS)
def test_a_batch_without_labels_moves_nothing_in_the_model(section: dict[str, str]) -> None:
    model, balancer = build_model(), BALANCERS.build(section, tasks())
    batch = build_batch(0)
    batch.valid = {name: torch.zeros_like(mask) for name, mask in batch.valid.items()}
    gradients, _ = step(model, balancer, batch)
    parameters = dict(model.named_parameters())
    assert all(torch.equal(gradients[name], torch.zeros_like(parameters[name])) for name in parameters)


@pytest.mark.parametrize("section", [*SECTIONS, *STACKS], ids=IDS)
def test_one_task_alone_trains(section: dict[str, str]) -> None:
    model = build_model()
    task = tasks()[:1]
    balancer = BALANCERS.build(section, task)
    balancer.attach(model)
    cut, batch = balancer.cut(), build_batch(0)
    losses = Criterion(task)(model(batch.image, cut), batch).by_task
    balancer.backward(ForwardPass(model, losses, None, cut, Tensor.backward))
    assert all(parameter.grad is not None for parameter in model.encoder.parameters())


@pytest.mark.parametrize("section", [*SECTIONS, *STACKS], ids=IDS)
def test_facts_are_stated(section: dict[str, str]) -> None:
    balancer: Balancer = BALANCERS.build(section, tasks())
    assert balancer.scale in {"sum", "mean", "free"}
    assert isinstance(balancer.explicit_reduction, bool)
    assert (balancer.cut() is None) or balancer.explicit_reduction
    assert BALANCERS.describe(section["name"])


@pytest.mark.parametrize("normalise", [None, "sum", "mean"])
@pytest.mark.parametrize("section", SECTIONS, ids=IDS[: len(SECTIONS)])
def test_weights_add_up_to_what_is_stated(section: dict[str, str], normalise: str | None) -> None:
    if "normalise" not in BALANCERS.schema(section["name"]):
        pytest.fail(f"{section['name']} has no option 'normalise'")
    balancer: Balancer = BALANCERS.build({**section, "normalise": normalise}, tasks())
    wanted = normalise or balancer.scale
    size: Callable[[float], float] = abs if normalise else float
    for seed in range(3):
        _, weights = step(build_model(), balancer, build_batch(seed, holes=False))
        total = sum(size(float(weight)) for weight in weights.values())
        assert wanted == "free" or total == pytest.approx({"sum": len(tasks()), "mean": 1.0}[wanted], rel=1e-5)


@pytest.mark.parametrize("name", BALANCERS.names())
def test_common_options_are_described_and_hold_for_every_member(name: str) -> None:
    """Members say only what differs from the bases; a reader of their help sees all options with their meaning."""
    options = BALANCERS.schema(name)
    described = documentation(BALANCERS.get(name)).parameters
    common = {"normalise"} if name == "uniform" else {"normalise", "weights"}
    assert common <= options.keys()
    assert issubclass(BALANCERS.get(name), Aggregator) == ("gradients_at" in options)
    assert [key for key in options if not described.get(key)] == []
