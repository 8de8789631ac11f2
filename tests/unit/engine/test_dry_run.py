"""Dry runs: refusals of a late stage come before a training, and nothing is left behind."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from frugalmtl.balancing import Balancer
from frugalmtl.core.checks import UserError
from frugalmtl.engine import TrainSettings
from frugalmtl.engine.dry_run import dry_run
from tests.support.tiny_training import build_balancer, build_model, weights_of

SETTINGS = TrainSettings(epochs=4, accelerator="cpu")


def rehearse(encoder: str, balancer: Any) -> None:
    dry_run(build_model(encoder), build_balancer(balancer), SETTINGS, (6, 6))


def test_a_later_stage_is_refused_before_the_first_begins() -> None:
    with pytest.raises(UserError, match=r"^stage 'together': .* set gradients_at to 'parameters'"):
        rehearse("stitched", "pcgrad")


def test_a_model_of_one_stage_is_refused_without_naming_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise UserError("no")

    monkeypatch.setattr(Balancer, "before_step", refuse)
    with pytest.raises(UserError, match=r"^no$"):
        rehearse("shared", "uniform")


def test_every_stage_is_entered_and_every_hook_is_called_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for hook in ("before_step", "choose", "after_step"):
        monkeypatch.setattr(Balancer, hook, lambda *_, hook=hook: calls.append(hook))
    monkeypatch.setattr(Balancer, "enter_epoch", lambda _, epoch, epochs: calls.append(f"epoch {epoch} of {epochs}"))
    rehearse("stitched", "uniform")
    step = ["before_step", "choose", "after_step"]
    assert calls == ["epoch 0 of 4", *step, "epoch 2 of 4", *step]


@pytest.mark.parametrize(
    ("encoder", "balancer"),
    [
        ("shared", "pcgrad"),
        ("shared", "auto_lambda"),
        ("apart", "pcgrad"),
        ("stitched", {"name": "pcgrad", "gradients_at": "parameters"}),
        ("stitched", "uncertainty"),
        ("gated", "uniform"),
    ],
)
def test_a_dry_run_leaves_no_trace(encoder: str, balancer: Any) -> None:
    model, weights = build_model(encoder), build_balancer(balancer)
    expected = {name: value.clone() for name, value in weights_of(model, weights).items()}
    drawn = torch.get_rng_state()
    dry_run(model, weights, SETTINGS, (6, 6))
    assert torch.equal(torch.get_rng_state(), drawn)
    actual = weights_of(model, weights)
    assert [name for name, value in expected.items() if not torch.equal(value, actual[name])] == []
    parameters = [*model.parameters(), *weights.parameters()]
    assert all(parameter.grad is None and parameter.requires_grad for parameter in parameters)
