"""Stages: what is frozen, which groups there are, and their rates at every step."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import ParameterGroup, Stage
from frugalmtl.engine import TrainJob, train
from frugalmtl.engine.checkpoints.identity import flatten
from frugalmtl.engine.parameter_groups import Rates, build_optimizer
from frugalmtl.engine.schedules import SCHEDULES, Progress
from frugalmtl.engine.settings import TrainSettings
from frugalmtl.engine.stages.modes import freeze, set_modes
from tests.support.tiny_training import DEFAULTS, TinyLoader, build_balancer, build_model


def test_frozen_patterns_and_flags_of_the_model() -> None:
    model = build_model()
    model.decoder.initial.requires_grad_(False)
    trainable = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    freeze(model, Stage(frozen=("encoder.trunk.0.*",)), trainable)
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert {name.rsplit(".", 1)[0] for name in frozen} == {
        "encoder.trunk.0.0",
        "encoder.trunk.0.1",
        "decoder.initial",
    }
    freeze(model, Stage(), trainable)
    assert {name for name, p in model.named_parameters() if not p.requires_grad} == {
        "decoder.initial.weight",
        "decoder.initial.bias",
    }
    with pytest.raises(UserError, match="freezes every parameter"):
        freeze(model, Stage(frozen=("*",)), trainable)


def test_frozen_batch_norm_keeps_its_statistics() -> None:
    model = build_model()
    set_modes(model, Stage(frozen=("encoder.trunk.0.*",)))
    norms = {name: module for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}
    assert {name: norm.training for name, norm in norms.items()} == {
        "encoder.trunk.0.1": False,
        "encoder.trunk.2.1": True,
    }
    assert model.encoder.trunk[1].training  # dropout stays on
    set_modes(model, Stage())
    assert all(norm.training for norm in norms.values())


def test_groups_take_the_first_match_and_keep_their_factor() -> None:
    """The factor of a group holds at every step of the schedule, not only before the first."""
    stage = Stage(groups=(ParameterGroup("*.bias", 2.0, 0.0), ParameterGroup("encoder.*", 100.0)))
    settings = TrainSettings(epochs=2, optimizer={"name": "sgd", "lr": 0.1, "weight_decay": 0.01}, warmup_steps=2)
    model, balancer = build_model(), build_balancer("uncertainty")
    optimizer = build_optimizer(model, balancer, stage, settings)
    assert [group["base_lr"] for group in optimizer.param_groups] == pytest.approx([0.1, 0.2, 10.0, 0.1])
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.01, 0.0, 0.01, 0.0]
    actual = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    assert sorted(actual) == sorted(id(p) for p in (*model.parameters(), *balancer.parameters()))
    biases = {id(p) for name, p in model.named_parameters() if name.endswith("bias")}
    assert {id(p) for p in optimizer.param_groups[1]["params"]} == biases
    rates = Rates(settings)
    for step in range(10):
        factor = rates.apply(optimizer, Progress(step, 10, step // 5, 2))
        assert factor == pytest.approx((1 - step / 10) ** 0.9 * min(1.0, (step + 1) / 2))
        assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([factor * x for x in (0.1, 0.2, 10.0, 0.1)])


GATES = {"name": "sgd", "lr": 0.1, "momentum": 0.0, "weight_decay": 0.02}


def test_groups_with_an_optimiser_of_their_own() -> None:
    """They come after the run's groups; the first match still wins, whichever optimiser it names."""
    stage = Stage(
        groups=(
            ParameterGroup("encoder.trunk.0.0.*", 2.0, optimizer=GATES, scheduled=False),
            ParameterGroup("*.bias", 3.0, 0.0),
            ParameterGroup("nothing.*", optimizer=GATES),
            ParameterGroup("encoder.*.weight", 1.0, 0.5, optimizer={**GATES, "lr": 0.2}),
            ParameterGroup("encoder.*", optimizer=GATES),  # all matched before
        )
    )
    settings = TrainSettings(optimizer={"name": "adam", "lr": 0.01, "weight_decay": 0.03}, warmup_steps=2)
    model, balancer = build_model(), build_balancer("uncertainty")
    optimizer = build_optimizer(model, balancer, stage, settings)
    assert [type(member).__name__ for member in optimizer.members] == ["Adam", "SGD", "SGD"]
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    actual = [{names.get(id(p), "balancer") for p in group["params"]} for group in optimizer.param_groups]
    biases = {name for name in names.values() if name.endswith("bias")} - {"encoder.trunk.0.0.bias"}
    gates = {"encoder.trunk.0.0.weight", "encoder.trunk.0.0.bias"}
    weights = {name for name in names.values() if name.startswith("encoder") and name.endswith("weight")} - gates
    assert actual == [set(names.values()) - biases - gates - weights, biases, {"balancer"}, gates, weights]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.03, 0.0, 0.0, 0.02, 0.5]
    assert [group["base_lr"] for group in optimizer.param_groups] == pytest.approx([0.01, 0.03, 0.01, 0.2, 0.2])
    factor = Rates(settings).apply(optimizer, Progress(0, 10, 0, 1))
    assert factor == 0.5
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.005, 0.015, 0.005, 0.2, 0.1])


def test_groups_of_the_runs_optimiser_may_leave_the_schedule() -> None:
    stage = Stage(groups=(ParameterGroup("encoder.*", 3.0, scheduled=False),))
    settings = TrainSettings(optimizer={"name": "sgd", "lr": 0.1}, warmup_steps=4)
    optimizer = build_optimizer(build_model(), build_balancer(), stage, settings)
    assert len(optimizer.members) == 1
    Rates(settings).apply(optimizer, Progress(0, 10, 0, 1))
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.025, 0.3])


def test_factors_of_the_settings_come_after_the_groups_of_the_stage() -> None:
    """What the method treats apart keeps its optimiser and its rate; of the settings' patterns, the first wins."""
    stage = Stage(
        groups=(
            ParameterGroup("encoder.trunk.0.0.*", optimizer=GATES, scheduled=False),
            ParameterGroup("*.bias", 3.0, 0.0),
        )
    )
    settings = TrainSettings(
        optimizer={"name": "adam", "lr": 0.01, "weight_decay": 0.03},
        lr_factors={"decoder.heads.depth.*": 5, "decoder.*": 10.0, "encoder.trunk.0.0.weight": 7.0},
        warmup_steps=2,
    )
    model, balancer = build_model(), build_balancer("uncertainty")
    optimizer = build_optimizer(model, balancer, stage, settings)
    assert [type(member).__name__ for member in optimizer.members] == ["Adam", "SGD"]
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    actual = [{names.get(id(p), "balancer") for p in group["params"]} for group in optimizer.param_groups]
    gates = {"encoder.trunk.0.0.weight", "encoder.trunk.0.0.bias"}
    biases = {name for name in names.values() if name.endswith("bias")} - gates
    depth = {"decoder.heads.depth.weight"}
    heads = {name for name in names.values() if name.startswith("decoder.") and name.endswith("weight")} - depth
    trunk = set(names.values()) - gates - biases - depth - heads
    assert heads
    assert trunk
    assert actual == [trunk, biases, depth, heads, {"balancer"}, gates]
    rates = [0.01, 0.03, 0.05, 0.1, 0.01, 0.1]
    assert [group["base_lr"] for group in optimizer.param_groups] == pytest.approx(rates)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.03, 0.0, 0.03, 0.03, 0.0, 0.02]
    assert Rates(settings).apply(optimizer, Progress(0, 10, 0, 1)) == 0.5
    scheduled = [0.5, 0.5, 0.5, 0.5, 0.5, 1.0]
    found_rates = [group["lr"] for group in optimizer.param_groups]
    assert found_rates == pytest.approx([rate * factor for rate, factor in zip(rates, scheduled, strict=True)])


def test_a_factor_trains_those_parameters_faster(tmp_path: Path) -> None:
    """One step of plain SGD: the heads go ten times as far, the trunk as far as without factors."""
    moved = {}
    for name, factors in {"plain": {}, "factors": {"decoder.*": 10.0}}.items():
        model, far = build_model(), {}
        start = {key: value.detach().clone() for key, value in model.named_parameters()}

        def look(step: int, model: nn.Module = model, far: dict[str, Any] = far, start: Any = start) -> None:
            if step == 1:
                far.update({key: value.detach() - start[key] for key, value in model.named_parameters()})

        settings = TrainSettings(**{**DEFAULTS, "optimizer": {"name": "sgd", "lr": 0.01}, "lr_factors": factors})
        train(TrainJob(model, build_balancer(), settings, {"train": TinyLoader()}, tmp_path / name), on_step=look)
        moved[name] = far
    for key, change in moved["factors"].items():
        factor = 10.0 if key.startswith("decoder.") else 1.0
        assert torch.allclose(change, factor * moved["plain"][key], rtol=1e-3, atol=1e-6), key
    assert moved["plain"]["decoder.heads.depth.weight"].abs().max() > 1e-4


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({"decoder.*": 2.0, "heads.*": 10.0}, "'heads.\\*' matches no parameter of the model; one of them is 'encoder"),
        ({"decoder.*": 2.0, "decoder.heads.*": 10.0}, "'decoder.heads.\\*' matches falls to patterns before it"),
    ],
)
def test_factors_that_act_on_nothing_are_refused_at_once(
    factors: dict[str, float], message: str, tmp_path: Path
) -> None:
    settings = TrainSettings(**DEFAULTS, lr_factors=factors)
    with pytest.raises(UserError, match=f"lr_factors: .*{message}") as error:
        train(TrainJob(build_model(), build_balancer(), settings, {"train": TinyLoader()}, tmp_path / "run"))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_factors_belong_to_the_identity_of_a_run() -> None:
    """Their order too, since the first match wins; a run begun before there were factors has none."""

    def identity(factors: dict[str, float]) -> dict[str, Any]:
        return flatten(TrainSettings(lr_factors=factors).identity())

    assert identity({"decoder.*": 10}) == identity({"decoder.*": 10.0})
    assert identity({"decoder.*": 10.0}) != identity({"decoder.*": 5.0})
    assert identity({"a*": 2.0, "*b": 3.0}) != identity({"*b": 3.0, "a*": 2.0})
    assert not [key for key in identity({}) if key.startswith("lr_factors")]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"name": "sdg"}, "Did you mean 'sgd"),
        ({"lr": 0.1}, "a key 'name'"),
        ({"name": "sgd", "betas": [0.9, 0.9]}, "argument of optimizer 'sgd'"),
        ({"name": "sgd", "lr": 0.0}, "lr must be above 0"),
        ({"name": "adam", "betas": [0.9, 1.5]}, "beta"),
    ],
)
def test_a_recipe_that_asks_for_no_such_optimiser_is_refused_at_once(
    section: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the stage comes late."""
    model = build_model()
    late = Stage("late", 0.5, groups=(ParameterGroup("encoder.trunk.*", optimizer=section),))
    monkeypatch.setattr(model.encoder, "recipe", lambda: (Stage("early", 0.5), late))
    with pytest.raises(UserError, match=f"stage 'late', parameters 'encoder.trunk.\\*': .*{message}") as error:
        train(TrainJob(model, build_balancer(), TrainSettings(**DEFAULTS), {"train": TinyLoader()}, tmp_path / "run"))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"name": "poly", "power": 0.9}, [1.0, (1 - 3 / 8) ** 0.9, (1 / 8) ** 0.9]),
        ({"name": "poly", "per": "epoch"}, [1.0, (1 - 1 / 4) ** 0.9, (1 / 4) ** 0.9]),
        ({"name": "cosine"}, [1.0, (1 + math.cos(3 * math.pi / 8)) / 2, (1 + math.cos(7 * math.pi / 8)) / 2]),
        (
            {"name": "cosine", "floor": 0.5, "per": "epoch"},
            [1.0, 0.75 + math.sqrt(0.5) / 4, 0.75 - math.sqrt(0.5) / 4],
        ),
        ({"name": "cosine", "cycles": 2}, [1.0, 0.5 - math.sqrt(0.5) / 2, 0.5 - math.sqrt(0.5) / 2]),
        ({"name": "cosine", "cycles": 2, "per": "epoch"}, [1.0, 0.5, 0.5]),
        ({"name": "step", "every": 2, "factor": 0.1}, [1.0, 1.0, 0.1]),
        ({"name": "constant"}, [1.0, 1.0, 1.0]),
    ],
)
def test_schedules_by_hand(section: dict[str, Any], expected: list[float]) -> None:
    """Four epochs of two steps, looked at in steps 0, 3 and 7."""
    spec = SCHEDULES.check(section)
    actual = [SCHEDULES.get(spec.name)(Progress(step, 8, step // 2, 4), **spec.args) for step in (0, 3, 7)]
    assert actual == pytest.approx(expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": 0}, "epochs must be above 0"),
        ({"batch_size": -1}, "batch_size"),
        ({"warmup_steps": -1}, "warmup_steps must be 0 or more"),
        ({"clip_norm": 0.0}, "clip_norm"),
        ({"lr_factors": {"decoder.*": 0.0}}, "factor of 'decoder.\\*' in lr_factors must be above 0, but got 0.0"),
        ({"lr_factors": {"decoder.*": -1}}, "lr_factors must be above 0"),
        ({"lr_factors": {"decoder.*": math.nan}}, "lr_factors must be above 0"),
        ({"lr_factors": {"decoder.*": math.inf}}, "lr_factors must be finite"),
        ({"lr_factors": {"decoder.*": True}}, "lr_factors must be a mapping of patterns to numbers"),
        ({"lr_factors": {"decoder.*": "fast"}}, "lr_factors must be a mapping of patterns to numbers"),
        ({"lr_factors": {3: 1.0}}, "lr_factors must be a mapping of patterns to numbers"),
        ({"optimizer": {"name": "adm"}}, "Did you mean 'adam"),
        ({"optimizer": {"name": "adam", "momentum": 0.9}}, "argument of optimizer 'adam'"),
        ({"optimizer": {"name": "sgd", "lr": -0.1}}, "lr must be above 0"),
        ({"optimizer": {"name": "sgd", "lr": "fast"}}, "lr must be a number"),
        ({"optimizer": {"name": "sgd", "momentum": 1.5}}, "momentum"),
        ({"optimizer": {"name": "sgd", "momentum": 0.0, "nesterov": True}}, "optimizer: Nesterov"),
        ({"optimizer": {"name": "adam", "weight_decay": -1.0}}, "weight_decay"),
        ({"optimizer": {"name": "adam", "betas": [0.9, 1.5]}}, "beta"),
        ({"schedule": {"name": "step"}}, "needs every"),
        ({"schedule": {"name": "poly", "power": 0.0}}, "power"),
        ({"schedule": {"name": "cosine", "floor": 2.0}}, "floor"),
        ({"schedule": {"name": "cosine", "cycles": 0}}, "cycles must be above 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused_at_once(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TrainSettings(**arguments)


def test_stages_train_what_they_should(tmp_path: Path) -> None:
    """In the first stage the units stay, in the second the first blocks and their statistics."""
    model, seen = build_model("stitched"), {}

    def look(step: int) -> None:
        seen[step] = {name: value.clone() for name, value in model.state_dict().items()}

    settings = TrainSettings(**DEFAULTS)
    result = train(TrainJob(model, build_balancer(), settings, {"train": TinyLoader()}, tmp_path), on_step=look)
    assert [record["stage"] for record in result.history] == ["apart", "apart", "together", "together"]
    still = [[n for n in seen[1] if torch.equal(seen[a][n], seen[b][n])] for a, b in ((1, 10), (11, 20))]
    assert still[0] == ["encoder.units"]
    assert still[1] == [name for name in seen[1] if name.startswith("encoder.first")]
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not model.training
