"""Interrupted runs end with the same weights, bit for bit."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import Stage
from frugalmtl.engine import TrainJob, TrainSettings, load_weights, train
from frugalmtl.engine.checkpoints import Checkpoints, load_trained, read_state
from frugalmtl.model import MultiTaskModel
from tests.support.checkpoint_files import replace_file
from tests.support.tiny_training import (
    DEFAULTS,
    Gated,
    Heads,
    Interrupted,
    Shared,
    TinyLoader,
    block,
    build_balancer,
    build_model,
    run,
    stop_after,
    tasks,
    weights_of,
)


def noise(model: nn.Module) -> dict[str, dict[str, float]]:
    """An evaluation that draws random numbers and changes modes."""
    model.eval()
    return {"depth": {"rmse": float(torch.rand(1))}}


METHODS: dict[str, dict[str, Any]] = {
    "fixed": {"optimizer": {"name": "sgd", "lr": 0.01}},
    "adam": {"optimizer": {"name": "adam", "lr": 0.01}, "warmup_steps": 3, "schedule": {"name": "cosine"}},
    "uncertainty": {"balancer": "uncertainty", "accumulate": 2, "clip_norm": 1.0},
    "pcgrad": {"balancer": "pcgrad"},
    "pcgrad-parameters": {"balancer": {"name": "pcgrad", "gradients_at": "parameters"}, "encoder": "stitched"},
    "imtl": {"balancer": "imtl", "accumulate": 2},
    "mgda-rlw": {"balancer": {"name": "mgda", "losses": {"name": "rlw", "form": "dirichlet"}}},
    "stitched": {"encoder": "stitched", "balancer": "uncertainty", "evaluate_every": 1, "evaluate": noise},
    "gated": {
        "encoder": "gated",
        "balancer": "uncertainty",
        "optimizer": {"name": "adam", "lr": 0.01},
        "schedule": {"name": "cosine"},
        "warmup_steps": 2,
        "clip_norm": 1.0,
    },
    "bfloat16": {"precision": "bf16-mixed", "clip_norm": 1.0},
}


@cache
def _uninterrupted(method: str, folder: Path) -> dict[str, Tensor]:
    model, balancer, _ = run(folder, **METHODS[method])
    return weights_of(model, balancer)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("whole")
    return lambda method: _uninterrupted(method, root / method)


STOPS = {
    "first": (1, 1),
    "mid-epoch": (4, 1),
    "epoch-end": (5, 1),
    "between": (7, 3),
    "stage-end": (10, 1),
    "second-stage": (11, 1),
    "per-epoch": (13, 0),
    "late": (17, 4),
}
CASES = [
    pytest.param(method, *STOPS[stop], id=f"{method}-{stop}")
    for method in METHODS
    for stop in (STOPS if method in ("stitched", "gated") else ("mid-epoch", "stage-end", "per-epoch"))
]


@pytest.fixture(autouse=True)
def _no_flushing(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests interrupt the program, not the machine."""
    monkeypatch.setattr("os.fsync", lambda _: None)


@pytest.mark.parametrize(("method", "stop", "checkpoint_every"), CASES)
def test_interrupted_runs_end_bit_identical(
    method: str, stop: int, checkpoint_every: int, tmp_path: Path, uninterrupted: Any
) -> None:
    if METHODS[method].get("accumulate"):
        stop = min(stop, 11)  # three steps per epoch
    with pytest.raises(Interrupted):
        run(tmp_path, **METHODS[method], checkpoint_every=checkpoint_every, on_step=stop_after(stop))
    torch.rand(17)  # whatever else the next process draws
    model, balancer, result = run(tmp_path, **METHODS[method], checkpoint_every=checkpoint_every)
    expected = uninterrupted(method)
    actual = weights_of(model, balancer)
    assert actual.keys() == expected.keys()
    different = [name for name, value in expected.items() if not torch.equal(actual[name], value)]
    assert not different
    assert [record["epoch"] for record in result.history] == [0, 1, 2, 3]


def test_interrupted_again_and_again(tmp_path: Path, uninterrupted: Any) -> None:
    method = METHODS["stitched"]
    for stop in range(1, 20):
        with pytest.raises(Interrupted):
            run(tmp_path, **method, checkpoint_every=1, on_step=stop_after(stop))
    model, balancer, result = run(tmp_path, **method, checkpoint_every=1)
    expected = uninterrupted("stitched")
    assert all(torch.equal(value, expected[name]) for name, value in weights_of(model, balancer).items())
    steps = [
        json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines() if "lr_factor" in line
    ]
    assert steps == list(range(1, 21))
    assert result.steps == 20


def test_weights_depend_on_the_seed(tmp_path: Path, uninterrupted: Any) -> None:
    model, balancer, _ = run(tmp_path, **METHODS["fixed"], seed=1)
    expected = uninterrupted("fixed")
    assert any(not torch.equal(value, expected[name]) for name, value in weights_of(model, balancer).items())


def test_weights_do_not_depend_on_evaluation_or_checkpoints(tmp_path: Path, uninterrupted: Any) -> None:
    model, balancer, result = run(
        tmp_path, **METHODS["fixed"], evaluate=noise, evaluate_every=2, checkpoint_every=7, log_every=3
    )
    expected = uninterrupted("fixed")
    assert all(torch.equal(value, expected[name]) for name, value in weights_of(model, balancer).items())
    assert ["scores" in record for record in result.history] == [False, True, False, True]


def test_a_finished_run_is_loaded_not_trained(tmp_path: Path, uninterrupted: Any) -> None:
    first, _, before = run(tmp_path, **METHODS["stitched"])
    again, _, after = run(tmp_path, **METHODS["stitched"], on_step=stop_after(1))
    assert (after.steps, after.history, after.checkpoint) == (before.steps, before.history, before.checkpoint)
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))
    fresh = build_model("stitched")
    load_weights(fresh, before.checkpoint)
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), fresh.state_dict().values(), strict=True))
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["final", "last"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": {"name": "sgd", "lr": 0.02}}, "train.optimizer.lr was 0.01 when it started and is 0.02 now"),
        ({"epochs": 5}, "train.epochs was 4"),
        ({"schedule": {"name": "poly", "power": 2.0}}, "train.schedule.power was '.absent.'"),
        ({"balancer": "uniform"}, "balancer was 'Fixed'"),
        ({"seed": 3}, "seed was 0"),
        ({"loader": TinyLoader(6)}, "batches per epoch was 5"),
        ({"encoder": "stitched"}, "stages.0.name was 'train'"),
        ({"identity": {"model": {"width": 8}}}, "config.model.width was 4 when it started and is 8 now"),
        ({"encoder": "apart"}, "another model"),
    ],
)
def test_another_config_is_not_continued(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    base: dict[str, Any] = {"identity": {"model": {"width": 4}}}
    with pytest.raises(Interrupted):
        run(tmp_path, **base, checkpoint_every=1, on_step=stop_after(3))
    with pytest.raises(UserError, match=message):
        run(tmp_path, **{**base, "checkpoint_every": 1, **change})


@pytest.mark.parametrize(
    "change",
    [
        {"stage": 9},
        {"stage": "first"},
        {"epoch": 99},
        {"epoch": -1},
        {"identity": "{"},
        {"identity": "[]"},
        {"history": 3},
        {"steps": None},
        {"optimizer": {}},
        {"optimizer": {"state": {}, "param_groups": []}},
        {"optimizer": {"members": 3}},
        {"random": []},
        {"random": [{"python": [3, [1], None]}]},
        {"sums": 4},
        {"counts": {"parts/depth": "many"}},
    ],
    ids=str,
)
def test_a_state_that_does_not_fit_is_refused_in_one_line(change: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path, checkpoint_every=1, on_step=stop_after(3))
    folder = Checkpoints(tmp_path / "checkpoints").latest()
    assert folder is not None
    buffer = io.BytesIO()
    torch.save({**read_state(folder, set()), **change}, buffer)
    replace_file(folder, "state.pt", buffer.getvalue())
    with pytest.raises(UserError) as error:
        run(tmp_path, checkpoint_every=1)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


def test_another_number_of_optimisers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path, **METHODS["gated"], checkpoint_every=1, on_step=stop_after(7))
    folder = Checkpoints(tmp_path / "checkpoints").latest()
    assert folder is not None
    state = read_state(folder, set())
    assert len(state["optimizer"]["members"]) == 2
    buffer = io.BytesIO()
    torch.save({**state, "optimizer": state["optimizer"]["members"][0]}, buffer)
    replace_file(folder, "state.pt", buffer.getvalue())
    with pytest.raises(UserError, match="saved with 1 optimisers, but this stage has 2") as error:
        run(tmp_path, **METHODS["gated"], checkpoint_every=1)
    assert "\n" not in str(error.value)


def test_a_changed_optimiser_of_a_group_is_not_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path, **METHODS["gated"], checkpoint_every=1, on_step=stop_after(2))
    section = {**dict(Gated.GATES.optimizer or {}), "lr": 0.2}
    monkeypatch.setattr(Gated, "GATES", replace(Gated.GATES, optimizer=section))
    with pytest.raises(
        UserError, match=r"stages\.1\.groups\.0\.optimizer\.lr was 0\.1 when it started and is 0\.2 now"
    ):
        run(tmp_path, **METHODS["gated"], checkpoint_every=1)


def test_free_settings_may_change(tmp_path: Path, uninterrupted: Any) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path, **METHODS["fixed"], checkpoint_every=1, on_step=stop_after(3))
    model, balancer, _ = run(tmp_path, **METHODS["fixed"], log_every=4, progress="off", workers=2)
    assert all(torch.equal(v, uninterrupted("fixed")[n]) for n, v in weights_of(model, balancer).items())


def test_what_resume_means(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint"):
        run(tmp_path / "none", resume=True)
    with pytest.raises(Interrupted):
        run(tmp_path / "some", checkpoint_every=1, on_step=stop_after(2))
    with pytest.raises(UserError, match="holds a run already"):
        run(tmp_path / "some", resume=False)
    assert run(tmp_path / "some", checkpoint_every=1, resume=True)[2].steps == 20


class Grown(Shared):
    """Its trunk is wider in the second stage."""

    def recipe(self) -> tuple[Stage, ...]:
        return (Stage("narrow", 0.5), Stage("wide", 0.5))

    def enter_stage(self, stage: str) -> None:
        if stage == "wide":
            self.trunk[-1] = nn.Sequential(block(4, 7), block(7, 4))


def grown() -> MultiTaskModel:
    return MultiTaskModel(Grown(tuple(task.name for task in tasks())), Heads(4, tasks()), tasks())


def test_a_model_whose_shape_depends_on_its_stage_is_loaded_in_the_last_one(tmp_path: Path) -> None:
    model = grown()
    result = train(TrainJob(model, build_balancer(), TrainSettings(**DEFAULTS), {"train": TinyLoader()}, tmp_path))
    again = grown()
    with pytest.raises(UserError, match=r"check the config|another model"):
        load_weights(again, result.checkpoint)
    load_trained(again, result.checkpoint, DEFAULTS["epochs"])
    assert again.encoder.trunk[-1][0][0].weight.shape == (7, 4, 3, 3)
    expected = model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in again.state_dict().items())
