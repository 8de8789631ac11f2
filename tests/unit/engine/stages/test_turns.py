"""Turns of a stage: momenta live on, each trains its own on its own data, and killed runs go on exactly."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from frugalmtl.core.types import Batch
from frugalmtl.encoders import StageView
from frugalmtl.engine import TrainJob, TrainSettings, train
from frugalmtl.engine.dry_run import dry_run
from frugalmtl.engine.loop import TrainResult
from frugalmtl.engine.step_timing import StepTimer
from frugalmtl.model import MultiTaskModel
from tests.support.tiny_training import (
    DEFAULTS,
    Interrupted,
    TinyLoader,
    build_balancer,
    build_batch,
    stop_after,
    weights_of,
)
from tests.support.toys.turning import Alternating, turning_model

ADAM = {"name": "adam", "lr": 0.01}


@pytest.fixture(autouse=True)
def _no_flushing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)


def build() -> MultiTaskModel:
    return turning_model(Alternating)


def streams() -> dict[str, TinyLoader]:
    return {"train": TinyLoader(5), "weights": TinyLoader(4, first=100), "policy": TinyLoader(2, first=200)}


def run(
    folder: Path, model: MultiTaskModel, *, balancer: Any = "fixed", on_step: Any = None, **settings: Any
) -> tuple[dict[str, Tensor], TrainResult]:
    weights = build_balancer(balancer)
    chosen = TrainSettings(**{**DEFAULTS, "optimizer": ADAM, **settings})
    result = train(TrainJob(model, weights, chosen, streams(), folder), on_step=on_step)
    return weights_of(model, weights), result


@cache
def uninterrupted(folder: Path, balancer: str) -> dict[str, Tensor]:
    return run(folder, build(), balancer=balancer)[0]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("whole")
    return lambda balancer: uninterrupted(root / balancer, balancer)


# A cycle has four steps of weights and three of the policy; an epoch has five, and the search ten.
@pytest.mark.parametrize("stop", range(1, 15))
@pytest.mark.parametrize("every", [1, 3])
def test_a_run_killed_in_any_turn_ends_bit_identical(stop: int, every: int, tmp_path: Path, whole: Any) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path, build(), balancer="uncertainty", checkpoint_every=every, on_step=stop_after(stop))
    torch.rand(17)
    parts = run(tmp_path, build(), balancer="uncertainty", checkpoint_every=every)[0]
    assert [name for name, value in whole("uncertainty").items() if not torch.equal(value, parts[name])] == []


def test_a_stage_ends_the_same_where_a_run_is_resumed_right_there(tmp_path: Path) -> None:
    """In the last turn of the stage, and in eval mode."""
    seen: list[tuple[tuple[str, int], bool]] = []

    class Ending(Alternating):
        def end_stage(self, stage: str, view: StageView) -> None:
            if stage == "search":
                seen.append((self.turns[-1], any(module.training for module in self.modules())))

    def train_once(folder: Path, on_step: Any = None) -> None:
        model = build()
        model.encoder = Ending(model.encoder.task_names)
        run(folder, model, on_step=on_step)

    train_once(tmp_path / "whole")
    with pytest.raises(Interrupted):
        train_once(tmp_path / "parts", stop_after(10))
    assert seen == [(("weights", 1), False)]
    train_once(tmp_path / "parts")
    assert seen == [(("weights", 1), False)] * 2


def test_each_turn_trains_its_own(tmp_path: Path) -> None:
    model = build()
    states: list[dict[str, Tensor]] = [{name: value.clone() for name, value in model.state_dict().items()}]

    def look(_: int) -> None:
        states.append({name: value.clone() for name, value in model.state_dict().items()})

    run(tmp_path, model, on_step=look)
    moved = [
        {name for name, value in after.items() if not torch.equal(value, before[name])}
        for before, after in itertools.pairwise(states)
    ]
    for step in (0, 1, 2, 3, 7, 8, 9):
        assert "encoder.policy" not in moved[step]
        assert {"encoder.trunk.0.0.weight", "encoder.trunk.0.1.running_mean", "decoder.initial.weight"} <= moved[step]
    for step in (4, 5, 6):
        assert moved[step] <= {"encoder.policy", "encoder.heat"}, "norms of what is frozen stand still"
        assert "encoder.policy" in moved[step]
    assert model.encoder.turns == [("weights", 0), ("policy", 0), ("weights", 1)]  # type: ignore[union-attr]


def test_momenta_live_on_from_turn_to_turn(tmp_path: Path) -> None:
    model, counts = build(), []

    def look(step: int) -> None:
        state = torch.load(tmp_path / "checkpoints" / f"step-{step:08d}" / "state.pt")["optimizer"]["members"]
        counts.append(tuple(float(next(iter(member["state"].values()))["step"]) for member in state if member["state"]))

    run(tmp_path, model, checkpoint_every=1, on_step=lambda step: look(step) if step <= 10 else None)
    assert counts[3] == (4.0,)
    assert counts[6] == (4.0, 3.0), "what does not train keeps its momenta as they are"
    assert counts[9] == (7.0, 3.0)


def test_each_turn_reads_its_own_stream(tmp_path: Path) -> None:
    read: list[tuple[str, int, int]] = []

    class Noting(TinyLoader):
        def epoch(self, index: int, start: int = 0) -> Iterator[Batch]:
            for number, batch in enumerate(super().epoch(index, start), start=start):
                read.append((self.name, index, number))
                yield batch

        name = ""

    loaders = {}
    for name, length in (("train", 5), ("weights", 4), ("policy", 2)):
        loaders[name] = Noting(length)
        loaders[name].name = name
    train(TrainJob(build(), build_balancer(), TrainSettings(**DEFAULTS), loaders, tmp_path))
    assert read[:4] == [("weights", 0, number) for number in range(4)]
    assert read[4:7] == [("policy", 0, 0), ("policy", 0, 1), ("policy", 1, 0)]
    assert read[7:10] == [("weights", 1, number) for number in range(3)]
    assert [name for name, _, _ in read[10:]] == ["train"] * 10, "the second stage reads all data"


def test_a_stage_may_begin_anew(tmp_path: Path) -> None:
    model, seen = build(), {}
    first = {name: value.clone() for name, value in model.state_dict().items()}
    enter = model.encoder.enter_stage

    def look(stage: str) -> None:
        enter(stage)
        seen[stage] = {name: value.clone() for name, value in model.state_dict().items()}

    model.encoder.enter_stage = look  # type: ignore[method-assign]
    run(tmp_path, model)
    changed = {name for name, value in seen["again"].items() if not torch.equal(value, first[name])}
    assert changed == {"encoder.policy", "encoder.heat"}
    assert not (tmp_path / "checkpoints" / "initial").exists(), "they are removed when nobody needs them any more"


def test_a_stage_has_settings_of_its_own(tmp_path: Path) -> None:
    rates: list[float] = []
    _, result = run(tmp_path, build(), schedule={"name": "poly"}, clip_norm=None)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()

    for line in lines:
        record = json.loads(line)
        if record["event"] == "step":
            rates.append(record["lr_factor"])
            assert ("turn" in record) == (record["stage"] == "search")
    assert rates[:10] == [1.0] * 10
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.3
    assert len(result.history) == 4


def test_a_dry_run_tries_every_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[str] = []
    monkeypatch.setattr(Alternating, "enter_turn", lambda _self, turn, _cycle: turns.append(turn))
    dry_run(build(), build_balancer(), TrainSettings(**DEFAULTS), (6, 6))
    assert turns == ["weights", "policy"]


def test_steps_of_any_turn_can_be_timed() -> None:
    settings = TrainSettings(**DEFAULTS)
    timers = [
        StepTimer.at_stage(build(), build_balancer(), settings, build_batch(0), stage=0, turn=turn) for turn in (0, 1)
    ]
    for timer in timers:
        timer.take()
    policies = [timer.setup.model.encoder.policy.grad for timer in timers]  # type: ignore[union-attr]
    assert policies[0] is None
    assert policies[1] is not None
