"""Scores that choose which weights a training ends with, and when it ends."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import HOLDOUT, Share, Stage
from frugalmtl.core.types import Scores
from frugalmtl.engine import TrainJob, TrainSettings, load_weights, train
from frugalmtl.engine.job import check_trainable
from frugalmtl.model import MultiTaskModel
from tests.support.tiny_training import (
    DEFAULTS,
    Heads,
    Interrupted,
    Scored,
    Shared,
    TinyLoader,
    build_balancer,
    build_model,
    run,
    stop_after,
    tasks,
    weights_of,
)


class Scripted:
    """Losses of depth, one an evaluation, and the weights that each was of."""

    def __init__(self, losses: Sequence[float]) -> None:
        self.losses: Iterator[float] = iter(losses)
        self.weights: list[dict[str, Tensor]] = []

    def __call__(self, model: nn.Module) -> Scores:
        model.eval()
        self.weights.append({name: value.clone() for name, value in model.state_dict().items()})
        return {"depth": {"loss": next(self.losses)}}


def wiggling(model: nn.Module) -> Scores:
    """A loss that follows from the weights alone, and goes up and down."""
    model.eval()
    total = sum(float(value.double().sum()) for value in model.parameters())
    return {"depth": {"loss": 2.0 + math.sin(40.0 * total)}}


def same(model: nn.Module, weights: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


@pytest.fixture(autouse=True)
def _no_flushing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)


def test_the_best_epoch_is_what_a_run_ends_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = Scripted([0.5, 0.3, 0.4, 0.35])
    model, _, result = run(tmp_path, evaluate=script, evaluate_every=1, keep="best", progress="plain")
    assert same(model, script.weights[1])
    assert not same(model, script.weights[3])
    loaded = build_model()
    load_weights(loaded, result.checkpoint)
    assert same(loaded, script.weights[1])
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [record["best"] for record in records if record["event"] == "epoch"] == [True, True, False, False]
    assert "kept the weights of epoch 2 of 4, whose scores were best" in capsys.readouterr().err
    assert run(tmp_path, evaluate=None, evaluate_every=1, keep="best")[2].history == result.history


def test_the_last_epoch_is_kept_unless_scores_choose(tmp_path: Path) -> None:
    script = Scripted([0.5, 0.3, 0.4, 0.35])
    model, _, result = run(tmp_path, evaluate=script, evaluate_every=1)
    assert same(model, script.weights[3])
    assert not any("best" in record for record in result.history)


def test_a_training_ends_when_scores_no_longer_improve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = Scripted([0.5, 0.3, 0.4, 0.3])
    model, _, result = run(
        tmp_path, evaluate=script, evaluate_every=1, patience=2, epochs=9, progress="plain", schedule={"name": "poly"}
    )
    assert (result.epochs, result.steps) == (4, 20)
    assert [record.get("stopped") for record in result.history] == [None, None, None, True]
    assert same(model, script.weights[3]), "without 'keep: best' the last weights are kept"
    shown = capsys.readouterr().err
    assert "ended after epoch 4 of 9: 2 evaluations in a row were no better than that of epoch 2" in shown
    assert "kept the weights" not in shown
    factors = [json.loads(line).get("lr_factor") for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [each for each in factors if each][-1] == pytest.approx((1 - 19 / 45) ** 0.9), "the schedule is not cut"


@pytest.mark.parametrize(
    ("settings", "every"), [({"keep": "best"}, 3), ({"keep": "best", "patience": 2}, 0), ({"patience": 1}, 3)], ids=str
)
def test_an_interrupted_choice_goes_on_bit_for_bit(settings: dict[str, Any], every: int, tmp_path: Path) -> None:
    common = {"evaluate": wiggling, "evaluate_every": 1, "epochs": 6, "checkpoint_every": every, **settings}
    *whole, result = run(tmp_path / "whole", **common)
    for stop in range(4, result.steps, 7):
        with pytest.raises(Interrupted):
            run(tmp_path / "parts", **common, on_step=stop_after(stop))
    torch.rand(5)
    *parts, again = run(tmp_path / "parts", **common)
    expected, actual = weights_of(*whole), weights_of(*parts)
    assert [name for name, value in expected.items() if not torch.equal(actual[name], value)] == []
    assert again.history == result.history


def test_a_training_killed_after_its_last_evaluation_ends_there(tmp_path: Path) -> None:
    common: dict[str, Any] = {"evaluate_every": 1, "epochs": 9, "patience": 1}
    with pytest.raises(Interrupted):
        run(tmp_path, **common, evaluate=Scripted([0.5, 0.6]), on_step=stop_after(10))
    script = Scripted([])
    assert run(tmp_path, **common, evaluate=script)[2].steps == 10
    assert script.weights == []


def test_only_the_last_stage_counts(tmp_path: Path) -> None:
    script = Scripted([0.1, 0.1, 0.5, 0.6])
    model, _, result = run(tmp_path, "stitched", evaluate=script, evaluate_every=1, keep="best")
    assert same(model, script.weights[2])
    assert [record.get("best") for record in result.history] == [None, None, True, False]


class Deciding(Shared):
    """Decides what runs until a share of its epochs is left."""

    left = 0.5
    keep = "last"

    def recipe(self) -> tuple[Stage, ...]:
        return (Stage("all", settled=self.left, stream="most", keep=self.keep),)  # type: ignore[arg-type]

    def streams(self) -> dict[str, Share]:
        return {"most": (0.0, 0.8), HOLDOUT: (0.8, 1.0)}


def deciding(**facts: Any) -> MultiTaskModel:
    torch.manual_seed(0)
    kind = type("Kind", (Deciding,), facts)
    return MultiTaskModel(kind(tuple(task.name for task in tasks())), Heads(4, tasks()), tasks())


def test_an_epoch_in_which_something_is_decided_is_not_chosen(tmp_path: Path) -> None:
    script = Scripted([0.1, 0.2, 0.6, 0.5, 0.7, 0.9])
    settings = TrainSettings(**{**DEFAULTS, "epochs": 6, "evaluate_every": 1, "keep": "best", "patience": 2})
    streams = {"train": TinyLoader(), "most": TinyLoader()}
    model = deciding()
    result = train(TrainJob(model, build_balancer(), settings, streams, tmp_path, Scored(script)))
    assert same(model, script.weights[3])
    assert [record.get("best") for record in result.history] == [None, None, None, True, False, False]
    assert result.history[-1]["stopped"]


@pytest.mark.parametrize("setting", [{"keep": "best"}, {"patience": 3}], ids=str)
@pytest.mark.parametrize(
    ("facts", "every", "message"),
    [
        ({}, 0, "goes by the scores of evaluations, but evaluate_every is 0: set it, e.g. to 1"),
        ({"left": 0.0}, 1, "in the last stage 'all' it decides to the end: leave the setting out"),
        ({"keep": "best"}, 1, "the method keeps the best weights of 'all' by itself: leave the setting out"),
    ],
)
def test_what_cannot_be_chosen_is_refused(
    setting: dict[str, Any], facts: dict[str, Any], every: int, message: str
) -> None:
    settings = TrainSettings(**{**DEFAULTS, **setting, "evaluate_every": every})
    with pytest.raises(UserError, match=f"^{settings.chosen_by_scores} .*{message}"):
        check_trainable(deciding(**facts), build_balancer(), settings)
    with pytest.raises(UserError, match="patience must be 0 or more"):
        TrainSettings(patience=-1)


def test_choosing_needs_measures(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="keep: best goes by scores: give 'measures'"):
        run(tmp_path, evaluate_every=1, keep="best")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("change", [{"keep": "last"}, {"patience": 7}, {"evaluate_every": 2}], ids=str)
def test_what_chooses_does_not_change_under_way(change: dict[str, Any], tmp_path: Path) -> None:
    common: dict[str, Any] = {"evaluate": wiggling, "evaluate_every": 1, "keep": "best"}
    with pytest.raises(Interrupted):
        run(tmp_path, **common, on_step=stop_after(6))
    with pytest.raises(UserError, match=f"cannot continue the run in .*: train.{next(iter(change))} was"):
        run(tmp_path, **{**common, **change})
