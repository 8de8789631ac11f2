"""Moving average of the weights: its formula, what of a model it holds, and that training goes on as without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.core.types import Scores
from frugalmtl.engine import TrainJob, TrainSettings, load_weights, train
from frugalmtl.engine.stages.average import AverageWeights, decay_at
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

Weights = dict[str, Tensor]


class Watched:
    """A tiny training of which every step and every evaluation is kept."""

    def __init__(self, folder: Path, model: MultiTaskModel, **settings: Any) -> None:
        self.model, self.steps, self.evaluated = model, list[Weights](), list[Weights]()
        chosen = TrainSettings(**{**DEFAULTS, "evaluate_every": 1, **settings})
        job = TrainJob(model, build_balancer(), chosen, {"train": TinyLoader()}, folder, Scored(self._score))
        self.result = train(job, on_step=lambda _: self.steps.append(self._copy()))

    def _copy(self) -> Weights:
        return {name: value.clone() for name, value in self.model.state_dict().items()}

    def _score(self, _: object) -> Scores:
        self.evaluated.append(self._copy())
        return {"depth": {"loss": 1.0}}


@pytest.fixture(autouse=True)
def _no_flushing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)


def averaged(steps: list[Weights], decay: float, name: str) -> Tensor:
    value = steps[0][name].double()
    for number, weights in enumerate(steps[1:], start=1):
        d = min(decay, (1 + number) / (10 + number))
        value = d * value + (1 - d) * weights[name].double()
    return value


@pytest.mark.parametrize("decay", [0.6, 0.999])
def test_parameters_and_running_statistics_are_averaged_and_counters_are_not(decay: float, tmp_path: Path) -> None:
    training = Watched(tmp_path, build_model(), ema=decay, optimizer={"name": "sgd", "lr": 0.1})
    final, last = training.model.state_dict(), training.steps[-1]
    for name, value in final.items():
        if name.endswith("num_batches_tracked"):
            assert torch.equal(value, last[name])
            continue
        torch.testing.assert_close(value.double(), averaged(training.steps, decay, name), rtol=1e-5, atol=1e-6)
        assert not torch.equal(value, last[name])
    loaded = build_model()
    load_weights(loaded, training.result.checkpoint)
    assert all(torch.equal(value, final[name]) for name, value in loaded.state_dict().items())


def test_the_average_is_evaluated_and_the_training_goes_on_as_without_it(tmp_path: Path) -> None:
    plain = Watched(tmp_path / "plain", build_model())
    training = Watched(tmp_path / "average", build_model(), ema=0.9)
    for one, other in zip(plain.steps, training.steps, strict=True):
        assert [name for name, value in one.items() if not torch.equal(value, other[name])] == []
    assert all(torch.equal(value, training.evaluated[-1][name]) for name, value in training.model.state_dict().items())
    name = "encoder.trunk.0.0.weight"
    for epoch, weights in enumerate(training.evaluated, start=1):
        expected = averaged(training.steps[: 5 * epoch], 0.9, name)
        torch.testing.assert_close(weights[name].double(), expected, rtol=1e-5, atol=1e-6)


def test_the_average_belongs_to_the_last_stage(tmp_path: Path) -> None:
    training = Watched(tmp_path, build_model("stitched"), ema=0.9)
    name = "encoder.second.depth.0.weight"
    assert torch.equal(training.evaluated[1][name], training.steps[9][name])
    expected = averaged(training.steps[10:], 0.9, name)
    torch.testing.assert_close(training.model.state_dict()[name].double(), expected, rtol=1e-5, atol=1e-6)


class Choosing(Shared):
    """Parameters that decide, and buffers of every kind; each step changes all of them."""

    choices = ("gate.*",)

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(names)
        self.gate = torch.nn.ParameterDict({"open": torch.nn.Parameter(torch.ones(3))})
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("on", torch.zeros(3, dtype=torch.bool))
        self.register_buffer("price", torch.zeros(()))

    def enter_step(self, share: float) -> None:
        with torch.no_grad():
            self.gate["open"].neg_()
            self.count += 1
            self.on.logical_not_()
            self.price += 0.5


def test_what_a_method_decides_is_copied(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = MultiTaskModel(Choosing(tuple(task.name for task in tasks())), Heads(4, tasks()), tasks())
    training = Watched(tmp_path, model, ema=0.9, epochs=3)
    assert model.encoder.count.item() == 15
    for weights, step in zip(training.evaluated, training.steps[4::5], strict=True):
        for name in ("gate.open", "count", "on", "price"):
            assert torch.equal(weights[f"encoder.{name}"], step[f"encoder.{name}"]), name
    assert model.encoder.gate["open"].tolist() == [-1.0] * 3
    assert model.encoder.price.item() == 7.5


@pytest.mark.parametrize("more", [{}, {"keep": "best", "evaluate_every": 1}], ids=["last", "best"])
def test_an_interrupted_average_goes_on_bit_for_bit(more: dict[str, Any], tmp_path: Path) -> None:
    def score(model: MultiTaskModel) -> Scores:
        return {"depth": {"loss": 1.0 + float(next(model.parameters()).detach().double().sum().sin())}}

    common: dict[str, Any] = {"encoder": "stitched", "ema": 0.9, "checkpoint_every": 2, "evaluate": score, **more}
    *whole, _ = run(tmp_path / "whole", **common)
    for stop in (9, 13):
        with pytest.raises(Interrupted):
            run(tmp_path / "parts", **common, on_step=stop_after(stop))
    *parts, _ = run(tmp_path / "parts", **common)
    expected, actual = weights_of(*whole), weights_of(*parts)
    assert [name for name, value in expected.items() if not torch.equal(actual[name], value)] == []


def test_the_weights_come_back_after_the_block_whatever_happens_in_it() -> None:
    model = build_model()
    average = AverageWeights(model, 0.9)
    average.update()
    with torch.no_grad():
        next(model.parameters()).add_(1.0)
    before = {name: value.clone() for name, value in model.state_dict().items()}

    with pytest.raises(ZeroDivisionError), average.in_place(model):
        raise ZeroDivisionError
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with average.in_place(model):
        assert not torch.equal(next(model.parameters()), before[next(iter(before))])


def test_an_average_of_no_step_is_the_model() -> None:
    model = build_model()
    before = next(model.parameters()).clone()
    average = AverageWeights(model, 0.9)
    with torch.no_grad():
        next(model.parameters()).add_(1.0)
    average.take_over(model)
    assert torch.equal(next(model.parameters()), before + 1.0)


def test_the_decay_grows_to_its_value() -> None:
    values = [decay_at(0.95, steps) for steps in range(1, 400)]
    assert values == sorted(values)
    assert values[-1] == 0.95


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5, float("nan")])
def test_a_decay_lies_between_0_and_1(decay: float) -> None:
    with pytest.raises(UserError, match="ema must be null or lie between 0 and 1"):
        TrainSettings(ema=decay)
