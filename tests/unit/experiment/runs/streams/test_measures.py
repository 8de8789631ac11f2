"""Measures of a model under training, against the same figures taken by hand."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from frugalmtl.core.checks import UserError
from frugalmtl.deployment import deploy
from frugalmtl.evaluation.cost import cost_per_image, count
from frugalmtl.evaluation.delta import delta_mtl
from frugalmtl.evaluation.evaluator import evaluate
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.config.files import parse
from frugalmtl.experiment.runs.build import Built, build, build_dataset
from frugalmtl.experiment.runs.streams.loaders import make_loader
from frugalmtl.experiment.runs.streams.measures import RunMeasures
from frugalmtl.experiment.runs.streams.parts import stream_parts
from tests.support.members.adding import add_members
from tests.support.toys.adding import add_toys
from tests.support.toys.picky_router import SEEN


@pytest.fixture
def measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunMeasures:
    add_members(monkeypatch)
    return made(tmp_path)


def made(
    tmp_path: Path, rank: int = 0, world_size: int = 1, *, encoder: str = "toy_groups", depth: int = 8
) -> RunMeasures:
    content: dict[str, Any] = {
        "data": {"name": "sealed", "log": str(tmp_path / "loads.txt"), "sealed": True},
        "augmentation": {"hflip": 1.0},
        "backbone": {"name": "cifar_resnet", "depth": depth},
        "encoder": {"name": encoder},
        "decoder": {"name": "independent", "head": "linear"},
        "train": {"batch_size": 4, "workers": 0},
    }
    config = parse(Experiment, content)
    dataset = build_dataset(config)
    built = build(config, dataset)
    return RunMeasures(built, dataset, stream_parts(built, dataset), config, rank, world_size)


def test_nothing_is_loaded_before_it_is_measured(measures: RunMeasures, tmp_path: Path) -> None:
    assert not (tmp_path / "loads.txt").exists()
    measures.evaluate(measures.built.model)
    assert {line.split(" ")[0] for line in (tmp_path / "loads.txt").read_text().splitlines()} == {"val"}


def test_batches_are_all_samples_as_they_are_stored(measures: RunMeasures) -> None:
    batches = list(measures.batches("holdout"))
    samples = measures.parts["holdout"].samples
    assert [name for batch in batches for name in batch.names] == list(samples.ids)
    assert [name for batch in measures.batches("holdout") for name in batch.names] == list(samples.ids)
    backbone = measures.built.backbone
    mean, std = (torch.tensor(values)[:, None, None] for values in (backbone.mean, backbone.std))
    pictures = torch.cat([batch.image for batch in batches]) * std + mean
    for index, picture in enumerate(pictures):
        stored = samples.load(index).image.float() / 255
        torch.testing.assert_close(picture, stored, atol=1e-3, rtol=0)  # not mirrored


def test_every_process_gets_all_batches_and_scores_its_share(
    measures: RunMeasures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = list(measures.parts["own"].samples.ids)
    scored: list[str] = []

    def watched(_: Any, batches: Any, __: Any) -> dict[str, Any]:
        scored.extend(name for batch in batches for name in batch.names)
        return {}

    monkeypatch.setattr("frugalmtl.experiment.runs.streams.measures.evaluate", watched)
    for rank in (0, 1):
        process = made(tmp_path, rank, 2)
        assert [name for batch in process.batches("own") for name in batch.names] == names
        before = len(scored)
        process.scores(process.built.model, "own")
        assert 0 < len(scored) - before < len(names)
    assert sorted(scored) == sorted(names)


def test_scores_are_those_of_an_evaluation(measures: RunMeasures) -> None:
    built, samples = measures.built, measures.parts["own"].samples
    loader = make_loader(built, samples, measures.config, training=False)
    assert measures.scores(built.model, "own") == evaluate(built.model, loader.epoch(), built.tasks)
    with pytest.raises(UserError, match=r"unknown stream: 'nowhere'"):
        measures.scores(built.model, "nowhere")


def test_cost_is_that_of_the_deployed_model(measures: RunMeasures) -> None:
    built = measures.built
    before = copy.deepcopy(built.model.state_dict())
    both = measures.macs(built.model)
    assert both == count(deploy(copy.deepcopy(built.model)), built.image_size).macs
    (milliseconds,) = measures.latency(built.model)
    assert milliseconds > 0
    built.model.encoder.restructure({"groups": [["segmentation", "depth"]], "measured": {}})
    assert measures.macs(built.model) < both
    after = built.model.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in after)


def test_a_model_that_chooses_by_the_image_is_measured_on_images_that_are_not_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_toys(monkeypatch, tmp_path, "picky_router")
    add_members(monkeypatch)
    measures = made(tmp_path, encoder="picky_router", depth=14)
    SEEN.clear()
    macs, (milliseconds,) = measures.macs(measures.built.model), measures.latency(measures.built.model)
    images = torch.stack(list(measures.images))
    deployed = deploy(copy.deepcopy(measures.built.model))
    assert macs == pytest.approx(np.mean([cost_per_image(deployed, (32, 32), [image]).macs for image in images]))
    assert milliseconds > 0
    assert all((images == image).flatten(1).all(1).any() for batch in SEEN for image in batch)
    assert {line.split(" ")[0] for line in (tmp_path / "loads.txt").read_text().splitlines()} == {"train"}


def test_a_failure_of_the_first_process_reaches_the_others(
    measures: RunMeasures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("no clock")

    sent: list[Any] = []

    def gather(value: Any) -> list[Any]:
        sent.append(value)
        return sent[:1]

    monkeypatch.setattr("frugalmtl.experiment.runs.streams.measures.clock_of", fail)
    monkeypatch.setattr("frugalmtl.experiment.runs.streams.measures.gather", gather)
    with pytest.raises(RuntimeError, match="no clock"):
        measures.latency(measures.built.model)
    with pytest.raises(UserError, match=r"the first process could not measure .*: no clock"):
        made(tmp_path, 1, 2).latency(measures.built.model)
    assert len(sent) == 2


def scores(built: Built, segmentation: float, depth: float) -> dict[str, dict[str, float]]:
    values = {"segmentation": segmentation, "depth": depth}
    return {task.name: {task.primary: values[task.name], "other": 7.0} for task in built.tasks}


def test_gain_is_delta_mtl_as_a_share(measures: RunMeasures) -> None:
    built = measures.built
    gain = measures.gain(scores(built, 0.6, 0.9), scores(built, 0.5, 1.0))
    directions = {task.name: task.higher_is_better for task in built.tasks}
    expected = delta_mtl({"segmentation": 0.6, "depth": 0.9}, {"segmentation": 0.5, "depth": 1.0}, directions) / 100
    assert gain == pytest.approx(expected)
    assert gain == pytest.approx((0.2 + 0.1) / 2)
    assert measures.gain(scores(built, 0.5, 1.0), scores(built, 0.5, 1.0)) == 0.0


def test_tasks_without_a_score_to_compare_with_are_left_out(measures: RunMeasures) -> None:
    built = measures.built
    for missing in (0.0, math.nan):
        assert measures.gain(scores(built, 0.6, 0.9), scores(built, missing, 1.0)) == pytest.approx(0.1)
        assert math.isnan(measures.gain(scores(built, 0.6, 0.9), scores(built, missing, missing)))
    assert math.isnan(measures.gain(scores(built, math.nan, 0.9), scores(built, 0.5, 1.0)))
