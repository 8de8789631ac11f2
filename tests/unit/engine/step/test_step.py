"""One optimiser step: accumulation, clipping, precision, penalties, guards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from frugalmtl.balancing import BALANCERS as ALL
from frugalmtl.core.checks import UserError
from frugalmtl.core.types import Batch
from frugalmtl.engine.step import StepSetup, take_step
from frugalmtl.model import MultiTaskModel
from tests.support.steps import setup_of
from tests.support.tiny_training import SpoiledLoader, build_batch, build_model, run

BALANCERS: list[Any] = ["fixed", "uncertainty", "pcgrad", {"name": "pcgrad", "gradients_at": "parameters"}]
LINEAR = [
    {"name": name, **({"gradients_at": level} if level else {})}
    for name in ALL.names()
    for level in (getattr(ALL.get(name), "levels", None) or (None,))
    if name not in {"geometric_mean", "famo", "adversarial"}
]
"""Those for which accumulated batches count as one; the others say that they weigh each by itself."""
EVERY = [
    {"name": name, **({"gradients_at": level} if level else {})}
    for name in ALL.names()
    for level in (getattr(ALL.get(name), "levels", None) or (None,))
]

MOVED_BEFORE_THE_STEP = {"auto_lambda": {"lambdas", "adam.mean", "adam.square", "adam.steps"}}
"""What may move with a step that is skipped: Auto-lambda looks at losses without a scale, before the step."""


def moved(
    model: MultiTaskModel, setup: StepSetup, batches: list[Batch], validation: list[Batch] | None = None
) -> dict[str, Tensor]:
    """How far one step with rate 1 moves every parameter, which is the gradient."""
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    take_step(setup, batches, validation=validation or ())
    return {name: before[name] - parameter.detach() for name, parameter in model.named_parameters()}


def halves(batch: Batch) -> list[Batch]:
    def part(rows: slice) -> Batch:
        targets = {name: value[rows] for name, value in batch.targets.items()}
        valid = {name: value[rows] for name, value in batch.valid.items()}
        return Batch(batch.image[rows], targets, valid, batch.names[rows])

    return [part(slice(0, 2)), part(slice(2, 4))]


@pytest.mark.parametrize("balancer", LINEAR, ids=lambda section: "-".join(section.values()))
def test_accumulated_halves_are_the_whole_batch(balancer: Any) -> None:
    """Without batch statistics, and with as many labels in each half."""
    batch = build_batch(3, 4, holes=False)
    batch.image = batch.image.double()
    actual = []
    for batches in ([batch], halves(batch)):
        model = build_model(norm=False, dropout=0.0).double()
        setup = setup_of(model, balancer)
        setup.balancer.double()
        setup.balancer.enter_epoch(0, 2)
        torch.manual_seed(3)
        actual.append(moved(model, setup, batches, validation=batches))
    whole, parts = actual
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, msg=name, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("balancer", BALANCERS, ids=str)
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_clipping_limits_the_norm_of_everything(balancer: Any, precision: str) -> None:
    model = build_model(dropout=0.0)
    setup = setup_of(model, balancer, clip=0.5, precision=precision)
    if setup.scaler is not None:
        setup.scaler._init_scale = 256.0
    before = [p.detach().clone() for group in setup.optimizer.param_groups for p in group["params"]]
    report = take_step(setup, [build_batch(1)])
    after = [p.detach() for group in setup.optimizer.param_groups for p in group["params"]]
    norm = torch.stack([(a - b).norm() for a, b in zip(after, before, strict=True)]).norm()
    assert report.gradient_norm is not None
    assert report.gradient_norm > 0.5
    assert norm.item() == pytest.approx(0.5, rel=1e-2)


def begun(model: MultiTaskModel, balancer: Any, precision: str, loss_scale: float = 256.0) -> StepSetup:
    """The setup of a first epoch, with the same first values of the balancer and the same draws each time."""
    torch.manual_seed(3)
    setup = setup_of(model, balancer, precision=precision)
    setup.balancer.attach(model)
    setup.balancer.enter_epoch(0, 2)
    if setup.scaler is not None:
        setup.scaler._init_scale = loss_scale
    torch.manual_seed(3)
    return setup


@pytest.mark.parametrize("balancer", EVERY, ids=lambda section: "-".join(section.values()))
@pytest.mark.parametrize(("precision", "tolerance"), [("bf16-mixed", 0.05), ("16-mixed", 0.003)])
def test_mixed_precision_takes_nearly_the_same_step(balancer: Any, precision: str, tolerance: float) -> None:
    full, mixed = build_model(dropout=0.0), build_model(dropout=0.0)
    batches = [build_batch(1)]
    expected = moved(full, begun(full, balancer, "32-true"), batches, validation=batches)
    actual = moved(mixed, begun(mixed, balancer, precision), batches, validation=batches)
    flat = [torch.cat([value.reshape(-1) for value in values.values()]) for values in (expected, actual)]
    assert (flat[0] - flat[1]).norm() < tolerance * flat[0].norm()
    assert all(parameter.dtype == torch.float32 for parameter in mixed.parameters())


@pytest.mark.parametrize("balancer", EVERY, ids=lambda section: "-".join(section.values()))
def test_an_overflow_under_loss_scaling_skips_the_step(balancer: Any) -> None:
    """And nothing that the balancer remembers has moved."""
    model = build_model(dropout=0.0)
    setup = begun(model, balancer, "16-mixed", loss_scale=2.0**60)
    assert setup.scaler is not None
    before = {name: value.clone() for name, value in setup.balancer.state_dict().items()}
    batches = [build_batch(1)]
    assert all(value.abs().sum() == 0 for value in moved(model, setup, batches, validation=batches).values())
    assert setup.scaler.get_scale() < 2.0**60
    after = setup.balancer.state_dict()
    allowed = MOVED_BEFORE_THE_STEP.get(balancer["name"], set())
    assert {name for name, value in after.items() if not torch.equal(value, before[name])} <= allowed
    assert all(value.isfinite().all() for value in after.values())


@pytest.mark.parametrize("balancer", [name for name in BALANCERS if name != "pcgrad"], ids=str)
def test_penalties_add_their_gradient(balancer: Any) -> None:
    """The penalty is the mean square of the units, so its gradient is 2 * units / 9."""
    models = [build_model("stitched", dropout=0.0) for _ in range(2)]
    for model in models:
        torch.manual_seed(0)
        model.enter_stage("together")
    units = models[0].encoder.units.detach().clone()
    torch.manual_seed(1)
    without = moved(models[0], setup_of(models[0], balancer), [build_batch(1)])
    torch.manual_seed(1)
    with_penalty = moved(models[1], setup_of(models[1], balancer, penalties={"size": 0.3}), [build_batch(1)])
    difference = with_penalty.pop("encoder.units") - without.pop("encoder.units")
    torch.testing.assert_close(difference, 0.3 * 2 * units / 9, rtol=1e-3, atol=1e-4)
    for name, value in without.items():
        torch.testing.assert_close(with_penalty[name], value, msg=name)


def test_a_penalty_that_the_model_does_not_give_is_a_defect() -> None:
    with pytest.raises(KeyError, match="budget"):
        take_step(setup_of(build_model(), penalties={"budget": 1.0}), [build_batch(0)])


@pytest.mark.parametrize("balancer", BALANCERS, ids=str)
def test_a_loss_that_is_not_a_number_stops_the_run(balancer: Any, tmp_path: Path) -> None:
    message = r"stopped at step 7: the loss 'depth' is nan.*\(samples: .*spoiled\.png\)"
    with pytest.raises(UserError, match=message) as error:
        run(tmp_path, "shared", balancer, loader=SpoiledLoader(), checkpoint_every=1)
    assert "segmentation" not in str(error.value).split("(")[0]
    assert (tmp_path / "checkpoints/last").read_text() == "step-00000007\n"
    assert json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])["step"] == 7


def test_loss_scaling_on_a_cpu_is_refused_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="16-mixed needs a GPU"):
        run(tmp_path, precision="16-mixed")


def test_accelerators_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot train with accelerator 'abacus'"):
        run(tmp_path, accelerator="abacus")
