"""Operating points of a run, by a toy router that no code outside its file knows."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from frugalmtl.cli.main import main
from frugalmtl.core.checks import UserError
from frugalmtl.data import Dataset
from frugalmtl.deployment import DeployedModel, deploy
from frugalmtl.evaluation.cost import count, distribution
from frugalmtl.experiment.config.experiment import Experiment
from frugalmtl.experiment.config.files import parse
from frugalmtl.experiment.measure.profiling import single_task_sibling
from frugalmtl.experiment.runs.build import build, build_dataset
from frugalmtl.experiment.runs.kept.images import FILE as IMAGES
from frugalmtl.experiment.runs.run import Run
from frugalmtl.experiment.runs.streams.loaders import make_loader
from frugalmtl.experiment.runs.streams.parts import stream_parts
from frugalmtl.experiment.runs.training import train_run
from frugalmtl.model import MultiTaskModel
from tests.integration.conftest import write_config
from tests.support.steps import interrupted_at

POINTS = {"0.3x": 0.3, "0.4x": 0.4}


@pytest.fixture(scope="module")
def trained(router: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("router")
    path = write_config(folder / "router.yaml", router)
    assert main(["train", "--config", str(path), "--out", str(folder / "run")]) == 0
    return folder / "run"


def test_the_mean_cost_on_held_out_images_is_what_was_asked_for(trained: Path) -> None:
    run = Run.open(trained)
    built, deployed = run.deployed()
    single = build(replace(single_task_sibling(run.config), image_size=built.image_size), tasks=built.tasks)
    reference = count(deploy(single.model), built.image_size).macs
    samples = stream_parts(built, build_dataset(run.config))["holdout"].samples
    loader = make_loader(built, samples, run.config, rank=0, world_size=1, training=False)
    images = torch.cat([batch.image for batch in loader.epoch()])
    for point, share in POINTS.items():
        assert distribution(deployed.at(point), images).mean / reference == pytest.approx(share, rel=0.03), point


def test_every_command_takes_a_budget(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, name = Run.open(trained), str(trained)
    assert main(["evaluate", name]) == main(["evaluate", name, "--budget", "0.30x"]) == 0
    assert f"{name}@0.3x, split test" in capsys.readouterr().out
    assert run.scores("test") != run.at("0.3x").scores("test")
    assert main(["deploy", name, "--format", "safetensors", "--budget", "0.3x"]) == 0
    written = capsys.readouterr()
    assert "tiny@0.3x.safetensors at a budget of 0.3x: " in written.out
    assert written.err == ""
    (task, *_) = (task.name for task in run.network().tasks)
    assert main(["deploy", name, "--format", "safetensors", "--budget", "0.3x", "--tasks", task]) == 0
    said = f"the budget 0.3x was calibrated for all tasks together; for {task} alone less is run"
    assert said in capsys.readouterr().err
    assert main(["predict", name, "skimage:coffee", "--longest", "64", "--budget", "0.4x"]) == 0
    assert (trained / "predictions@0.4x").is_dir()
    capsys.readouterr()
    costs = {}
    for point in POINTS:
        assert main(["profile", name, "--budget", point, "--json", "--rounds", "1", "--no-onnxruntime"]) == 0
        figures = json.loads(capsys.readouterr().out)
        assert figures["name"] == f"tiny@{point}"
        costs[point] = figures["deployed"]["macs"]
    assert costs["0.3x"] < costs["0.4x"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "--budget", "0.5x"], "unknown budget '0.5x': expected one of 0.3x, 0.4x"),
        (["deploy", "--budget", "2ms"], "unknown budget '2ms': expected one of"),
        (["profile", "--budget", "fast"], "unknown budget 'fast': expected one of"),
        (["evaluate", "--training_model", "--budget", "0.3x"], "a budget (0.3x) is one of the deployed model"),
    ],
)
def test_a_budget_that_cannot_be_chosen_is_one_line(
    arguments: list[str], message: str, trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(Run, "load", lambda _: pytest.fail("weights were loaded"))
    before = sorted(trained.rglob("*"))
    assert main([arguments[0], str(trained), *arguments[1:]]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert sorted(trained.rglob("*")) == before


@pytest.mark.slow
def test_a_killed_training_ends_with_the_same_thresholds(router: dict[str, Any], trained: Path, tmp_path: Path) -> None:
    config = parse(Experiment, {**router, "train": {**router["train"], "checkpoint_every": 1}})
    with interrupted_at(3):
        train_run(config, tmp_path / "run", progress=False)
    train_run(config, tmp_path / "run", progress=False)
    whole, parts = (Run.open(folder).load().model.state_dict() for folder in (trained, tmp_path / "run"))
    assert whole["encoder.thresholds"].count_nonzero() == len(POINTS)
    assert [name for name, value in whole.items() if not torch.equal(value, parts[name])] == []


def test_a_deciding_model_is_checked_on_images_of_its_run(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples: list[Tensor | None] = []

    def noted(model: MultiTaskModel, **options: Any) -> DeployedModel:
        examples.append(options["example"])
        return deploy(model, **options)

    monkeypatch.setattr("frugalmtl.experiment.runs.run.deploy", noted)
    copy = shutil.copytree(trained, tmp_path / "copy")
    Run.open(copy).deployed()
    (copy / IMAGES).unlink()
    Run.open(copy).deployed()
    assert (copy / IMAGES).exists()
    first, again = examples
    assert first is not None
    assert again is not None
    assert first.shape == (4, 3, 32, 32)
    assert torch.equal(first, again), "taken from the data where the run keeps none"
    (copy / IMAGES).unlink()

    def refuse(_: Any) -> Dataset:
        raise UserError("no such data")

    monkeypatch.setattr("frugalmtl.experiment.runs.run.build_dataset", refuse)
    with pytest.raises(
        UserError, match=r"copy keeps no example_images.safetensors, .* cannot be taken from its data: no"
    ):
        Run.open(copy).deployed()
