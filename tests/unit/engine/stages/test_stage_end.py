"""The end of a stage: what is decided there is saved, set before weights are loaded, and the same after a kill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from frugalmtl.core.checks import UserError
from frugalmtl.core.recipe import HOLDOUT, Stage, Turn
from frugalmtl.encoders import StageView
from frugalmtl.engine import TrainJob, TrainSettings, train
from frugalmtl.engine.checkpoints import load_trained, read_structure
from frugalmtl.engine.job import check_trainable
from frugalmtl.model import MultiTaskModel
from tests.support.checkpoint_files import replace_file
from tests.support.tiny_training import (
    DEFAULTS,
    Interrupted,
    Scored,
    TinyLoader,
    build_balancer,
    build_batch,
    build_model,
    stop_after,
    weights_of,
)
from tests.support.toys.turning import Splitting, turning_model


@pytest.fixture(autouse=True)
def _no_flushing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)


def build(kind: type[Splitting] = Splitting) -> MultiTaskModel:
    return turning_model(kind)


def measures() -> Scored:
    return Scored(lambda _: {}, {HOLDOUT: [build_batch(1000 + index) for index in range(2)]})


def job(folder: Path, model: MultiTaskModel, **settings: Any) -> TrainJob:
    streams = {"train": TinyLoader(5), "most": TinyLoader(4, first=100)}
    chosen = TrainSettings(**{**DEFAULTS, "epochs": 6, **settings})
    return TrainJob(model, build_balancer(), chosen, streams, folder, measures())


def count(model: MultiTaskModel) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_a_run_reloads_with_the_shape_that_was_decided(tmp_path: Path) -> None:
    model = build()
    before = count(model)
    result = train(job(tmp_path, model))
    assert model.encoder.structure() == read_structure(result.checkpoint)
    assert count(model) > before
    loaded = build()
    load_trained(loaded, result.checkpoint, 6)
    assert count(loaded) == count(model)
    image = build_batch(5).image
    for name, value in model(image).by_task.items():
        torch.testing.assert_close(loaded.eval()(image).by_task[name], value)
    again = build()
    assert train(job(tmp_path, again)).steps == result.steps, "a finished run is taken over"
    assert count(again) == count(model)


@pytest.mark.parametrize("stop", [1, 7, 14, 15, 16, 22])
@pytest.mark.parametrize("every", [0, 1])
def test_a_run_killed_around_the_end_of_a_stage_ends_bit_identical(stop: int, every: int, tmp_path: Path) -> None:
    def state(folder: Path, **more: Any) -> dict[str, Tensor]:
        model = build()
        train(job(folder, model, checkpoint_every=every), **more)
        return weights_of(model, build_balancer())

    whole = state(tmp_path / "whole")
    with pytest.raises(Interrupted):
        state(tmp_path / "parts", on_step=stop_after(stop))
    torch.rand(9)
    parts = state(tmp_path / "parts")
    assert [name for name, value in whole.items() if not torch.equal(value, parts[name])] == []


def test_the_best_weights_are_kept_by_scores_on_data_apart(tmp_path: Path) -> None:
    seen: list[tuple[int, dict[str, Tensor]]] = []
    losses = iter([0.5, 0.3, 0.4])

    class Judged(Scored):
        def scores(self, model: MultiTaskModel, stream: str) -> dict[str, dict[str, float]]:
            assert stream == HOLDOUT
            if len(seen) < 3:
                seen.append((len(seen), {name: value.clone() for name, value in model.state_dict().items()}))
                return {"depth": {"loss": next(losses)}}
            return super().scores(model, stream)

    class Kept(Splitting):
        def end_stage(self, stage: str, view: StageView) -> None:
            if stage == "joint":
                ends.append({name: value.clone() for name, value in model.state_dict().items()})
                assert float(sum(len(batch.names) for batch in view.batches(HOLDOUT))) == 4
                assert view.macs() == count(model)
                assert view.latency() == [count(model) / 1e6]
            super().end_stage(stage, view)

    ends: list[dict[str, Tensor]] = []
    model = build(Kept)
    plain = job(tmp_path, model)
    judged = Judged(lambda _: {}, measures().streams)
    train(TrainJob(model, plain.balancer, plain.settings, plain.streams, tmp_path, judged))
    assert all(torch.equal(value, ends[0][name]) for name, value in seen[1][1].items()), "the second epoch was best"
    assert any(not torch.equal(value, ends[0][name]) for name, value in seen[2][1].items())
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    scores = [record.get("holdout_scores") for record in records if record["event"] == "epoch"]
    assert scores[:3] == [{"depth": {"loss": value}} for value in (0.5, 0.3, 0.4)]
    assert scores[3:] == [None] * 3


def test_damaged_structures_are_refused(tmp_path: Path) -> None:
    folder = train(job(tmp_path, build())).checkpoint
    replace_file(folder, "structure.json", b'["no mapping"]')
    with pytest.raises(UserError, match=r"structure.json is damaged: it holds no mapping"):
        load_trained(build(), folder, 6)
    (folder / "structure.json").write_text("{}")
    with pytest.raises(UserError, match=r"structure.json is damaged: its checksum differs"):
        read_structure(folder)


def test_a_structure_is_not_for_every_encoder(tmp_path: Path) -> None:
    folder = train(job(tmp_path, build())).checkpoint
    with pytest.raises(UserError, match=r"structure.json: this encoder has no structure .* one with groups"):
        load_trained(build_model(), folder, 6)


def test_what_asks_for_scores_needs_measures(tmp_path: Path) -> None:
    class Asking(Splitting):
        def recipe(self) -> tuple[Stage, ...]:
            return (Stage("joint"),)

    asking = TrainJob(build(Asking), build_balancer(), TrainSettings(**DEFAULTS), {"train": TinyLoader(5)}, tmp_path)
    with pytest.raises(UserError, match="asks for scores or cost when a stage ends: give the job 'measures'"):
        train(asking)
    plain = job(tmp_path / "other", build())
    with pytest.raises(UserError, match="stage 'joint' keeps its best weights by scores: give 'measures'"):
        TrainJob(plain.model, plain.balancer, plain.settings, plain.streams, plain.folder)


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (Stage("joint", keep="best"), "on the stream 'holdout', but trains on the same samples in the stream 'train'"),
        (
            Stage("joint", turns=(Turn("first", tasks=("dept",)),)),
            "task of the turn 'first' of stage 'joint': 'dept'",
        ),
        (Stage("joint", settings={"clip_norm": -1.0}), "stage 'joint': clip_norm must be above 0, but got -1.0"),
        (Stage("joint", settings={"lr_factors": {"nowhere.*": 2.0}}), "'nowhere.*' matches no parameter of the model"),
    ],
)
def test_stages_that_do_not_fit_are_refused(stage: Stage, message: str) -> None:
    class Odd(Splitting):
        def recipe(self) -> tuple[Stage, ...]:
            return (stage,)

    with pytest.raises(UserError, match=message):
        check_trainable(build(Odd), build_balancer(), TrainSettings(**DEFAULTS))


def test_a_turn_that_reads_again_reads_the_stream_of_the_turn_before() -> None:
    class Again(Splitting):
        def recipe(self) -> tuple[Stage, ...]:
            return (Stage("joint", keep="best", turns=(Turn("first", stream="most"), Turn("second", same_batch=True))),)

    check_trainable(build(Again), build_balancer(), TrainSettings(**DEFAULTS))
